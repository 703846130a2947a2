public import Broker
public import Journal
public import MosquittoClient

/// What leaves, under which topic, without which fields. The first rule that matches a message decides about it.
public struct RouteRule: Sendable, Hashable {
    /// A topic filter; `{name}` stands for a `+` that the template may call by name.
    public var pattern: String
    /// The topic on the other side, after the prefix. `{1}`, `{2}`… are the wildcards in order, `{name}` named ones,
    /// `{rest}` what `#` stood for, `{site}` the site. nil keeps the topic as it is.
    public var template: String?
    /// The class.
    public var trafficClass: TrafficClass
    /// 0 or 1. Everything travels at QoS 1; what is marked 0 is not taken while the outbox is full, instead of having
    /// older messages dropped for it.
    public var qos: UInt8
    /// Whether the other side is asked to retain it.
    public var retain: Bool
    /// What happens to fields of a JSON payload, by path: see ``Redactor``.
    public var redactions: [String: Redaction]
    /// Only messages of these origins; nil for all.
    public var origins: Set<MessageOrigin>?
    /// Whether the publisher's user properties go along (MQTT 5.0). Never together with redactions.
    public var keepsUserProperties: Bool

    /// Makes a rule.
    public init(
        pattern: String,
        template: String? = nil,
        trafficClass: TrafficClass = .telemetry,
        qos: UInt8 = 1,
        retain: Bool = false,
        redactions: [String: Redaction] = [:],
        origins: Set<MessageOrigin>? = nil,
        keepsUserProperties: Bool = false
    ) {
        self.pattern = pattern
        self.template = template
        self.trafficClass = trafficClass
        self.qos = qos
        self.retain = retain
        self.redactions = redactions
        self.origins = origins
        self.keepsUserProperties = keepsUserProperties
    }
}

/// Everything a ``BridgeService`` is told. The configuration reader has checked names and files; what makes no sense
/// together is refused by ``BridgeService/init(settings:source:log:)``.
public struct BridgeSettings: Sendable {
    /// What cuts the outbox.
    public enum Confirmation: Sendable, Hashable {
        /// The aggregator's commit watermark.
        case commit
        /// The other broker's PUBACK.
        case puback
    }

    /// What happens when the outbox is full.
    public enum Overflow: Sendable, Hashable {
        /// The oldest records go; a gap record says which.
        case dropOldest
        /// New messages are not taken; a gap record says how many.
        case dropNewest
    }

    /// The bridge's name; also the client identifier's end and the publisher name of what comes down.
    public var name: String
    /// The host.
    public var host: String
    /// The port.
    public var port: UInt16
    /// TLS options, or nil for plain TCP, which is refused beyond loopback unless ``allowsInsecure``.
    public var tls: MosquittoTLSOptions?
    /// Whether plain TCP beyond loopback is wanted all the same.
    public var allowsInsecure = false
    /// The site's name.
    public var site: String
    /// How many shards there are.
    public var shardCount = BridgeShard.defaultCount
    /// What stands before every upstream topic.
    public var prefix = "up/{shard}/{site}/"
    /// MQTT 5.0 or 3.1.1.
    public var protocolVersion = MosquittoProtocol.v5
    /// Client identifier; nil makes one of site and name.
    public var clientID: String?
    /// User name.
    public var username: String?
    /// Password.
    public var password: String?
    /// What cuts the outbox.
    public var confirm = Confirmation.commit
    /// The rules, first match first.
    public var routes: [RouteRule] = []
    /// The key of `hmac` redactions, at least 16 bytes; it stays on the site.
    public var siteKey: [UInt8] = []
    /// Whether messages carry a ``BridgeStamp`` (properties or envelope). Off for attached site brokers.
    public var isStamped = true
    /// Whether topics are held to the narrow alphabet that every cloud broker takes. Off for attached site brokers.
    public var usesNarrowTopics = true
    /// The outbox's directory.
    public var outboxDirectory: String
    /// The keys that it is encrypted with; nil: it is not.
    public var keys: KeyRing?
    /// What may wait on disk, in bytes of payload and topic.
    public var outboxBytesMax = 4 * 1024 * 1024 * 1024
    /// What happens then.
    public var overflow = Overflow.dropOldest
    /// Unacknowledged messages at once; the server's receive maximum may lower it.
    public var window = 256
    /// With `confirm: commit`: messages sent beyond the watermark, so that a broker in between is not flooded while the
    /// aggregator is away (mosquitto keeps 1000 by default and drops the rest in silence).
    public var unconfirmedMax = 1000
    /// Keep alive.
    public var keepAliveSeconds: UInt16 = 60
    /// The first pause before a reconnect.
    public var restartBaseMilliseconds: UInt64 = 1_000
    /// The longest.
    public var restartCapMilliseconds: UInt64 = 60_000
    /// From the decision to connect to CONNACK, name resolution included.
    public var connectTimeoutMilliseconds: UInt64 = 30_000
    /// Without any PUBACK for this long while some are due, the connection is stalled.
    public var ackTimeoutMilliseconds: UInt64 = 20_000
    /// With `confirm: commit`: the watermark did not reach what was acknowledged this long ago: send again.
    public var resendAfterMilliseconds: UInt64 = 10_000
    /// Messages a second while catching up after an outage; nil for as many as the window lets through.
    public var drainPerSecond: UInt64?
    /// A message that was alone under way this many times when the connection broke is set aside.
    public var poisonDisconnects = 5
    /// Messages set aside that are kept.
    public var deadLettersMax = 1_000

    /// Makes settings with the defaults above.
    public init(name: String, host: String, port: UInt16, site: String, outboxDirectory: String) {
        self.name = name
        self.host = host
        self.port = port
        self.site = site
        self.outboxDirectory = outboxDirectory
    }

    /// True if only this machine can be meant.
    var isLoopback: Bool {
        host == "localhost" || host == "::1" || (host.hasPrefix("127.") && host.allSatisfy { $0.isNumber || $0 == "." })
    }
}

/// Why a bridge cannot be made or run.
public struct BridgeError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: String, Sendable, Hashable {
        /// The settings contradict themselves.
        case invalidSettings
        /// A route's pattern, template or redaction is not possible.
        case invalidRoute
        /// The outbox cannot be opened, read or written.
        case outbox
        /// The system refused a thread or another resource.
        case system
    }

    /// What kind of failure it is.
    public let code: Code
    /// One sentence.
    public let message: String
    /// What was below it.
    public let cause: (any Error)?
    /// Where it was made.
    public let fileID: String
    /// Where it was made.
    public let line: UInt

    /// Makes an error.
    public init(
        _ code: Code,
        _ message: String,
        cause: (any Error)? = nil,
        fileID: String = #fileID,
        line: UInt = #line
    ) {
        self.code = code
        self.message = message
        self.cause = cause
        self.fileID = fileID
        self.line = line
    }

    /// Code, message and cause in one line.
    public var description: String {
        cause.map { "\(code.rawValue): \(message) (\($0))" } ?? "\(code.rawValue): \(message)"
    }
}
