internal import Broker
public import Journal
public import MQTT
public import MosquittoClient
internal import Synchronization

/// How to reach the site's own broker, where one is there already.
public struct AttachedBrokerSettings: Sendable {
    /// The host.
    public var host: String
    /// The port.
    public var port: UInt16
    /// TLS options, or nil for plain TCP.
    public var tls: MosquittoTLSOptions?
    /// The site's name, for the client identifiers.
    public var site: String
    /// User name.
    public var username: String?
    /// Password.
    public var password: String?
    /// What is subscribed to there.
    public var filters: [String]
    /// MQTT 5.0 or 3.1.1.
    public var protocolVersion = MosquittoProtocol.v5
    /// How long that broker keeps messages for us while we are away, in seconds (MQTT 5.0).
    public var sessionExpirySeconds: UInt32 = 7 * 24 * 3600
    /// The first pause before a reconnect, and the longest.
    public var restartBaseMilliseconds: UInt64 = 1_000
    /// The longest pause.
    public var restartCapMilliseconds: UInt64 = 30_000
    /// Where the outbox for handler outputs stands.
    public var outboxDirectory: String
    /// The keys that it is encrypted with; nil: it is not.
    public var keys: KeyRing?

    /// Makes settings with the defaults above.
    public init(host: String, port: UInt16, site: String, filters: [String], outboxDirectory: String) {
        self.host = host
        self.port = port
        self.site = site
        self.filters = filters
        self.outboxDirectory = outboxDirectory
    }
}

/// Stands between an existing site broker and the local core: what its clients publish is ingested here, and what the
/// handlers here decide is published there.
///
/// Inbound: one connection with a session that the site broker keeps. Each message goes to `ingest`; the batch is
/// acknowledged only after `commit` has returned true, so that a crash in between brings it again (at least once; the
/// same message twice is possible then). Outbound: a ``BridgeService`` with an outbox, `confirm: puback`, no prefix and
/// no redaction, for messages of handlers only, so that nothing goes in circles.
public final class AttachedBroker: Sendable {
    /// The publisher name of what is ingested.
    public static let publisher = "site_broker"

    /// Takes a message in. Called on the connection's thread, in order.
    public typealias Ingest = @Sendable (MosquittoMessage) -> Void
    /// Called after a batch: returns once everything ingested is durable, or false if that failed.
    public typealias Commit = @Sendable () -> Bool

    private let settings: AttachedBrokerSettings
    private let ingest: Ingest
    private let commit: Commit
    private let log: @Sendable (BridgeReport) -> Void
    private let output: BridgeService
    private let inbox = BridgeInbox()
    private let ended = WaitableFlag()
    private let status = Mutex(AttachedBrokerHealth())

    /// - Parameter source: the main journal, where the handlers' outputs are read from.
    public init(
        settings: AttachedBrokerSettings,
        source: any BridgeSource,
        ingest: @escaping Ingest,
        commit: @escaping Commit,
        log: @escaping @Sendable (BridgeReport) -> Void
    ) throws(BridgeError) {
        self.settings = settings
        self.ingest = ingest
        self.commit = commit
        self.log = log
        var bridge = BridgeSettings(
            name: Self.publisher,
            host: settings.host,
            port: settings.port,
            site: settings.site,
            outboxDirectory: settings.outboxDirectory
        )
        bridge.tls = settings.tls
        bridge.keys = settings.keys
        // A site broker is on the site's own network; whoever gives no TLS has decided that.
        bridge.allowsInsecure = true
        bridge.prefix = ""
        bridge.protocolVersion = settings.protocolVersion
        bridge.clientID = "causeway-\(settings.site)-handlers"
        bridge.username = settings.username
        bridge.password = settings.password
        bridge.confirm = .puback
        bridge.isStamped = false
        bridge.usesNarrowTopics = false
        bridge.restartBaseMilliseconds = settings.restartBaseMilliseconds
        bridge.restartCapMilliseconds = settings.restartCapMilliseconds
        bridge.routes = [
            RouteRule(pattern: "#", trafficClass: .alarm, origins: [.handler], keepsUserProperties: true)
        ]
        output = try BridgeService(settings: bridge, source: source, log: log)
    }

    /// The filters of the way out, for the core's durable readers.
    public var outputFilters: [TopicFilter] { output.filters }

    /// The oldest record of the main journal that the way out still needs.
    public var oldestNeededRecord: UInt64 { output.oldestNeededRecord }

    /// The way out in numbers.
    public var outputHealth: BridgeHealth { output.health }

    /// The way in in numbers.
    public var health: AttachedBrokerHealth { status.withLock { $0 } }

    /// There is something new in the main journal.
    public func sourceAdvanced() { output.sourceAdvanced() }

