import Bridge
import Broker
import Journal
import NIOCore

/// What `causeway journal verify` says of a journal: checksums, order, headers, and whether each record is understood.
struct JournalVerification: Encodable {
    var directory: String
    var open: Bool
    var firstSequence: UInt64
    var nextSequence: UInt64
    var segments: Int
    /// Whether it is encrypted and no key was given: then checksums alone were checked.
    var unopened: Bool
    /// Where the last write was cut off by a crash.
    var tornTailFile: String?
    var tornTailOffset: Int?
    var findings: [JournalFinding]

    init(_ part: DataFolder.Part, _ keys: KeyRing?) throws {
        let found = try JournalInspection(directory: part.directory, keys: keys)
        unopened = !found.isReadable
        directory = part.directory
        open = found.isOpen
        firstSequence = found.recovery.firstSequence
        nextSequence = found.recovery.nextSequence
        segments = found.segments.count
        // Where somebody writes, the end is always about to change.
        tornTailFile = found.isOpen ? nil : found.recovery.tornTail?.file
        tornTailOffset = found.isOpen ? nil : found.recovery.tornTail?.offset
        findings = JournalFinding.all(found)
        if found.isReadable { try checkRecords(found, part.kind) }
        if case .outbox = part.kind { checkState(part) }
    }

    /// Whether the records mean something to this version.
    private mutating func checkRecords(_ found: JournalInspection, _ kind: DataFolder.Part.Kind) throws {
        var unread: [UInt64] = []
        try found.read(from: found.recovery.firstSequence) { sequence, payload in
            let isUnderstood =
                kind == .main
                ? (try? JournalRecord.describe(ByteBuffer(bytes: payload), sequence: sequence) { _ in }) != nil
                : DescribedOutboxRecord(decoding: payload) != nil
            if !isUnderstood { unread.append(sequence) }
            return true
        }
        for sequence in unread {
            findings.append(
                JournalFinding(
                    kind: "unknown_record",
                    file: found.segments.last { $0.first <= sequence }?.file,
                    first: sequence,
                    last: sequence,
                    message:
                        "record \(sequence) passes its checksum and is not understood: was it written by a newer version?"
                )
            )
        }
        if kind == .main, let checkpoint = found.recovery.checkpoint,
            (try? JournalRecord.describe(ByteBuffer(bytes: checkpoint.bytes), sequence: 0) { _ in }) == nil
        {
            findings.append(
                JournalFinding(
                    kind: "unknown_checkpoint",
                    file: found.checkpoints.first?.file,
                    message:
                        "the checkpoint passes its checksum and is not understood: was it written by a newer version?"
                )
            )
        }
    }

    private mutating func checkState(_ part: DataFolder.Part) {
        do {
            _ = try OutboxInspection.state(of: part.outboxFolder)
        } catch {
            findings.append(JournalFinding(kind: "damaged_state", file: "../state", message: error.message))
        }
    }

    func print() {
        for finding in findings { Output.line("\(directory)/\(finding)") }
        let records =
            nextSequence > firstSequence ? "records \(firstSequence) to \(nextSequence - 1)" : "no records"
        let extent = "\(records) in \(SizeText.count(segments, "segment"))"
        guard findings.isEmpty else {
            Output.problem(
                "\(directory): not as it was written (\(extent), \(SizeText.count(findings.count, "finding")))"
            )
            return
        }
        Output.line("\(directory): as it was written (\(extent)\(open ? ", and somebody writes it" : ""))")
        if unopened {
            Output.line("\(directory): it is encrypted, and without its key the checksums alone were checked")
        }
        if let tornTailFile, let tornTailOffset {
            Output.line("\(directory): the last write was cut off by a crash, in \(tornTailFile) at \(tornTailOffset)")
        }
    }
}
