internal import Glibc

/// An append-only log of what an auditor asks about: JSON lines, each holding the hash of the one before.
///
/// ``record(_:)`` never blocks: records wait in a bounded queue for the log's own thread, which writes what has come as
/// one batch and forces it to the disk. A directory belongs to one log at a time.
public final class AuditLog: Sendable {
    private struct State {
        var waiting: [AuditRecord] = []
        /// Records that found the queue full, or were given up with the log.
        var lost: UInt64 = 0
        var lostInAll: UInt64 = 0
        var written: UInt64 = 0
        /// Records taken, and how many of these are on the disk or lost: what ``flush(milliseconds:)`` compares.
        var taken: UInt64 = 0
        var settled: UInt64 = 0
        var head = AuditHead.start
        var isFailing = false
        var isClosing = false
        var hasEnded = false
    }

    /// What has been counted since the start.
    public struct Statistics: Sendable, Hashable {
        /// Records on the disk, those of the log about itself not among them.
        public var written: UInt64
        /// Records that were never written.
        public var lost: UInt64
        /// Records that wait.
        public var waiting: Int
        /// Whether the disk refuses them.
        public var isFailing: Bool
    }

    /// Where it lies, and its limits.
    public let configuration: AuditConfiguration
    private let queue: AuditQueue<State>

    /// Milliseconds between two tries while the disk refuses.
    private static let retryMillisecondsMax = 1_000
    /// Records written at once.
    private static let batchRecordsMax = 1_024

    /// Opens a log, and goes on where the last process ended.
    ///
    /// - Parameters:
    ///   - configuration: Where it lies, and its limits.
    ///   - disk: The calls that write.
    ///   - onReport: Told about the log itself, on its thread.
    /// - Throws: If the directory cannot be used.
    public static func open(
        _ configuration: AuditConfiguration,
        disk: any AuditDisk = PosixAuditDisk(),
        onReport: @escaping @Sendable (AuditReport) -> Void = { _ in }
    ) throws(AuditError) -> AuditLog {
        let writer = try AuditFileWriter(configuration, disk: disk)
        for report in writer.reports { onReport(report) }
        // What was found, first: if the disk refuses already, the caller hears of it now.
        let found = writer.found
        if let failure = writer.write(found[...]).failure { throw failure }
        let log = AuditLog(configuration, head: writer.head)
        try log.start(writer, onReport)
        return log
    }

    private init(_ configuration: AuditConfiguration, head: AuditHead) {
        self.configuration = configuration
        var state = State()
        state.head = head
        queue = AuditQueue(state)
    }

    /// Takes a record. Callable from any thread; it never waits for the disk.
    public func record(_ record: AuditRecord) {
        queue.update { state in
            state.taken &+= 1
            guard !state.isClosing, state.waiting.count < configuration.waitingRecordsMax else {
                state.lost &+= 1
                state.lostInAll &+= 1
                state.settled &+= 1
                return
            }
            state.waiting.append(record)
        }
    }

    /// The last record that is on the disk. Published or sent elsewhere, it tells later whether the log was cut or
    /// written anew.
    public var head: AuditHead { queue.withLock { $0.head } }

    /// What has been counted since the start.
    public var statistics: Statistics {
        queue.withLock {
            Statistics(
                written: $0.written,
                lost: $0.lostInAll,
                waiting: $0.waiting.count,
                isFailing: $0.isFailing
            )
        }
    }

    /// Waits until all that was recorded before is on the disk or lost. Blocks: never on an event loop.
    ///
    /// - Returns: Whether it is.
    @discardableResult
    public func flush(milliseconds: Int = 5_000) -> Bool {
        let taken = queue.withLock { $0.taken }
        return queue.wait(milliseconds: milliseconds) { $0.settled >= taken || $0.hasEnded ? true : nil } ?? false
    }

    /// Writes what waits, gives up what the disk refuses, and ends the thread. Blocks: never on an event loop.
    public func close() {
        queue.update { $0.isClosing = true }
        _ = queue.wait { $0.hasEnded ? true : nil }
    }

