internal import Glibc
internal import MosquittoClient
internal import Synchronization

/// Gives a relay its connection to the site's own broker: a connected stream socket, the relay's to close, on whose
/// other end the broker serves an MQTT 5.0 client whom its owner trusts. That client may publish and subscribe to
/// everything, its state below `$SYS` included. Called on the relay's thread, again after each failure; it may block
/// for a moment.
public typealias RelayLocalPort = @Sendable (RelaySettings) throws -> CInt

/// One bridge as Mosquitto's `connection` blocks describe it. It stands between two brokers as a client of both, with a
/// thread of its own; the site's broker keeps what waits, in the session of ``RelaySettings/localClientID``.
///
/// Every method may be called from any thread.
public final class Relay: Sendable {
    private struct Shared: Sendable {
        var settings: RelaySettings
        var isStarted = false
        var health = RelayHealth()
    }

    private let shared: Mutex<Shared>
    private let attach: RelayLocalPort
    private let log: @Sendable (BridgeReport) -> Void
    private let inbox: RelayInbox
    private let ended = WaitableFlag()
    private let attached = WaitableFlag()

    /// Checks the settings.
    /// - Parameters:
    ///   - attach: gives the connection to the site's own broker.
    ///   - log: receives lines for the operator, on the relay's thread.
    public init(
        settings: RelaySettings,
        attach: @escaping RelayLocalPort,
        log: @escaping @Sendable (BridgeReport) -> Void
    ) throws(BridgeError) {
        try settings.validate()
        _ = try RelayTopicMap(settings.topics)
        shared = Mutex(Shared(settings: settings))
        self.attach = attach
        self.log = log
        do {
            inbox = try RelayInbox()
        } catch {
            throw BridgeError(.system, "a bridge cannot be woken", cause: error)
        }
    }

    /// What it was made from, or last changed to.
    public var settings: RelaySettings { shared.withLock { $0.settings } }

    /// The relay in numbers.
    public var health: RelayHealth { shared.withLock { $0.health } }

    /// Starts the thread, which connects and keeps on.
    public func start() throws(BridgeError) {
        let isFirst = shared.withLock { shared in
            defer { shared.isStarted = true }
            return !shared.isStarted
        }
        guard isFirst else { throw BridgeError(.invalidSettings, "a bridge is started once") }
        do {
            try OwnThread.start(name: "relay-\(settings.name)") { [self] in
                run()
                ended.raise()
            }
        } catch {
            ended.raise()
            throw BridgeError(.system, "the bridge's thread cannot be started", cause: error)
        }
    }

    /// Waits until the relay has its session with the site's broker and its subscriptions there, so that nothing that
    /// is published from now on passes it by.
    /// - Returns: whether it has, before the time was up.
    public func waitUntilAttached(milliseconds: UInt64) -> Bool {
        attached.wait(until: MonotonicClock.nanoseconds() &+ milliseconds &* 1_000_000, keepRaised: true)
    }

    /// Leaves the other broker until ``resume()``. What is published here meanwhile is kept in the session here.
    public func pause() { inbox.post(.pause) }

    /// Goes on after ``pause()``.
    public func resume() { inbox.post(.resume) }

    /// Goes on with other settings: at once if they say so or if there is no connection, else from the next one on.
    public func change(to settings: RelaySettings) throws(BridgeError) {
        try settings.validate()
        shared.withLock { $0.settings = settings }
        inbox.post(.replace(settings, immediately: settings.reloadsImmediately))
    }

    /// Ends it: the state is published, both sides are left. Waits a few seconds at most. What the other broker has not
    /// acknowledged stays in the session here, for the next start.
    /// - Parameter isRemoval: the bridge is gone for good, and its session here with it.
    public func stop(isRemoval: Bool = false) {
        if isRemoval { inbox.markRemoval() }
        inbox.post(.stop)
        guard shared.withLock({ $0.isStarted }) else { return }
        let seconds = UInt64(RelayLimits.stopSecondsMax)
        ended.wait(until: MonotonicClock.nanoseconds() &+ seconds &* 1_000_000_000, keepRaised: true)
    }

    private func run() {
        defer { inbox.close() }
        var settings = settings
        while true {
            let driver: RelayDriver
            do {
                driver = try RelayDriver(settings: settings, inbox: inbox, attach: attach, log: log)
            } catch {
                let data = ["bridge": settings.name, "error": "\(error)"]
                return log(BridgeReport(.error, "A bridge cannot run.", data))
            }
            let outcome = driver.run { health in
                shared.withLock { $0.health = health }
                if health.isAttached { attached.raise() }
            }
            switch outcome {
            case .stopped: return
            case .replaced(let next): settings = next
            }
        }
    }
}

/// All relays of a site, by name: what a reload adds, changes and removes.
public final class RelayService: Sendable {
    private struct Shared: Sendable {
        var relays: [String: Relay] = [:]
        var isRunning = false
    }

