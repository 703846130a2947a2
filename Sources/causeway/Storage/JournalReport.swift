import Access
import Bridge
import Broker
import Foundation
import Journal
import NIOCore

/// What `causeway journal inspect` says of one journal.
struct JournalReport: Encodable {
    struct Segment: Encodable {
        var file: String
        var first: UInt64
        var last: UInt64?
        var records: UInt64
        var bytes: Int
        var usedBytes: Int
        var createdMilliseconds: Int64
    }

    struct Checkpoint: Encodable {
        var file: String
        var through: UInt64
        var bytes: Int
    }

    /// Something that goes through the journal and must not miss anything.
    struct Reader: Encodable {
        /// `session`, `handler` or `bridge`.
        var kind: String
        var name: String
        /// The oldest record that it still needs.
        var needs: UInt64
    }

    struct Sessions: Encodable {
        var count: Int
        var queuedMessages: Int
        var queuedBytes: Int
        var inflightMessages: Int
    }

    struct Outbox: Encodable {
        var epoch: UInt64
        var confirmed: UInt64
        var used: UInt64
        var waiting: UInt64
        /// The bridge's place in the main journal.
        var source: UInt64
    }

    var directory: String
    /// `main` or `outbox`.
    var kind: String
    /// The bridge of an outbox.
    var bridge: String?
    var open: Bool
    var encrypted: Bool
    var firstSequence: UInt64
    var nextSequence: UInt64
    var bytesOnDisk: Int
    var segments: [Segment]
    var spares: Int
    var checkpoints: [Checkpoint]
    /// How often each kind of entry occurs.
    var entries: [String: UInt64] = [:]
    var readers: [Reader] = []
    var sessions: Sessions?
    var outbox: Outbox?
    var findings: [JournalFinding]

    init(_ found: JournalInspection, _ part: DataFolder.Part) {
        directory = part.directory
        kind = "main"
        if case .outbox(let name) = part.kind {
            kind = "outbox"
            bridge = name
        }
        open = found.isOpen
        encrypted = found.isEncrypted
        firstSequence = found.recovery.firstSequence
        nextSequence = found.recovery.nextSequence
        bytesOnDisk = found.bytesOnDisk
        segments = found.segments.map { segment in
            Segment(
                file: segment.file,
                first: segment.first,
                last: segment.last,
                records: segment.records,
                bytes: segment.bytes,
                usedBytes: segment.usedBytes,
                createdMilliseconds: segment.createdMilliseconds
            )
        }
        spares = found.spares
        checkpoints = found.checkpoints.map { Checkpoint(file: $0.file, through: $0.through, bytes: $0.bytes) }
        findings = JournalFinding.all(found)
    }

    /// Reads everything there is: kinds of entries, sessions and positions.
    static func make(
        _ part: DataFolder.Part,
        beside parts: [DataFolder.Part],
        _ keys: KeyRing?
    ) throws -> JournalReport {
        let found = try JournalInspection(directory: part.directory, keys: keys)
        var report = JournalReport(found, part)
        guard found.isReadable else { return report }
        switch part.kind {
        case .main:
            try report.takeMain(found)
            for case let other in parts {
                guard case .outbox(let name) = other.kind, let outbox = try OutboxView(other, keys) else { continue }
                report.readers.append(Reader(kind: "bridge", name: name, needs: outbox.needs))
            }
            report.readers.sort { ($0.needs, $0.name) < ($1.needs, $1.name) }
        case .outbox:
            guard let outbox = try OutboxView(part, keys, found) else { break }
            report.entries = outbox.entries
            report.outbox = Outbox(
                epoch: outbox.state.epoch,
                confirmed: outbox.state.confirmed,
                used: outbox.state.used,
                waiting: found.lastSequence - min(found.lastSequence, outbox.state.confirmed),
                source: outbox.source.record
            )
        }
        return report
    }

