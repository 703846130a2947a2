import Synchronization

/// One ordered, checksummed log of records on a disk, written by one thread in groups and read by many.
///
/// Records have consecutive sequence numbers from 1. ``append(firstSequence:bytes:ends:)`` queues them and returns at
/// once; the journal's thread writes all that came while its last sync ran, syncs once and reports the commit. Readers
/// follow with ``read(from:maxBytes:_:)`` from any thread and never see a record that is not committed.
public final class Journal: Sendable {
    /// How it is kept.
    public let configuration: Configuration
    /// The identity that all its files carry.
    public let identity: JournalIdentity
    let disk: any Disk
    let catalogue: Catalogue
    let checksums: Checksum
    private let loop: CommitLoop
    private let thread: Mutex<Thread?>
    /// Serialises checkpoints and retirement, which may come from different threads.
    let housekeeping = Mutex<Void>(())
    /// Given back by ``close()``. A journal that failed keeps it: its owner still reads.
    private let lock: Mutex<(any DiskLock)?>

    /// Opens the journal in a directory, or makes it, and recovers what is there.
    ///
    /// Blocks for the time it takes to read all segments. `onCommit` is called on the journal's own thread; it must not
    /// block.
    public static func open(
        _ configuration: Configuration,
        disk: any Disk = PosixDisk(),
        onCommit: @escaping @Sendable (CommitNotice) -> Void
    ) throws(JournalError) -> (journal: Journal, recovery: Recovery) {
        let opened = try RecoveryRun.run(configuration, disk)
        let (journal, writer) = try make(opened, configuration, disk, onCommit)
        try journal.start(writer)
        return (journal, opened.recovery)
    }

    /// Opens it as ``open(_:disk:onCommit:)`` does, but with no thread: what was appended is committed, and `onCommit`
    /// called, when the owner says ``JournalStepper/step()``. For an owner that runs everything on one thread.
    public static func openStepped(
        _ configuration: Configuration,
        disk: any Disk = PosixDisk(),
        onCommit: @escaping @Sendable (CommitNotice) -> Void
    ) throws(JournalError) -> (journal: Journal, stepper: JournalStepper, recovery: Recovery) {
        let opened = try RecoveryRun.run(configuration, disk)
        let (journal, writer) = try make(opened, configuration, disk, onCommit)
        return (journal, JournalStepper(journal.loop, writer), opened.recovery)
    }

    private static func make(
        _ opened: RecoveryRun.Result,
        _ configuration: Configuration,
        _ disk: any Disk,
        _ onCommit: @escaping @Sendable (CommitNotice) -> Void
    ) throws(JournalError) -> (Journal, SegmentWriter) {
        let journal = Journal(opened, configuration, disk, onCommit)
        let writer = SegmentWriter(
            configuration: configuration,
            disk: disk,
            identity: opened.identity,
            catalogue: journal.catalogue,
            active: opened.active,
            tail: opened.tail,
            lastSequence: opened.recovery.nextSequence - 1
        )
        try writer.begin()
        return (journal, writer)
    }

    private init(
        _ opened: RecoveryRun.Result,
        _ configuration: Configuration,
        _ disk: any Disk,
        _ onCommit: @escaping @Sendable (CommitNotice) -> Void
    ) {
        self.configuration = configuration
        self.disk = disk
        identity = opened.identity
        checksums = Checksum(of: opened.identity)
        catalogue = Catalogue(opened.state)
        lock = Mutex(opened.lock)
        thread = Mutex(nil)
        let last = opened.recovery.nextSequence - 1
        loop = CommitLoop(configuration: configuration, lastSequence: last, onCommit: onCommit)
    }

    private func start(_ writer: SegmentWriter) throws(JournalError) {
        let box = WriterBox(writer)
        let loop = loop
        // The lock file stays held until the thread has ended, also where nobody called close().
        let held = lock.withLock { $0 }
        guard let started = Thread({ withExtendedLifetime(held) { loop.run(box.writer) } }) else {
            throw JournalError(.accessFailed, "The system has no thread for the journal. Raise its limit of threads.")
        }
        thread.withLock { $0 = started }
    }

    deinit {
        loop.mailbox.update { $0.isClosing = true }
        thread.withLock { $0?.detach() }
    }

    // MARK: Appending