    // MARK: - The thread

    private func start(
        _ writer: sending AuditFileWriter,
        _ onReport: @escaping @Sendable (AuditReport) -> Void
    ) throws(AuditError) {
        let body = AuditThread(log: self, writer: writer, onReport: onReport)
        let context = Unmanaged.passRetained(body)
        // The new thread inherits the mask: signals are for others.
        var blocked = sigset_t()
        var before = sigset_t()
        sigfillset(&blocked)
        pthread_sigmask(SIG_BLOCK, &blocked, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<AuditThread>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context.toOpaque()
        )
        guard code == 0 else {
            context.release()
            throw AuditError("pthread_create", configuration.directory, code: code)
        }
        pthread_detach(thread)
    }

    /// The next records to write, and how many were lost before them; nil when the log is closed and nothing waits.
    fileprivate func next() -> (records: [AuditRecord], lost: UInt64)? {
        queue.wait { state -> (records: [AuditRecord], lost: UInt64)?? in
            guard !state.waiting.isEmpty || state.lost > 0 else { return state.isClosing ? .some(nil) : nil }
            let records = Array(state.waiting.prefix(Self.batchRecordsMax))
            state.waiting.removeFirst(records.count)
            // What was lost came after what waits.
            let lost = state.waiting.isEmpty ? state.lost : 0
            state.lost -= lost
            return .some((records, lost))
        } ?? nil
    }

    fileprivate func wrote(_ count: Int, head: AuditHead) {
        queue.update { state in
            state.written &+= UInt64(count)
            state.settled &+= UInt64(count)
            state.head = head
            state.isFailing = false
        }
    }

    /// Waits before a second try. False if the log is closed meanwhile, so that there is none.
    fileprivate func waitAfterFailure() -> Bool {
        queue.update { $0.isFailing = true }
        return queue.wait(milliseconds: Self.retryMillisecondsMax) { $0.isClosing ? false : nil } ?? true
    }

    fileprivate var lostInAll: UInt64 { queue.withLock { $0.lostInAll } }

    fileprivate func ended(givenUp: Int) {
        queue.update { state in
            let lost = UInt64(givenUp + state.waiting.count)
            state.lostInAll &+= lost
            state.settled &+= lost
            state.waiting = []
            state.hasEnded = true
        }
    }
}

/// What runs on the log's thread.
///
/// SAFETY: made by one thread and then touched by the log's alone.
private final class AuditThread: @unchecked Sendable {
    private let log: AuditLog
    private let writer: AuditFileWriter
    private let onReport: @Sendable (AuditReport) -> Void
    private var isFailing = false
    private var givenUp = 0

    init(log: AuditLog, writer: sending AuditFileWriter, onReport: @escaping @Sendable (AuditReport) -> Void) {
        self.log = log
        self.writer = writer
        self.onReport = onReport
    }

    func run() {
        while let (records, lost) = log.next() {
            guard write(records[...], lost: lost) else { break }
        }
        writer.end()
        log.ended(givenUp: givenUp)
    }

    /// Writes a batch, however often it takes. False if the log was closed while the disk refused.
    private func write(_ records: ArraySlice<AuditRecord>, lost: UInt64) -> Bool {
        var rest = records
        while true {
            var (count, failure) = writer.write(rest)
            rest = rest.dropFirst(count)
            if failure == nil, lost > 0 {
                let fields = [AuditRecord.Field("count", "\(lost)")]
                failure = writer.write([AuditRecord(AuditKind.lost, fields)]).failure
            }
            if let failure {
                if !isFailing { onReport(.failing(failure)) }
                isFailing = true
                if log.waitAfterFailure() { continue }
                givenUp = rest.count
                return false
            }
            log.wrote(records.count, head: writer.head)
            if isFailing { onReport(.working(lost: log.lostInAll)) }
            isFailing = false
            return true
        }
    }
}
