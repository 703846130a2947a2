public import NIOCore

/// One MQTT control packet: fifteen types of MQTT 5.0, fourteen of 3.1 and 3.1.1 (section 2.1.2).
public enum Packet: Hashable, Sendable {
    indirect case connect(Connect)
    case connack(Connack)
    case publish(Publish)
    case puback(Acknowledgement)
    case pubrec(Acknowledgement)
    case pubrel(Acknowledgement)
    case pubcomp(Acknowledgement)
    case subscribe(Subscribe)
    case suback(Suback)
    case unsubscribe(Unsubscribe)
    case unsuback(Unsuback)
    case pingreq
    case pingresp
    case disconnect(Disconnect)
    case auth(Auth)
}

/// CONNECT: a client opens a session (section 3.1).
public struct Connect: Hashable, Sendable {
    /// The protocol version that the client asks for.
    public var version: ProtocolVersion
    /// Clean session (3.x) or clean start (5.0).
    public var cleanStart: Bool
    /// Keep alive in seconds; 0 turns it off.
    public var keepAliveSeconds: UInt16
    /// The client identifier, possibly empty.
    public var clientID: String
    /// The will message, where there is one.
    public var will: Will?
    /// The user name, where there is one.
    public var username: String?
    /// The password, where there is one. Never log it.
    public var password: ByteBuffer?
    /// Properties, MQTT 5.0 only.
    public var properties: Properties
    /// Whether a 3.1.1 bridge set the customary bit 7 of the protocol level (`try_private` of Mosquitto).
    public var isBridge: Bool

    /// Makes a CONNECT.
    public init(
        version: ProtocolVersion = .v5,
        clientID: String,
        cleanStart: Bool = true,
        keepAliveSeconds: UInt16 = 60,
        will: Will? = nil,
        username: String? = nil,
        password: ByteBuffer? = nil,
        properties: Properties = [],
        isBridge: Bool = false
    ) {
        self.version = version
        self.cleanStart = cleanStart
        self.keepAliveSeconds = keepAliveSeconds
        self.clientID = clientID
        self.will = will
        self.username = username
        self.password = password
        self.properties = properties
        self.isBridge = isBridge
    }
}

/// The message that the server publishes for a client that goes without DISCONNECT (section 3.1.2.5).
public struct Will: Hashable, Sendable {
    /// Where it goes.
    public var topic: TopicName
    /// What it says.
    public var payload: ByteBuffer
    /// Its quality of service.
    public var qos: QoS
    /// Whether it is retained.
    public var retain: Bool
    /// Will properties, MQTT 5.0 only; includes the will delay interval.
    public var properties: Properties

    /// Makes a will.
    public init(topic: TopicName, payload: ByteBuffer, qos: QoS, retain: Bool, properties: Properties = []) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
    }
}

/// CONNACK: the server's answer to CONNECT (section 3.2).
public struct Connack: Hashable, Sendable {
    /// Whether the server still had a session.
    public var sessionPresent: Bool
    /// The reason code of 5.0. The encoder maps it to the return codes 0...5 for 3.1 and 3.1.1, the decoder back.
    public var reason: ReasonCode
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes a CONNACK.
    public init(sessionPresent: Bool = false, reason: ReasonCode = .success, properties: Properties = []) {
        self.sessionPresent = sessionPresent
        self.reason = reason
        self.properties = properties
    }
}

/// PUBLISH: a message (section 3.3).
public struct Publish: Hashable, Sendable {
    /// The topic name; empty only on MQTT 5.0 with a topic alias.
    public var topic: TopicName
    /// The payload, a slice of what was read.
    public var payload: ByteBuffer
    /// Quality of service.
    public var qos: QoS
    /// The retain flag.
    public var retain: Bool
    /// Whether it is a re-delivery.
    public var duplicate: Bool
    /// The packet identifier; 0 with QoS 0, never 0 otherwise.
    public var packetID: UInt16
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes a PUBLISH.
    @inlinable
    public init(
        topic: TopicName,
        payload: ByteBuffer,
        qos: QoS = .atMostOnce,
        retain: Bool = false,
        duplicate: Bool = false,
        packetID: UInt16 = 0,
        properties: Properties = []
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.duplicate = duplicate
        self.packetID = packetID
        self.properties = properties
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7): one packet identifier is answered.
public struct Acknowledgement: Hashable, Sendable {
    /// The packet identifier, never 0.
    public var packetID: UInt16
    /// The reason code; always success on 3.1 and 3.1.1.
    public var reason: ReasonCode
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes an acknowledgement.
    @inlinable
    public init(packetID: UInt16, reason: ReasonCode = .success, properties: Properties = []) {
        self.packetID = packetID
        self.reason = reason
        self.properties = properties
    }
}

/// How a subscription wants retained messages (section 3.8.3.1).
public enum RetainHandling: UInt8, Hashable, Sendable {
    case sendAtSubscribe = 0
    case sendIfNew = 1
    case doNotSend = 2
}

/// The options of one subscription (section 3.8.3.1). On 3.1 and 3.1.1 only `qos` differs from the default.
public struct SubscriptionOptions: Hashable, Sendable {
    /// The highest quality of service that the client wants.
    public var qos: QoS
    /// Whether messages of the client's own connection stay away.
    public var noLocal: Bool
    /// Whether the retain flag is passed on as it was published.
    public var retainAsPublished: Bool
    /// What happens to retained messages.
    public var retainHandling: RetainHandling

