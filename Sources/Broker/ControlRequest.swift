public import MQTT
public import NIOCore

/// A PUBLISH to `$CONTROL/…` of a client that may administer: it is answered, never routed.
public struct ControlRequest: Sendable {
    /// Who asks.
    public var identity: Identity
    /// The whole topic, such as `$CONTROL/dynamic-security/v1`.
    public var topic: TopicName
    /// The commands, JSON.
    public var payload: ByteBuffer

    /// Makes a request.
    public init(identity: Identity, topic: TopicName, payload: ByteBuffer) {
        self.identity = identity
        self.topic = topic
        self.payload = payload
    }
}
