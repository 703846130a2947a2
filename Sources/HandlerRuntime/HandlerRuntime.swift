public import Broker
import Foundation
public import HandlerKit
public import Logging
import Synchronization

/// Runs a site's handlers on a thread of their own: reads committed messages from the journal, decides, and hands
/// commits to the broker.
///
/// It pulls. ``committed(through:)`` only wakes the thread; if it falls behind, the journal is its queue, and nothing
/// grows in memory but the window of commits that are submitted and not yet on disk
/// (``HandlerLimits/inFlightCommitsMax``). All public methods may be called from any thread.
public final class HandlerRuntime: Sendable {
    /// Takes commits, in order, to the broker's loop. There, `BrokerCore.submit` makes one journal record of each;
    /// after that, ``HandlerRuntime/appended(_:through:)`` must be told which record the last of them became.
    public typealias Submit = @Sendable (_ commits: [HandlerCommit]) -> Void

    /// Where every handler stands in the journal, and what the handlers did: shared between the threads.
    private struct Shared {
        struct Batch {
            var count: Int
            /// The record that holds the batch's last commit, once known.
            var record: UInt64?
            /// The position of each handler after the batch, by lane.
            var positions: [MessageReference?]
        }

        var committed: UInt64
        var inFlight: [Batch] = []
        var inFlightCount = 0
        var positions: [MessageReference]
        var metrics: [HandlerMetrics]
        var isWoken = true
        var isStopping = false
        var isRunning = false
        var hasEnded = false
        var failure: String?
    }

    /// Topic filters of everything that handlers want to be given: for `BrokerCore.addDurableReader`.
    public let filters: [String]

    private let records: any CommittedRecords
    private let limits: HandlerLimits
    private let clock: @Sendable () -> Int64
    private let logger: Logger
    private let submit: Submit
    private let condition = NSCondition()
    private let shared: Mutex<Shared>
    // SAFETY: touched by `init`, then by the runtime's thread alone, which `start()` makes and which is made once.
    private nonisolated(unsafe) let engine: HandlerEngine

    /// Sets the handlers up as the journal left them. Nothing runs before ``start()``.
    ///
    /// - Parameters:
    ///   - site: The site's name.
    ///   - registrations: The handlers, with different names.
    ///   - records: The journal.
    ///   - recovered: `BrokerCore.recoveredHandlers`.
    ///   - limits: What handlers may use.
    ///   - logger: For what the operator must know.
    ///   - clock: The wall clock, milliseconds since 1970.
    ///   - submit: Takes commits to the broker; must not block.
    /// - Throws: ``HandlerConfigurationError`` if a handler cannot be made from its configuration.
    public init(
        site: String,
        registrations: [HandlerRegistration],
        records: any CommittedRecords,
        recovered: [String: RecoveredHandler],
        limits: HandlerLimits = HandlerLimits(),
        logger: Logger,
        clock: @escaping @Sendable () -> Int64 = HandlerRuntime.wallClock,
        submit: @escaping Submit
    ) throws(HandlerConfigurationError) {
        let committed = records.committedSequence
        let start = ContinuousClock.now
        let engine = try HandlerEngine(
            site: site,
            registrations: registrations,
            recovered: recovered,
            firstSequence: records.firstSequence,
            committedSequence: committed,
            limits: limits,
            stopwatch: {
                let elapsed = (ContinuousClock.now - start).components
                return Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
            }
        )
        self.engine = engine
        self.records = records
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.submit = submit
        self.filters = Array(Set(engine.lanes.flatMap { $0.patterns.map(\.filter) })).sorted()
        self.shared = Mutex(
            Shared(
                committed: committed,
                positions: engine.lanes.map(\.committedPosition),
                metrics: engine.lanes.map(\.metrics)
            )
        )
    }

    /// The system's wall clock, milliseconds since 1970.
    public static let wallClock: @Sendable () -> Int64 = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    // MARK: - From other threads

    /// Starts the thread. Further calls do nothing.
    public func start() {
        let mayStart = shared.withLock { shared in
            defer { shared.isRunning = true }
            return !shared.isRunning
        }
        guard mayStart else { return }
        let thread = Thread { [self] in run() }
        thread.name = "causeway-handlers"
        thread.start()
    }

    /// The journal has everything up to this record on disk. Called on every commit notice; cheap.
    public func committed(through sequence: UInt64) {
        shared.withLock { shared in
            shared.committed = max(shared.committed, sequence)
            Self.release(&shared)
        }
        wake()
    }

    /// The oldest `count` commits that were submitted and not yet reported stand in journal records up to `sequence`.
    public func appended(_ count: Int, through sequence: UInt64) {
        shared.withLock { shared in
            var left = count
            for index in shared.inFlight.indices where left > 0 && shared.inFlight[index].record == nil {
                shared.inFlight[index].record = sequence
                left -= shared.inFlight[index].count
            }
            Self.release(&shared)
        }
        wake()
    }

    /// Frees the window of what is on disk.
    private static func release(_ shared: inout Shared) {
        while let batch = shared.inFlight.first, let record = batch.record, record <= shared.committed {
            shared.inFlight.removeFirst()
            shared.inFlightCount -= batch.count
            for (index, position) in batch.positions.enumerated() {
                if let position { shared.positions[index] = position }
            }
        }
    }

    /// Makes the thread look for work.
    public func wake() {
        condition.lock()
        shared.withLock { $0.isWoken = true }
        condition.signal()
        condition.unlock()
    }

