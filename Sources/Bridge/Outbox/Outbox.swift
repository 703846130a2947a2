internal import Broker
internal import Journal
internal import MosquittoClient
internal import Synchronization

/// What waits to leave, on disk: a journal of its own, whose sequence numbers are those of (site, epoch, sequence).
///
/// It is also the lane's memory: every record names its place in the main journal, so that after a crash the lane goes
/// on behind the last committed record. A state file holds what no record can: epoch, what is confirmed, and the
/// position when nothing matched for long. Confined to the bridge's thread, but for the commit notice.
final class Outbox {
    /// Bytes appended at once at most, so that a large backlog in the main journal is taken in steps.
    static let pendingBytesMax = 8 * 1024 * 1024

    /// The epoch of the sequences.
    private(set) var epoch: UInt64
    /// Everything up to it is confirmed.
    private(set) var confirmed: UInt64
    /// The position in the main journal behind everything that was looked at.
    var source: MessageReference
    /// The same as far as it would survive a crash.
    private(set) var durableSource: MessageReference
    /// Records that were dropped because the outbox was full.
    private(set) var droppedOldest: UInt64 = 0
    /// Records that this process has appended.
    private(set) var appended: UInt64 = 0
    /// Whether the other side has seen a sequence that this journal does not have: the epoch was changed.
    private(set) var wasRenewed = false
    /// The box that this outbox was taken over from, until it is known how far that one came.
    private(set) var takeover: OutboxState.Takeover?
    /// Sequences up to it are stored under the epoch before this one: a gap stands for them.
    private(set) var floor: UInt64

    private let journal: Journal
    private let settings: BridgeSettings
    private let stateFile: StateFile
    private let notices: Notices
    private var ledger: SizeLedger
    /// Positions that become durable with a record, oldest first.
    private var uncommitted: [(sequence: UInt64, source: MessageReference)] = []
    private var lastSaved: OutboxState

    /// What the journal's thread tells.
    private final class Notices: Sendable {
        struct Content {
            var committed: UInt64 = 0
            var failure: String?
            var isStalled = false
        }
        let content = Mutex(Content())
        let wake: WaitableFlag
        init(wake: WaitableFlag) { self.wake = wake }
    }

    init(_ settings: BridgeSettings, wake: WaitableFlag) throws(BridgeError) {
        self.settings = settings
        try StateFile.makeDirectory(settings.outboxDirectory)
        stateFile = StateFile(path: settings.outboxDirectory + "/state")
        let notices = Notices(wake: wake)
        self.notices = notices
        let recovery: Recovery
        do {
            (journal, recovery) = try Journal.open(Self.journalConfiguration(settings)) { notice in
                notices.content.withLock { content in
                    switch notice {
                    case .committed(let sequence):
                        content.committed = sequence
                        content.isStalled = false
                    case .stalled, .short: content.isStalled = true
                    case .relieved: content.isStalled = false
                    case .failed(let error): content.failure = error.code.rawValue
                    }
                }
                notices.wake.raise()
            }
        } catch {
            throw BridgeError(.outbox, "the outbox cannot be opened", cause: error)
        }
        let last = recovery.nextSequence - 1
        notices.content.withLock { $0.committed = last }
        let stored = try stateFile.read().flatMap { OutboxState(decoding: $0) }
        let now = UInt64(max(1, MonotonicClock.wallMilliseconds() / 1000))
        var state = stored ?? OutboxState(epoch: now)
        if state.used > last || state.confirmed > last {
            // Sequences of this epoch have been used that the journal does not have any more: it was replaced or lost
            // its end. Using them again would look like duplicates to the cloud, so a new epoch begins.
            state = OutboxState(epoch: max(now, state.epoch + 1))
            wasRenewed = true
        }
        epoch = state.epoch
        confirmed = state.confirmed
        source = state.source
        durableSource = state.source
        takeover = state.takeover
        floor = state.floor
        lastSaved = state
        ledger = SizeLedger()
        try recoverPosition(last: last, first: recovery.firstSequence)
        if stored != state { try save(force: true) }
    }

    private static func journalConfiguration(_ settings: BridgeSettings) -> Journal.Configuration {
        var configuration = Journal.Configuration(directory: settings.outboxDirectory + "/journal")
        configuration.segmentBytes = min(max(settings.outboxBytesMax / 16, 64 * 1024), 32 * 1024 * 1024)
        // The limit of the outbox is kept here, where it is known what may go; the journal's own is the last resort.
        configuration.maxBytes = settings.outboxBytesMax * 2 + 8 * configuration.segmentBytes
        configuration.maxPendingBytes = pendingBytesMax
        configuration.keys = settings.keys
        return configuration
    }

