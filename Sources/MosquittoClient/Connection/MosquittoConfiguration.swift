/// Which MQTT is spoken.
public enum MosquittoProtocol: Sendable, Hashable {
    /// MQTT 3.1.1.
    case v311
    /// MQTT 5.0.
    case v5
}

/// The last will of a connection.
public struct MosquittoWill: Sendable, Hashable {
    /// Where it is published.
    public var topic: String
    /// What it says.
    public var payload: [UInt8]
    /// Its quality of service.
    public var qos: UInt8
    /// Whether it is retained.
    public var retain: Bool

    /// Makes a will.
    public init(topic: String, payload: [UInt8], qos: UInt8 = 1, retain: Bool = false) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
    }
}

/// What one ``MosquittoConnection`` is to do. It is a value: the next connection may be given a changed one.
public struct MosquittoConfiguration: Sendable {
    /// Host name or address. With TLS it is also what the server's certificate must be for, and the server name sent
    /// (SNI).
    public var host: String
    /// TCP port.
    public var port: UInt16
    /// Client identifier. Empty asks the server for one; that needs `cleanStart`.
    public var clientID: String
    /// The protocol version.
    public var protocolVersion: MosquittoProtocol = .v5
    /// Whether an older session of this client is thrown away (MQTT 3.1.1: clean session).
    public var cleanStart = true
    /// How long the server keeps the session after the connection (MQTT 5.0 only). nil sends nothing, which means 0.
    public var sessionExpirySeconds: UInt32?
    /// Keep alive, 5 to 65535 seconds, or 0 for none.
    public var keepAliveSeconds: UInt16 = 60
    /// User name.
    public var username: String?
    /// Password. It never appears in an error or a log line.
    public var password: String?
    /// Last will.
    public var will: MosquittoWill?
    /// TLS, or nil for plain TCP. One context is shared by successive connections, so that sessions are resumed.
    public var tls: MosquittoTLSContext?
    /// How many QoS 1 and 2 messages the server may have under way to us (MQTT 5.0), 1 to 65535.
    public var receiveMaximum: UInt16 = 100
    /// How many of ours libmosquitto sends before it waits, 1 to 65535. The server's receive maximum replaces it.
    public var sendMaximum: UInt16 = 100
    /// The largest packet we accept (MQTT 5.0), in bytes; nil sends no limit. The library itself does not enforce it.
    public var maximumPacketBytes: UInt32? = 2_000_000
    /// From the TCP connection to CONNACK. Name resolution and the TCP connect itself are bounded by the system only.
    public var handshakeTimeoutSeconds: UInt16 = 15
    /// Packets read before the batch is closed, acknowledged and written.
    public var packetsPerBatch = 256

    /// Makes a configuration with the defaults above.
    public init(host: String, port: UInt16, clientID: String) {
        self.host = host
        self.port = port
        self.clientID = clientID
    }
}
