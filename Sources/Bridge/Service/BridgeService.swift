public import MQTT
internal import MosquittoClient
internal import Synchronization

/// A bridge: routes and redacts what the main journal holds, queues it in an outbox of its own, and brings it to
/// another broker whatever the link does. One thread of its own; nothing of the site ever waits for it.
///
/// Make it when the main journal is open and before clients are let in, tell the core ``filters`` as those of a durable
/// reader, call ``sourceAdvanced()`` with every commit notice, and retire the main journal only below
/// ``oldestNeededRecord``.
public final class BridgeService: Sendable {
    /// What the bridge was made from.
    public let settings: BridgeSettings
    /// The filters of its routes.
    public let filters: [TopicFilter]

    private let inbox: BridgeInbox
    private let published: Mutex<Published>
    private let driver: Mutex<DriverBox?>
    private let ended = WaitableFlag()

    struct Published: Sendable {
        var health = BridgeHealth()
        var oldestNeededRecord: UInt64 = 0
    }

    /// Carries the driver to its thread.
    private struct DriverBox: @unchecked Sendable {
        // SAFETY: made by init, taken out once by start(); only the thread uses it afterwards.
        let driver: BridgeDriver
    }

    /// Checks the settings and opens the outbox. Blocks for the time that its recovery takes.
    /// - Parameter log: receives lines for the operator, on the bridge's thread.
    public init(
        settings: BridgeSettings,
        source: any BridgeSource,
        log: @escaping @Sendable (BridgeReport) -> Void
    ) throws(BridgeError) {
        try Self.validate(settings)
        let table = try RouteTable(settings)
        let inbox = BridgeInbox()
        let driver = try BridgeDriver(settings: settings, table: table, source: source, inbox: inbox, log: log)
        self.settings = settings
        self.inbox = inbox
        filters = table.filters
        published = Mutex(driver.snapshot())
        self.driver = Mutex(DriverBox(driver: driver))
    }

    /// Starts the thread, which connects and keeps on.
    public func start() throws(BridgeError) {
        let box = driver.withLock { box in
            defer { box = nil }
            return box
        }
        guard let box else { throw BridgeError(.invalidSettings, "a bridge is started once") }
        do {
            try OwnThread.start(name: "bridge-\(settings.name)") { [self] in
                box.driver.run { snapshot in published.withLock { $0 = snapshot } }
                ended.raise()
            }
        } catch {
            ended.raise()
            throw BridgeError(.system, "the bridge's thread cannot be started", cause: error)
        }
    }

    /// There is something new in the main journal. Any thread; quick.
    public func sourceAdvanced() { inbox.wake.raise() }

    /// Leaves the server until ``resume()``; the outbox goes on filling.
    public func pause() { inbox.post(.pause) }

    /// Goes on after ``pause()``.
    public func resume() { inbox.post(.resume) }

    /// Ends the bridge: what was taken is committed to the outbox, the server is told, files are closed. Waits at most
    /// ten seconds. Nothing is lost: what is not confirmed is sent after the next start.
    public func stop() {
        if let box = driver.withLock({ box in
            defer { box = nil }
            return box
        }) {
            box.driver.close()
            return
        }
        inbox.post(.stop)
        ended.wait(until: MonotonicClock.nanoseconds() + 10_000_000_000, keepRaised: true)
    }

    /// The bridge in numbers.
    public var health: BridgeHealth { published.withLock { $0.health } }

    /// The oldest record of the main journal that the bridge still needs.
    public var oldestNeededRecord: UInt64 { published.withLock { $0.oldestNeededRecord } }

    private static func validate(_ settings: BridgeSettings) throws(BridgeError) {
        func check(_ condition: Bool, _ message: String) throws(BridgeError) {
            guard condition else { throw BridgeError(.invalidSettings, message) }
        }
        try check(!settings.name.isEmpty && !settings.site.isEmpty, "a bridge has a name and a site")
        // What stands in the topic and what stands in the stamp must be the same text.
        try check(
            !settings.usesNarrowTopics || (settings.site.utf8.count <= 64 && UpstreamTopic.isPlain(settings.site)),
            "a site's name is 1 to 64 letters, digits, `-` and `_`"
        )
        try check(
            settings.tls != nil || settings.isLoopback || settings.allowsInsecure,
            "plain TCP leaves the machine only with `insecure: true`; use mqtts://"
        )
        try check((1...65_535).contains(settings.window), "`window` is 1 to 65535")
        try check(settings.unconfirmedMax > 0, "at least one message must be allowed beyond the watermark")
        try check(settings.outboxBytesMax >= 64 * 1024, "`max_outbox_bytes` is at least 64 KiB")
        try check(settings.restartBaseMilliseconds <= settings.restartCapMilliseconds, "`restart`: base is above cap")
        try check(settings.confirm == .puback || settings.isStamped, "`confirm: commit` needs stamped messages")
        try check((1...1_024).contains(settings.shardCount), "`shards` is 1 to 1024")
        try check(settings.poisonDisconnects >= 2, "a message is set aside after two disconnects at the earliest")
    }
}

/// What other threads tell the bridge's thread.
final class BridgeInbox: Sendable {
    enum Message: Sendable {
        case connection(generation: UInt64, MosquittoEvent)
        case pause
        case resume
        case stop
    }

    let wake = WaitableFlag()
    private let messages = Mutex<[Message]>([])

    func post(_ message: Message) {
        messages.withLock { $0.append(message) }
        wake.raise()
    }

    /// Everything since the last time.
    func takeAll() -> [Message] {
        messages.withLock { messages in
            defer { messages = [] }
            return messages
        }
    }
}
