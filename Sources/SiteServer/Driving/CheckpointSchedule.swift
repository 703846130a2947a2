internal import Broker

/// When the core's state is written as a checkpoint, so that recovery reads little and the journal can be retired.
///
/// A checkpoint speaks of every record handed to the journal so far, so it waits until those are on the disk.
struct CheckpointSchedule {
    /// A snapshot that waits for its last record to be committed.
    struct Waiting {
        let snapshot: BrokerSnapshot
        let through: UInt64
        let oldestNeeded: UInt64

        /// Once it is written, the core needs no record before this one.
        var retirableBefore: UInt64 { min(oldestNeeded, through &+ 1) }
    }

    /// Records that journal readers outside the core still need; `UInt64.max` if none.
    let externalOldestNeeded: @Sendable () -> UInt64
    private let bytesBetween: Int
    private var bytesSince = 0
    private(set) var waiting: Waiting?
    private var isWriting = false
    /// Whether one has been written since the start.
    private(set) var isAnyWritten = false
    /// Records before it are needed by nobody in the core, as far as the disk knows: after a crash, too.
    private(set) var retirableBefore: UInt64

    /// - Parameter retirableBefore: The oldest record that the core needs at the start.
    init(bytesBetween: Int, retirableBefore: UInt64, externalOldestNeeded: @escaping @Sendable () -> UInt64) {
        self.retirableBefore = retirableBefore
        self.bytesBetween = bytesBetween
        self.externalOldestNeeded = externalOldestNeeded
    }

    /// Whether none waits and none is being written.
    var isIdle: Bool { waiting == nil && !isWriting }

    /// Notes that bytes went to the journal. True if a snapshot is due.
    mutating func appended(bytes: Int) -> Bool {
        bytesSince += bytes
        return bytesSince >= bytesBetween && isIdle
    }

    /// Takes a snapshot in.
    mutating func took(_ waiting: Waiting) {
        bytesSince = 0
        self.waiting = waiting
    }

    /// The snapshot, if its records are on the disk now.
    mutating func committed(through sequence: UInt64) -> Waiting? {
        guard let ready = waiting, ready.through <= sequence else { return nil }
        waiting = nil
        isWriting = true
        return ready
    }

    /// The checkpoint is written, or could not be.
    mutating func finished(_ written: Waiting?) {
        isWriting = false
        guard let written else { return }
        isAnyWritten = true
        retirableBefore = written.retirableBefore
    }
}