    /// Makes options.
    public init(
        qos: QoS = .atMostOnce,
        noLocal: Bool = false,
        retainAsPublished: Bool = false,
        retainHandling: RetainHandling = .sendAtSubscribe
    ) {
        self.qos = qos
        self.noLocal = noLocal
        self.retainAsPublished = retainAsPublished
        self.retainHandling = retainHandling
    }
}

/// SUBSCRIBE (section 3.8).
public struct Subscribe: Hashable, Sendable {
    /// One topic filter with its options. The filter is the bytes of the wire as checked UTF-8;
    /// whether it is a valid filter is for the server to say, filter by filter, in the SUBACK.
    public struct Request: Hashable, Sendable {
        /// The topic filter as text.
        public var filter: String
        /// Its options.
        public var options: SubscriptionOptions

        /// Makes a request.
        public init(filter: String, options: SubscriptionOptions = .init()) {
            self.filter = filter
            self.options = options
        }
    }

    /// The packet identifier, never 0.
    public var packetID: UInt16
    /// At least one request.
    public var requests: [Request]
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes a SUBSCRIBE.
    public init(packetID: UInt16, requests: [Request], properties: Properties = []) {
        self.packetID = packetID
        self.requests = requests
        self.properties = properties
    }
}

/// SUBACK (section 3.9).
public struct Suback: Hashable, Sendable {
    /// The packet identifier of the SUBSCRIBE.
    public var packetID: UInt16
    /// One code for each request. The encoder writes every error as 0x80 on 3.1.1 [MQTT-3.9.3-2].
    public var reasons: [ReasonCode]
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes a SUBACK.
    public init(packetID: UInt16, reasons: [ReasonCode], properties: Properties = []) {
        self.packetID = packetID
        self.reasons = reasons
        self.properties = properties
    }
}

/// UNSUBSCRIBE (section 3.10).
public struct Unsubscribe: Hashable, Sendable {
    /// The packet identifier, never 0.
    public var packetID: UInt16
    /// At least one topic filter.
    public var filters: [String]
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes an UNSUBSCRIBE.
    public init(packetID: UInt16, filters: [String], properties: Properties = []) {
        self.packetID = packetID
        self.filters = filters
        self.properties = properties
    }
}

/// UNSUBACK (section 3.11).
public struct Unsuback: Hashable, Sendable {
    /// The packet identifier of the UNSUBSCRIBE.
    public var packetID: UInt16
    /// One code for each filter; not on the wire of 3.1 and 3.1.1.
    public var reasons: [ReasonCode]
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes an UNSUBACK.
    public init(packetID: UInt16, reasons: [ReasonCode] = [], properties: Properties = []) {
        self.packetID = packetID
        self.reasons = reasons
        self.properties = properties
    }
}

/// DISCONNECT (section 3.14).
public struct Disconnect: Hashable, Sendable {
    /// The reason code; always success on 3.1 and 3.1.1.
    public var reason: ReasonCode
    /// Properties, MQTT 5.0 only.
    public var properties: Properties

    /// Makes a DISCONNECT.
    public init(reason: ReasonCode = .success, properties: Properties = []) {
        self.reason = reason
        self.properties = properties
    }
}

/// AUTH, MQTT 5.0 only (section 3.15).
public struct Auth: Hashable, Sendable {
    /// Success, continue authentication or re-authenticate.
    public var reason: ReasonCode
    /// Properties, among them the authentication method and data.
    public var properties: Properties

    /// Makes an AUTH.
    public init(reason: ReasonCode, properties: Properties = []) {
        self.reason = reason
        self.properties = properties
    }
}
