internal import Foundation
public import Logging
internal import MosquittoClient
internal import Synchronization

/// Receives the bridged messages of many sites, stores each exactly once, and tells every site how far its stream is
/// stored.
///
/// Works on a thread of its own: nothing here blocks the caller but `stop`. A message is acknowledged to the broker,
/// and its site told to forget it, only after the transaction that holds it is on the disk. When the store fails,
/// nothing is acknowledged until it works again.
public final class Aggregator: Sendable {
    private enum State {
        case idle
        case running
        case ended
    }

    private struct Shared {
        var state = State.idle
        var statistics = AggregatorStatistics()
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// What tells this run of the aggregator from others; sites see it in every commit notice.
    public let incarnation = UUID().uuidString.lowercased()

    private let configuration: AggregatorConfiguration
    private let makeStore: @Sendable () -> any Store
    private let makeLink: @Sendable () throws -> any AggregatorLink
    private let milliseconds: @Sendable () -> Int64
    private let logger: Logger
    private let mailbox: AggregatorMailbox
    private let shared = Mutex(Shared())

    /// Makes an aggregator that is not started.
    ///
    /// - Parameters:
    ///   - configuration: what to subscribe to, and limits.
    ///   - logger: where failures are said, once each.
    ///   - milliseconds: the wall clock, milliseconds since 1970-01-01 UTC; the system's if nil.
    ///   - makeStore: makes the store, on the aggregator's thread, which alone uses it.
    ///   - makeLink: makes a link for one connection; called for every attempt.
    public init(
        configuration: AggregatorConfiguration = AggregatorConfiguration(),
        logger: Logger,
        milliseconds: (@Sendable () -> Int64)? = nil,
        makeStore: @escaping @Sendable () -> any Store,
        makeLink: @escaping @Sendable () throws -> any AggregatorLink
    ) {
        self.configuration = configuration
        self.logger = logger
        self.milliseconds = milliseconds ?? { Int64(Date().timeIntervalSince1970 * 1_000) }
        self.makeStore = makeStore
        self.makeLink = makeLink
        mailbox = AggregatorMailbox(configuration: configuration)
    }

    /// What it has done and how it is. At most about a second old.
    public var statistics: AggregatorStatistics { shared.withLock { $0.statistics } }

    /// Starts the thread. A second call does nothing.
    ///
    /// Throws only if the system refuses a thread. A store or broker that cannot be reached is tried again.
    public func start() throws {
        let isFirst = shared.withLock { shared in
            guard shared.state == .idle else { return false }
            shared.state = .running
            return true
        }
        guard isFirst else { return }
        do {
            try OwnThread.start(name: "aggregator") { [self] in
                work()
            }
        } catch {
            end()
            throw error
        }
    }

    /// Commits what is queued, closes the link and the store, and returns when the thread has ended.
    public func stop() async {
        mailbox.stop()
        await withCheckedContinuation { continuation in
            let isOver = shared.withLock { shared in
                if shared.state == .idle { shared.state = .ended }
                guard shared.state == .running else { return true }
                shared.waiters.append(continuation)
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    /// Starts, runs until the task is cancelled, and stops.
    public func run() async throws {
        try start()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = shared.withLock { shared in
                    guard shared.state == .running else { return true }
                    shared.waiters.append(continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            mailbox.stop()
        }
    }

    private func work() {
        AggregatorWorker(
            configuration: configuration,
            store: makeStore(),
            mailbox: mailbox,
            incarnation: incarnation,
            logger: logger,
            milliseconds: milliseconds,
            publishStatistics: { [self] statistics in
                shared.withLock { $0.statistics = statistics }
            },
            makeLink: makeLink
        ).run()
        end()
    }

    private func end() {
        let waiters = shared.withLock { shared in
            shared.state = .ended
            defer { shared.waiters = [] }
            return shared.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