    private func recoverPosition(last: UInt64, first: UInt64) throws(BridgeError) {
        guard last > 0, let record = try record(last) else { return }
        // Records of another box may speak of a main journal that went on beyond what was restored of it.
        let known = takeover.map { last > $0.last ? MessageReference.end(of: .max) : .end(of: $0.mainLast) }
        let place = min(record.source, known ?? .end(of: .max))
        if place > source { source = place }
        durableSource = source
        let waiting = last - min(last, max(confirmed, first - 1))
        guard waiting > 0 else { return }
        // An estimate until they are gone: reading a long backlog would delay the start.
        let sample = try read(from: max(confirmed + 1, first), bytesMax: 256 * 1024)
        let mean = sample.isEmpty ? 256 : sample.reduce(0) { $0 + $1.record.byteCount } / sample.count
        ledger.append(
            through: last,
            bytes: mean * Int(clamping: waiting),
            count: waiting,
            milliseconds: sample.first?.record.queuedMilliseconds ?? 0
        )
    }

    // MARK: - Appending

    /// The sequence that the next record gets.
    var nextSequence: UInt64 { journal.nextSequence }
    /// The last committed sequence.
    var committed: UInt64 { notices.content.withLock { $0.committed } }
    /// Why nothing can be appended any more, or nil.
    var failure: String? { notices.content.withLock { $0.failure } }
    /// Whether the disk has no room.
    var isStalled: Bool { notices.content.withLock { $0.isStalled } }
    /// The oldest record there is.
    var firstSequence: UInt64 { journal.firstSequence }
    /// Bytes that wait, about.
    var waitingBytes: Int { ledger.bytes }
    /// When the oldest that waits was queued, about; nil if nothing waits.
    var oldestQueuedMilliseconds: Int64? { ledger.oldestMilliseconds }
    /// Whether more may be appended now.
    var hasRoom: Bool { failure == nil && !isStalled && journal.pendingBytes < Self.pendingBytesMax }
    /// Whether the limit of the configuration is reached.
    var isFull: Bool { ledger.bytes >= settings.outboxBytesMax }

    /// Appends records and takes over their positions. They count once ``committed`` reaches them.
    func append(_ records: [OutboxRecord]) {
        guard !records.isEmpty else { return }
        let first = journal.nextSequence
        var bytes: [UInt8] = []
        var ends: [Int] = []
        var size = 0
        for record in records {
            record.encode(into: &bytes)
            ends.append(bytes.count)
            size += record.byteCount
        }
        let last = first + UInt64(records.count) - 1
        journal.append(firstSequence: first, bytes: bytes, ends: ends)
        appended += UInt64(records.count)
        ledger.append(
            through: last,
            bytes: size,
            count: UInt64(records.count),
            milliseconds: records.first?.queuedMilliseconds ?? 0
        )
        if let newest = records.last { uncommitted.append((last, newest.source)) }
    }

    /// Takes note of what was committed since.
    func noteCommits() {
        let committed = committed
        while let oldest = uncommitted.first, oldest.sequence <= committed {
            durableSource = max(durableSource, oldest.source)
            uncommitted.removeFirst()
        }
    }

    // MARK: - Reading

    /// Committed records from a sequence on. What is missing between them is gone for good.
    func read(from sequence: UInt64, bytesMax: Int) throws(BridgeError) -> [QueuedRecord] {
        var found: [QueuedRecord] = []
        var next = sequence
        while true {
            do {
                _ = try journal.read(from: next, maxBytes: bytesMax) { sequence, payload in
                    // A record that cannot be understood is left out, and so reported as a gap.
                    if let record = OutboxRecord(decoding: payload) {
                        found.append(QueuedRecord(sequence: sequence, record: record))
                    }
                    return true
                }
                return found
            } catch {
                guard let lost = error.lostSequences, found.isEmpty else {
                    if !found.isEmpty { return found }
                    throw BridgeError(.outbox, "the outbox cannot be read", cause: error)
                }
                next = lost.upperBound + 1
            }
        }
    }

    private func record(_ sequence: UInt64) throws(BridgeError) -> OutboxRecord? {
        var found: OutboxRecord?
        do {
            try journal.read(sequences: [sequence]) { _, payload in
                found = OutboxRecord(decoding: payload)
                return false
            }
        } catch {
            guard error.code == .corrupt else {
                throw BridgeError(.outbox, "the outbox cannot be read", cause: error)
            }
        }
        return found
    }