    /// Starts both ways.
    public func start() throws(BridgeError) {
        try output.start()
        do {
            try OwnThread.start(name: "site-broker") { [self] in
                run()
                ended.raise()
            }
        } catch {
            ended.raise()
            throw BridgeError(.system, "the site broker's thread cannot be started", cause: error)
        }
    }

    /// Ends both ways.
    public func stop() {
        inbox.post(.stop)
        ended.wait(until: MonotonicClock.nanoseconds() + 10_000_000_000, keepRaised: true)
        output.stop()
    }

    /// Keeps one connection after the other.
    private func run() {
        var backoff = Backoff(
            base: settings.restartBaseMilliseconds * 1_000_000,
            cap: settings.restartCapMilliseconds * 1_000_000,
            seed: .random(in: 0 ... .max)
        )
        var tls: MosquittoTLSContext?
        var generation: UInt64 = 0
        while true {
            generation += 1
            set(.connecting)
            switch attempt(generation, &tls, &backoff) {
            case .stop: return set(.disabled)
            case .retry: break
            }
            let until = MonotonicClock.nanoseconds() + backoff.next()
            while MonotonicClock.nanoseconds() < until {
                inbox.wake.wait(until: until)
                if inbox.takeAll().contains(where: { if case .stop = $0 { true } else { false } }) {
                    return set(.disabled)
                }
            }
        }
    }

    private enum Outcome { case stop, retry }

    private func attempt(_ generation: UInt64, _ tls: inout MosquittoTLSContext?, _ backoff: inout Backoff) -> Outcome {
        let connection: MosquittoConnection
        do {
            connection = try MosquittoConnection(
                configuration: try configuration(&tls),
                beforeAcknowledging: commit
            ) { [self] event in
                if case .message(let message) = event {
                    status.withLock { $0.receivedTotal += 1 }
                    return ingest(message)
                }
                inbox.post(.connection(generation: generation, event))
            }
            try connection.start()
        } catch {
            log(BridgeReport(.error, "The site broker cannot be reached.", ["error": "\(error)"]))
            set(.waiting)
            return .retry
        }
        while true {
            inbox.wake.wait(until: nil)
            for message in inbox.takeAll() {
                switch message {
                case .stop:
                    connection.stop()
                    return .stop
                case .connection(generation, let event):
                    if let outcome = handle(event, connection, &backoff) { return outcome }
                default: break
                }
            }
        }
    }

    private func handle(_ event: MosquittoEvent, _ connection: MosquittoConnection, _ backoff: inout Backoff)
        -> Outcome?
    {
        switch event {
        case .connected:
            set(.subscribing)
            do {
                try connection.subscribe(settings.filters, qos: 1)
            } catch {
                log(BridgeReport(.error, "The site broker's topics cannot be subscribed to.", ["error": "\(error)"]))
                connection.abandon()
                set(.waiting)
                return .retry
            }
        case .subscribed(_, let codes):
            if codes.contains(where: { $0 >= 0x80 }) {
                log(BridgeReport(.error, "The site broker refused a subscription.", [:]))
            }
            backoff.reset()
            set(.live)
            log(BridgeReport(.info, "Attached to the site broker.", [:]))
        case .connectFailed(let error):
            log(BridgeReport(.warning, "The site broker cannot be reached.", ["error": "\(error)"]))
            set(error.code == .notAuthorized ? .authFailed : .waiting)
            return .retry
        case .disconnected(let error):
            let data = error.map { ["error": "\($0)"] } ?? [:]
            log(BridgeReport(.warning, "The site broker has gone.", data))
            set(.waiting)
            return .retry
        case .published, .unsubscribed, .message: break
        }
        return nil
    }

    private func configuration(_ tls: inout MosquittoTLSContext?) throws(MosquittoError) -> MosquittoConfiguration {
        var configuration = MosquittoConfiguration(
            host: settings.host,
            port: settings.port,
            clientID: "causeway-\(settings.site)-ingest"
        )
        configuration.protocolVersion = settings.protocolVersion
        configuration.cleanStart = false
        configuration.sessionExpirySeconds = settings.sessionExpirySeconds
        configuration.username = settings.username
        configuration.password = settings.password
        if let options = settings.tls {
            if tls?.isCurrent != true { tls = try MosquittoTLSContext(options: options, host: settings.host) }
            configuration.tls = tls
        }
        return configuration
    }

    private func set(_ state: BridgeState) { status.withLock { $0.state = state } }
}

/// The way in from an attached broker, in numbers.
public struct AttachedBrokerHealth: Sendable, Hashable {
    /// In one word.
    public var state = BridgeState.disabled
    /// Messages ingested since the start.
    public var receivedTotal: UInt64 = 0

    /// Makes the health of one that was never started.
    public init() {}
}