    /// Queues records. Returns at once; ``CommitNotice`` tells when they are committed. Any one thread at a time.
    ///
    /// `bytes` holds the payloads one after the other and `ends` where each ends. `firstSequence` must continue what
    /// was appended before. After a failure or ``close()`` the records are dropped, and never acknowledged.
    public func append(firstSequence: UInt64, bytes: [UInt8], ends: [Int]) {
        guard !ends.isEmpty else { return }
        loop.mailbox.update { mailbox in
            guard mailbox.failure == nil, !mailbox.isClosing else { return }
            if let misuse = Journal.misuse(firstSequence, bytes, ends, after: mailbox.acceptedThrough) {
                mailbox.failure = misuse
                return
            }
            let batch = Batch(firstSequence: firstSequence, bytes: bytes, ends: ends)
            let pending = mailbox.pendingBytes + batch.cost
            guard pending <= configuration.maxPendingBytes * Configuration.hardLimitFactor else {
                let limit = "\(configuration.maxPendingBytes * Configuration.hardLimitFactor) bytes"
                mailbox.failure = JournalError(
                    .pendingOverflow,
                    "More than \(limit) wait for the disk and the caller did not slow down. Restart the site."
                )
                return
            }
            mailbox.pendingBytes = pending
            mailbox.acceptedThrough = firstSequence + UInt64(ends.count) - 1
            mailbox.batches.append(batch)
        }
    }

    private static func misuse(_ first: UInt64, _ bytes: [UInt8], _ ends: [Int], after: UInt64) -> JournalError? {
        guard first == after &+ 1 else {
            return JournalError(.misuse, "Records were appended out of order: \(first) after \(after).")
        }
        var start = 0
        for end in ends {
            guard end >= start, end <= bytes.count else {
                return JournalError(.misuse, "The ends of appended records do not fit their bytes.")
            }
            guard end - start <= Configuration.maxRecordBytes else {
                return JournalError(.misuse, "A record of \(end - start) bytes is larger than a record may be.")
            }
            start = end
        }
        return nil
    }

    /// Bytes that were appended and are not committed yet, with what each record costs beside its payload.
    public var pendingBytes: Int { loop.mailbox.withLock { $0.pendingBytes } }

    /// False once more than ``Configuration/maxPendingBytes`` wait: stop reading from publishers until it is true
    /// again.
    public var hasRoom: Bool { pendingBytes < configuration.maxPendingBytes }

    /// Whether the journal waits for room (see ``CommitNotice/stalled(_:)``).
    public var isStalled: Bool { loop.mailbox.withLock { $0.isStalled } }

    /// How much room there is, as of the last commit or attempt.
    public var room: Room { loop.mailbox.withLock { $0.isStalled ? .none : $0.room } }

    /// Why the journal takes no more records, or nil if it does.
    public var failure: JournalError? { loop.mailbox.withLock { $0.failure } }

    // MARK: Position

    /// The last committed record; 0 in an empty journal.
    public var committedSequence: UInt64 { catalogue.withLock { $0.committedSequence } }

    /// The oldest record that may still be read. In an empty journal the one that comes next.
    public var firstSequence: UInt64 {
        catalogue.withLock { $0.segments.first?.firstSequence ?? $0.committedSequence + 1 }
    }

    /// The sequence that the next appended record must have.
    public var nextSequence: UInt64 { loop.mailbox.withLock { $0.acceptedThrough + 1 } }

    /// Bytes that all files of the journal take.
    public var bytesOnDisk: Int { catalogue.bytesOnDisk }

    // MARK: End

    /// Commits what was appended, syncs, and ends the thread. What waits for room is dropped: it was never
    /// acknowledged. Reading still works afterwards. Called from `onCommit`, it does not wait for the end.
    public func close() {
        let ended = thread.withLock { thread -> Thread? in
            defer { thread = nil }
            return thread
        }
        loop.mailbox.update { $0.isClosing = true }
        guard let ended else { return }
        if ended.isCurrent { ended.detach() } else { ended.join() }
        lock.withLock { $0 = nil }
    }

    /// Tells the thread that room may have come.
    func wakeStalled() { loop.mailbox.update { $0.isRetryWanted = true } }
}

/// Carries the writer to its thread.
private final class WriterBox: @unchecked Sendable {
    // SAFETY: made on the opening thread, which never touches it again after the journal's thread was started.
    let writer: SegmentWriter
    init(_ writer: SegmentWriter) { self.writer = writer }
}