    private let shared = Mutex(Shared())
    private let attach: RelayLocalPort
    private let log: @Sendable (BridgeReport) -> Void

    /// Makes a service without any relay.
    public init(attach: @escaping RelayLocalPort, log: @escaping @Sendable (BridgeReport) -> Void) {
        self.attach = attach
        self.log = log
    }

    /// Starts what was applied, and from now on what is applied.
    public func start() throws(BridgeError) {
        let relays = shared.withLock { shared in
            shared.isRunning = true
            return Array(shared.relays.values)
        }
        for relay in relays { try relay.start() }
    }

    /// Makes the running relays those of `settings`: new ones are started, others removed with their sessions, and
    /// changed ones go on with what changed, each by its own ``RelaySettings/reloadsImmediately``. All or nothing: if
    /// one of the settings is not possible, nothing changes.
    public func apply(_ settings: [RelaySettings]) throws(BridgeError) {
        try Self.check(settings)
        let names = Set(settings.map(\.name))
        let (known, isRunning) = shared.withLock { ($0.relays, $0.isRunning) }
        for (name, relay) in known where !names.contains(name) {
            shared.withLock { $0.relays[name] = nil }
            relay.stop(isRemoval: true)
        }
        for setting in settings {
            if let relay = known[setting.name] {
                if relay.settings != setting { try relay.change(to: setting) }
                continue
            }
            let relay = try Relay(settings: setting, attach: attach, log: log)
            shared.withLock { $0.relays[setting.name] = relay }
            if isRunning { try relay.start() }
        }
    }

    /// Whether ``apply(_:)`` would take these settings.
    public static func check(_ settings: [RelaySettings]) throws(BridgeError) {
        guard Set(settings.map(\.name)).count == settings.count else {
            throw BridgeError(.invalidSettings, "two connections have the same name")
        }
        guard Set(settings.map(\.localClientID)).count == settings.count else {
            throw BridgeError(.invalidSettings, "two connections have the same `local_clientid`")
        }
        for setting in settings {
            try setting.validate()
            _ = try RelayTopicMap(setting.topics)
        }
    }

    /// Waits for every relay as ``Relay/waitUntilAttached(milliseconds:)`` does.
    public func waitUntilAttached(milliseconds: UInt64) -> Bool {
        shared.withLock { $0.relays }.values.allSatisfy { $0.waitUntilAttached(milliseconds: milliseconds) }
    }

    /// Ends all relays, at the same time.
    public func stop() {
        let relays = shared.withLock { shared in
            defer { shared.relays = [:] }
            shared.isRunning = false
            return Array(shared.relays.values)
        }
        for relay in relays { relay.requestStop() }
        for relay in relays { relay.stop() }
    }

    /// The relay of this name.
    public func relay(named name: String) -> Relay? { shared.withLock { $0.relays[name] } }

    /// Every relay in numbers, by name.
    public var health: [(name: String, health: RelayHealth)] {
        shared.withLock { $0.relays }.sorted { $0.key < $1.key }.map { ($0.key, $0.value.health) }
    }
}

extension Relay {
    fileprivate func requestStop() { inbox.post(.stop) }
}

/// What other threads tell the relay's thread.
final class RelayInbox: Sendable {
    enum Order: Sendable {
        case stop
        case pause
        case resume
        case replace(RelaySettings, immediately: Bool)
        /// A thread that connected, or could not: the number of the attempt, and the socket.
        case connected(UInt64, Result<CInt, MosquittoError>)
        /// Whether the preferred address answers.
        case probed(Bool)
    }

    private struct Shared: Sendable {
        var orders: [Order] = []
        var isClosed = false
        var isRemoval = false
    }

    let wake: WakePipe
    private let shared = Mutex(Shared())

    init() throws(MosquittoError) { wake = try WakePipe() }

    /// Whether the relay is gone for good when it stops.
    var isRemoval: Bool { shared.withLock { $0.isRemoval } }

    func markRemoval() { shared.withLock { $0.isRemoval = true } }

    func post(_ order: Order) {
        let isTaken = shared.withLock { shared in
            if !shared.isClosed { shared.orders.append(order) }
            return !shared.isClosed
        }
        if isTaken { wake.wake() } else { Self.discard(order) }
    }

    /// Everything since the last time.
    func takeAll() -> [Order] {
        shared.withLock { shared in
            defer { shared.orders = [] }
            return shared.orders
        }
    }

    /// Nobody reads any more.
    func close() {
        let rest = shared.withLock { shared in
            shared.isClosed = true
            defer { shared.orders = [] }
            return shared.orders
        }
        for order in rest { Self.discard(order) }
    }

    private static func discard(_ order: Order) {
        if case .connected(_, .success(let descriptor)) = order { Glibc.close(descriptor) }
    }
}
