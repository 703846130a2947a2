public import MQTT

/// Who publishes to whom.
public enum BenchShape: String, Sendable, CaseIterable, Codable {
    /// Each publisher has a subscriber of its own.
    case pairs
    /// Many publishers, one subscriber.
    case fanIn = "fan-in"
    /// One publisher, many subscribers.
    case fanOut = "fan-out"
    /// Many publishers into the session of a client that is away; acknowledgements are counted.
    case persistent
}

/// How fast a load goes.
public enum BenchPace: Sendable, Hashable {
    /// As fast as the broker answers: so many deliveries may be on their way over all connections.
    case window(Int)
    /// As fast as the broker answers: so many messages may be on their way from each publisher.
    case inflight(Int)
    /// So many messages each second over all publishers, whatever the broker does: latency counts from the moment a
    /// message was due, so that a broker that stops is not measured by the messages it kept from being sent.
    case rate(Double)
}

/// Where the broker is, and who we are there.
public struct BenchTarget: Sendable {
    /// The host, as a name or an address.
    public var host: String
    /// The TCP port.
    public var port: Int
    /// TLS, where it is spoken.
    public var tls: BenchTLS?
    /// The user name.
    public var username: String?
    /// The password. Never shown.
    public var password: String?
    /// The protocol version of all connections.
    public var version: ProtocolVersion

    /// Makes a target.
    public init(
        host: String,
        port: Int,
        tls: BenchTLS? = nil,
        username: String? = nil,
        password: String? = nil,
        version: ProtocolVersion = .v3_1_1
    ) {
        self.host = host
        self.port = port
        self.tls = tls
        self.username = username
        self.password = password
        self.version = version
    }
}

/// One load.
public struct BenchSettings: Sendable {
    /// Who publishes to whom.
    public var shape: BenchShape
    /// Pairs; publishers of a fan-in or a persistent load; subscribers of a fan-out.
    public var clients: Int
    /// Quality of service of messages and subscriptions.
    public var qos: QoS
    /// Bytes of each payload. A load at a rate needs 8 for the time.
    public var payloadBytes: Int
    /// How fast it goes.
    public var pace: BenchPace
    /// Seconds before anything counts.
    public var warmupSeconds: Double
    /// Seconds of each round.
    public var seconds: Double
    /// Rounds, one after the other over the same connections.
    public var rounds: Int
    /// Whether the generator polls while it waits, which takes a whole CPU and is exact to a microsecond.
    public var spins: Bool

    /// Makes settings.
    public init(
        shape: BenchShape,
        clients: Int,
        qos: QoS,
        payloadBytes: Int,
        pace: BenchPace,
        warmupSeconds: Double = 1,
        seconds: Double = 3,
        rounds: Int = 5,
        spins: Bool = false
    ) {
        self.shape = shape
        self.clients = clients
        self.qos = qos
        self.payloadBytes = payloadBytes
        self.pace = pace
        self.warmupSeconds = warmupSeconds
        self.seconds = seconds
        self.rounds = rounds
        self.spins = spins
    }

    /// Publishing connections.
    var senders: Int { shape == .fanOut ? 1 : clients }

    /// Subscribed connections that are there during the load.
    var receivers: Int {
        switch shape {
        case .pairs, .fanOut: clients
        case .fanIn: 1
        case .persistent: 0
        }
    }

    /// Deliveries that one message makes.
    var fan: Int { shape == .fanOut ? clients : 1 }
}
