public import MQTT
public import NIOCore

/// Who made a message.
public enum MessageOrigin: UInt8, Sendable, Hashable {
    /// A client's PUBLISH.
    case client = 0
    /// A handler's output.
    case handler = 1
    /// It came down a bridge, or from the attached site broker.
    case bridge = 2
    /// A client's will.
    case will = 3
    /// The broker itself (`$SYS`).
    case broker = 4
}

/// A message as the journal holds it and as journal readers (handlers, bridges) are given it.
public struct JournaledMessage: Sendable, Hashable {
    /// Where it stands. Readers keep it as their position.
    public var reference: MessageReference
    /// The topic name, its own copy.
    public var topic: TopicName
    /// The payload, its own copy.
    public var payload: ByteBuffer
    /// The quality of service of its publication.
    public var qos: QoS
    /// Whether it was published as retained.
    public var retain: Bool
    /// The properties that are forwarded (without topic alias); MQTT 5.0 publishers only.
    public var properties: Properties
    /// When the broker received it, milliseconds since 1970-01-01 UTC.
    public var receivedMilliseconds: Int64
    /// Who made it.
    public var origin: MessageOrigin
    /// The publishing client's identifier, or the handler's or bridge's name.
    public var publisher: String

    /// Makes a message.
    public init(
        reference: MessageReference,
        topic: TopicName,
        payload: ByteBuffer,
        qos: QoS,
        retain: Bool,
        properties: Properties,
        receivedMilliseconds: Int64,
        origin: MessageOrigin,
        publisher: String
    ) {
        self.reference = reference
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.receivedMilliseconds = receivedMilliseconds
        self.origin = origin
        self.publisher = publisher
    }
}
