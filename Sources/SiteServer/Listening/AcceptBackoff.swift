internal import Logging
internal import NIOCore
internal import Synchronization

/// What follows a failure of `accept` (no file descriptor left, no memory): a log line now and then, a pause, another
/// try. The listener stays.
final class AcceptBackoff: Sendable {
    private static let pause = TimeAmount.milliseconds(500)
    private static let logInterval = TimeAmount.seconds(30)

    private let listener: String
    private let counters: ServerCounters
    private let logger: Logger
    private let nextLog = Mutex(NIODeadline.distantPast)

    init(listener: String, counters: ServerCounters, logger: Logger) {
        self.listener = listener
        self.counters = counters
        self.logger = logger
    }

    func delay(after error: IOError) -> TimeAmount? {
        counters.acceptFailures.add()
        let now = NIODeadline.now()
        let isLogged = nextLog.withLock { next in
            guard now >= next else { return false }
            next = now + Self.logInterval
            return true
        }
        if isLogged {
            logger.error(
                "Connections cannot be accepted for now",
                metadata: ["cw_listener": "\(listener)", "cw_error": "\(error)"]
            )
        }
        return Self.pause
    }
}