    // MARK: - Cutting

    /// The other side has everything up to the sequence.
    func confirm(through sequence: UInt64) {
        guard sequence > confirmed else { return }
        confirmed = sequence
        ledger.cut(through: sequence)
    }

    /// Begins a new epoch: the other side has seen sequences of this one that we do not have.
    func renewEpoch() throws(BridgeError) {
        epoch = max(UInt64(max(1, MonotonicClock.wallMilliseconds() / 1000)), epoch + 1)
        confirmed = 0
        takeover = nil
        floor = 0
        wasRenewed = true
        try save(force: true)
    }

    /// The other side has everything up to the sequence from the box that this outbox was taken over from.
    func endTakeover(storedThrough sequence: UInt64) throws(BridgeError) {
        floor = sequence
        confirm(through: sequence)
        takeover = nil
        try save(force: true)
    }

    /// Lets the oldest go until the limit is kept again. Whole segments at a time.
    /// - Returns: how many records that nobody has confirmed were dropped.
    func dropOldest() -> UInt64 {
        let first = max(journal.firstSequence, confirmed + 1)
        let last = committed
        guard isFull, first <= last else { return 0 }
        for part in 1...8 as ClosedRange<UInt64> where isFull {
            journal.retire(before: first + (last - first) / 8 * part)
            ledger.cut(through: journal.firstSequence - 1)
        }
        let dropped = journal.firstSequence - min(journal.firstSequence, first)
        droppedOldest += dropped
        return dropped
    }

    /// Writes the state file if it would say something new, then lets go of segments that are not needed.
    func save(force: Bool = false) throws(BridgeError) {
        var state = OutboxState(epoch: epoch)
        state.confirmed = confirmed
        state.used = committed
        state.takeover = takeover
        state.floor = floor
        // With records under way to the disk the position stays behind the last durable one.
        noteCommits()
        state.source = uncommitted.isEmpty ? max(durableSource, source) : durableSource
        guard force || state != lastSaved else { return }
        try stateFile.write(state.encode())
        lastSaved = state
        durableSource = state.source
        journal.retire(before: confirmed + 1)
    }

    /// The oldest record of the main journal that is still needed.
    var oldestNeededRecord: UInt64 {
        // The largest index stands for a record that was looked at to its end.
        durableSource.index == .max ? durableSource.record + 1 : durableSource.record
    }

    /// Ends the journal's thread; everything appended is committed before.
    func close() {
        journal.close()
        try? save()
    }
}

extension MessageReference {
    /// Behind every message of a record.
    static func end(of record: UInt64) -> MessageReference { MessageReference(record: record, index: .max) }
}

/// How many bytes wait, by batch: exact for what this process appended, in proportion within a batch.
struct SizeLedger: Sendable {
    private struct Batch: Sendable {
        var through: UInt64
        var count: UInt64
        var bytes: Int
        var milliseconds: Int64
    }

    private var batches: [Batch] = []
    private var head = 0
    /// Bytes that wait.
    private(set) var bytes = 0

    /// When the oldest batch was queued.
    var oldestMilliseconds: Int64? { head < batches.count ? batches[head].milliseconds : nil }

    mutating func append(through: UInt64, bytes: Int, count: UInt64, milliseconds: Int64) {
        guard count > 0 else { return }
        self.bytes += bytes
        // Long backlogs take few entries: a batch grows to 64 KiB.
        if let last = batches.last, head < batches.count, last.bytes + bytes <= 64 * 1024 {
            batches[batches.count - 1].through = through
            batches[batches.count - 1].count += count
            batches[batches.count - 1].bytes += bytes
        } else {
            batches.append(Batch(through: through, count: count, bytes: bytes, milliseconds: milliseconds))
        }
    }

    mutating func cut(through sequence: UInt64) {
        while head < batches.count, batches[head].through <= sequence {
            bytes -= batches[head].bytes
            head += 1
        }
        if head < batches.count {
            let batch = batches[head]
            let start = batch.through - batch.count
            if sequence > start {
                let gone = sequence - start
                let part = Int(Double(batch.bytes) * Double(gone) / Double(batch.count))
                batches[head].bytes -= part
                batches[head].count -= gone
                bytes -= part
            }
        }
        if head > 1024, head * 2 > batches.count {
            batches.removeFirst(head)
            head = 0
        }
    }
}
