/// One name and value of an MQTT 5.0 user property.
public struct MosquittoUserProperty: Sendable, Hashable {
    /// The name.
    public var name: String
    /// The value.
    public var value: String

    /// Makes a property.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A message from the server, its own copy.
public struct MosquittoMessage: Sendable, Hashable {
    /// Topic name.
    public var topic: String
    /// Payload.
    public var payload: [UInt8]
    /// Quality of service it was delivered with.
    public var qos: UInt8
    /// Whether it is a retained message sent for a new subscription (or, to a bridge, published as retained).
    public var retain: Bool
    /// User properties in their order; empty on 3.1.1.
    public var userProperties: [MosquittoUserProperty] = []
    /// Content type.
    public var contentType: String?
    /// What is left of the message's life, in seconds.
    public var messageExpirySeconds: UInt32?
    /// Response topic.
    public var responseTopic: String?
    /// Correlation data.
    public var correlationData: [UInt8]?

    /// Makes a message.
    public init(topic: String, payload: [UInt8], qos: UInt8, retain: Bool) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
    }
}

/// Properties of a message to publish; on 3.1.1 they are not sent.
public struct MosquittoPublishProperties: Sendable, Hashable {
    /// User properties, in order.
    public var userProperties: [MosquittoUserProperty] = []
    /// Content type.
    public var contentType: String?
    /// Message expiry interval, in seconds.
    public var messageExpirySeconds: UInt32?
    /// Response topic.
    public var responseTopic: String?
    /// Correlation data, at most 65535 bytes.
    public var correlationData: [UInt8]?

    /// Makes a value without any property.
    public init() {}

    var isEmpty: Bool {
        userProperties.isEmpty && contentType == nil && messageExpirySeconds == nil && responseTopic == nil
            && correlationData == nil
    }
}

/// What the TLS handshake came to.
public struct MosquittoTLSDetails: Sendable, Hashable {
    /// "TLSv1.3" or "TLSv1.2".
    public var version: String
    /// The cipher suite.
    public var cipher: String
    /// Whether an earlier session was resumed, without certificates and with fewer round trips.
    public var resumed: Bool
}

/// What the server said in CONNACK.
public struct MosquittoServer: Sendable, Hashable {
    /// Whether the server had kept the session.
    public var sessionPresent: Bool
    /// How many QoS 1 and 2 messages it takes at once; 65535 where it says nothing (and on 3.1.1).
    public var receiveMaximum: UInt16 = 65535
    /// The largest packet it takes, in bytes; nil for no limit of its own.
    public var maximumPacketBytes: UInt32?
    /// The highest quality of service it takes.
    public var maximumQoS: UInt8 = 2
    /// Whether it takes retained messages.
    public var retainAvailable = true
    /// Whether it has shared subscriptions, as far as it says.
    public var sharedSubscriptionsAvailable = true
    /// The keep alive it wants instead of ours.
    public var keepAliveSeconds: UInt16?
    /// The client identifier it gave.
    public var assignedClientID: String?
    /// How long it keeps the session, if it says so.
    public var sessionExpirySeconds: UInt32?
    /// TLS, or nil on plain TCP.
    public var tls: MosquittoTLSDetails?

    /// Makes a value with what a server means that says nothing.
    public init(sessionPresent: Bool = false) {
        self.sessionPresent = sessionPresent
    }
}

/// Identifies one publish, subscribe or unsubscribe of one connection until it is answered: the packet identifier.
public typealias MosquittoToken = Int32

/// What happens on a connection. Exactly one of `connectFailed` and `disconnected` is the last event, unless the
/// connection was stopped abruptly before.
public enum MosquittoEvent: Sendable {
    /// CONNACK came with success.
    case connected(MosquittoServer)
    /// There was no connection, or the server refused it. The connection object is spent.
    case connectFailed(MosquittoError)
    /// The connection has ended; nil if we asked for it. The connection object is spent.
    case disconnected(MosquittoError?)
    /// QoS 0: written. QoS 1: PUBACK came. QoS 2: the flow is complete. 0x80 and above are refusals (MQTT 5.0).
    case published(MosquittoToken, reasonCode: UInt8)
    /// A message of a subscription.
    case message(MosquittoMessage)
    /// SUBACK came: one granted QoS, or an error of 0x80 and above, for each filter.
    case subscribed(MosquittoToken, [UInt8])
    /// UNSUBACK came.
    case unsubscribed(MosquittoToken)
}