    private mutating func takeMain(_ found: JournalInspection) throws {
        let core = BrokerCore(authorizer: try RuleAuthorizer(rules: []))
        if let checkpoint = found.recovery.checkpoint {
            try core.recover(checkpoint: ByteBuffer(bytes: checkpoint.bytes))
        }
        let covered = found.recovery.checkpoint?.sequence ?? 0
        var counts: [String: UInt64] = [:]
        var failure: BrokerRecoveryError?
        try found.read(from: found.recovery.firstSequence) { sequence, payload in
            let record = ByteBuffer(bytes: payload)
            do throws(BrokerRecoveryError) {
                try JournalRecord.describe(record, sequence: sequence) { counts[$0.kind, default: 0] += 1 }
                if sequence > covered { try core.recover(record: record, sequence: sequence) }
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        entries = counts
        let all = core.sessionSummaries
        sessions = Sessions(
            count: all.count,
            queuedMessages: all.reduce(0) { $0 + $1.queuedMessages },
            queuedBytes: all.reduce(0) { $0 + $1.queuedBytes },
            inflightMessages: all.reduce(0) { $0 + $1.inflightMessages }
        )
        readers = all.compactMap { session in
            session.oldestNeededRecord.map { Reader(kind: "session", name: session.clientID, needs: $0) }
        }
        readers += core.recoveredHandlers.map { name, handler in
            Reader(kind: "handler", name: name, needs: handler.position.record)
        }
    }
}

/// An outbox's state with what its records add to it.
struct OutboxView {
    let state: OutboxInspection
    /// The bridge's place in the main journal: the state's or, where that is further, the last record's.
    let source: MessageReference
    /// How many messages and gap records there are.
    let entries: [String: UInt64]

    /// The oldest record of the main journal that the bridge needs.
    var needs: UInt64 { source.index == .max ? source.record + 1 : source.record }

    /// Nil if the outbox was never used.
    ///
    /// Without the keys of an encrypted one, the state alone tells.
    init?(_ part: DataFolder.Part, _ keys: KeyRing?, _ inspection: JournalInspection? = nil) throws {
        guard let state = try OutboxInspection.state(of: part.outboxFolder) else { return nil }
        let found = try inspection ?? JournalInspection(directory: part.directory, keys: keys)
        var source = state.source
        var entries: [String: UInt64] = [:]
        let first = found.isReadable ? found.recovery.firstSequence : found.recovery.nextSequence
        try found.read(from: first) { _, payload in
            guard let record = DescribedOutboxRecord(decoding: payload) else {
                entries["unreadable", default: 0] += 1
                return true
            }
            entries[record.isGap ? "gap" : "message", default: 0] += 1
            source = max(source, record.source)
            return true
        }
        self.state = state
        self.source = source
        self.entries = entries
    }
}

extension JournalReport {
    /// Readers that are printed in full; a site may have a hundred thousand sessions.
    private static let readersShown = 10

    /// For people.
    func print() {
        let last = nextSequence - 1
        let records = nextSequence > firstSequence ? "records \(firstSequence) to \(last)" : "no records"
        Output.line("\(directory)\(open ? " (somebody writes it)" : "")")
        Output.line("  \(records), \(SizeText.bytes(bytesOnDisk)) on disk")
        for segment in segments {
            let range = segment.last.map { "\(segment.first) to \($0)" } ?? "empty from \(segment.first) on"
            let used = "\(SizeText.bytes(segment.usedBytes)) of \(SizeText.bytes(segment.bytes))"
            let begun = segment.createdMilliseconds > 0 ? ", begun \(SizeText.moment(segment.createdMilliseconds))" : ""
            Output.line("  segment     \(segment.file): \(range), \(used)\(begun)")
        }
        if encrypted {
            Output.line("  encrypted   " + (entries.isEmpty ? "give --config or --keyfile to look inside" : "opened"))
        }
        if spares > 0 { Output.line("  spares      \(SizeText.count(spares, "file")) to be written again") }
        for checkpoint in checkpoints {
            Output.line("  checkpoint  through \(checkpoint.through), \(SizeText.bytes(checkpoint.bytes))")
        }
        let counts = entries.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        if !counts.isEmpty {
            Output.line("  entries     " + counts.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        }
        if let outbox {
            Output.line(
                "  epoch       \(outbox.epoch), confirmed through \(outbox.confirmed), \(outbox.waiting) waiting"
            )
            Output.line("  source      record \(outbox.source) of the main journal")
        }
        if let sessions { write(sessions, last) }
        for finding in findings { Output.line("  damage      \(finding)") }
    }

    private func write(_ sessions: Sessions, _ last: UInt64) {
        let queued = "\(SizeText.count(sessions.queuedMessages, "message")) (\(SizeText.bytes(sessions.queuedBytes)))"
        Output.line(
            "  sessions    \(sessions.count) persistent, \(queued) queued, \(sessions.inflightMessages) under way"
        )
        for reader in readers.prefix(Self.readersShown) {
            let behind = last + 1 - min(last + 1, reader.needs)
            Output.line("  reader      \(reader.kind) \(reader.name): needs \(reader.needs), \(behind) behind")
        }
        if readers.count > Self.readersShown {
            Output.line("  readers     and \(readers.count - Self.readersShown) more")
        }
        Output.line("  retention   \(retention)")
    }

    /// What keeps the oldest segments from going.
    private var retention: String {
        guard segments.count > 1 else { return "the last segment always stays" }
        guard checkpoints.count == 2, let older = checkpoints.last else {
            return "segments stay until there are two checkpoints"
        }
        let oldest = readers.first { $0.needs <= older.through }
        let limit = min(oldest?.needs ?? .max, older.through + 1)
        let held = zip(segments, segments.dropFirst()).filter { $1.first > limit }.map(\.0)
        let free = segments.count - 1 - held.count
        let bytes = SizeText.bytes(held.reduce(0) { $0 + $1.bytes })
        let what = "\(SizeText.count(held.count, "segment")) (\(bytes)) held back"
        let kept = free > 0 ? ", \(free) more may go or stay for journal.keep" : ""
        guard !held.isEmpty else { return "nothing is held back\(kept)" }
        if let oldest { return "\(what) by \(oldest.kind) \(oldest.name), which needs record \(oldest.needs)\(kept)" }
        return "\(what) by the older checkpoint\(kept)"
    }
}