    /// Ends the thread after the turn it is in, with a last commit of the positions, and waits for it. Commits that are
    /// in flight are the journal's affair.
    public func stop() {
        shared.withLock { $0.isStopping = true }
        condition.lock()
        defer { condition.unlock() }
        shared.withLock { $0.isWoken = true }
        condition.broadcast()
        while shared.withLock({ $0.isRunning && !$0.hasEnded }) {
            condition.wait()
        }
    }

    /// The oldest journal record that some handler still needs; everything below may be retired.
    public var oldestNeededRecord: UInt64 {
        shared.withLock { shared in
            shared.positions.map(HandlerEngine.neededRecord).min() ?? .max
        }
    }

    /// What the handlers have done and how they are, in the order of the registrations.
    public var metrics: [HandlerMetrics] {
        shared.withLock { shared in
            shared.metrics.indices.map { index in
                var metrics = shared.metrics[index]
                metrics.inFlight = shared.inFlightCount
                metrics.position = shared.positions[index].record
                return metrics
            }
        }
    }

    /// All decisions since the start.
    public var decided: UInt64 { shared.withLock { $0.metrics.reduce(0) { $0 + $1.decided } } }

    /// Why the handlers stand still, if they do: the journal cannot be read. Until a restart they decide nothing.
    public var failure: String? { shared.withLock { $0.failure } }

    // MARK: - On the thread

    private func run() {
        while true {
            let now = clock()
            let next = turn(now)
            let isStopping = shared.withLock { $0.isStopping }
            if isStopping {
                engine.commitPositions(now: now, isStopping: true)
                submitCommits()
                break
            }
            switch next {
            case .goOn: continue
            case .waitUntil(let instant): wait(until: instant)
            case .waitForNotice: wait(until: nil)
            }
        }
        condition.lock()
        shared.withLock { $0.hasEnded = true }
        condition.broadcast()
        condition.unlock()
    }

    /// What comes after a turn.
    private enum Next {
        /// There is more that can be done at once.
        case goOn
        /// Nothing until this instant, if ever, or a notice.
        case waitUntil(Int64?)
        /// The window is full or the journal cannot be read: no clock helps.
        case waitForNotice
    }

    /// Reads and decides as much as the window and ``HandlerLimits/readBytesMax`` allow.
    private func turn(_ now: Int64) -> Next {
        let (committed, room, hasFailed) = shared.withLock { shared in
            shared.isWoken = false
            return (shared.committed, limits.inFlightCommitsMax - shared.inFlightCount, shared.failure != nil)
        }
        guard !hasFailed else { return .waitForNotice }
        let begin = engine.cursor
        if engine.outbox.count < room, begin <= committed { read(through: committed, room: room, now) }
        let isCaughtUp = engine.cursor > committed
        var hasMore = engine.cursor > begin
        if isCaughtUp { hasMore = engine.outbox.count < room && engine.fireTimers(now: now) }
        engine.commitPositions(now: now)
        submitCommits()
        publishMetrics()
        let isFull = shared.withLock { $0.inFlightCount >= limits.inFlightCommitsMax }
        if isFull { return .waitForNotice }
        if hasMore { return .goOn }
        return isCaughtUp ? .waitUntil(engine.nextWake(now: now)) : .waitForNotice
    }

    private func read(through committed: UInt64, room: Int, _ now: Int64) {
        do {
            let next = try records.read(from: engine.cursor, maxBytes: limits.readBytesMax) { sequence, messages in
                guard sequence <= committed else { return false }
                engine.consume(sequence: sequence, messages: messages, now: now)
                return engine.outbox.count < room
            }
            // What is left out at the end is gone; waiting for it would be in vain.
            if next <= committed + 1 { engine.skip(to: next, now: now) }
        } catch let lost as LostRecords {
            engine.skip(to: lost.sequences.upperBound + 1, now: now)
        } catch {
            fail(error)
        }
    }

    private func submitCommits() {
        while !engine.outbox.isEmpty {
            let taken = engine.takeCommits(limits.batchCommitsMax)
            var positions = [MessageReference?](repeating: nil, count: engine.lanes.count)
            for (lane, commit) in taken { positions[lane] = commit.position }
            let batch = Shared.Batch(count: taken.count, record: nil, positions: positions)
            shared.withLock { shared in
                shared.inFlight.append(batch)
                shared.inFlightCount += taken.count
            }
            submit(taken.map(\.commit))
        }
    }

    private func publishMetrics() {
        let metrics = engine.lanes.map { lane in
            var metrics = lane.metrics
            metrics.keys = lane.table.keyCount
            metrics.timers = lane.timers.count
            metrics.isBreakerOpen = lane.breaker.isOpen
            return metrics
        }
        shared.withLock { $0.metrics = metrics }
        for line in engine.diagnostics {
            logger.log(
                level: line.level == .error ? .error : .info,
                "\(line.message)",
                metadata: line.metadata.mapValues { .string($0) }
            )
        }
        engine.diagnostics.removeAll()
    }

    private func fail(_ error: any Error) {
        shared.withLock { $0.failure = "the journal cannot be read" }
        logger.error(
            "The handlers stand still: the journal cannot be read",
            metadata: ["error": .string(String(describing: error)), "record": .string(String(engine.cursor))]
        )
    }

    private func wait(until instant: Int64?) {
        condition.lock()
        defer { condition.unlock() }
        while !shared.withLock({ $0.isWoken || $0.isStopping }) {
            guard let instant else {
                condition.wait()
                continue
            }
            let seconds = Double(instant - clock()) / 1000
            guard seconds > 0, condition.wait(until: Date(timeIntervalSinceNow: min(seconds, 3600))) else { return }
        }
    }
}
