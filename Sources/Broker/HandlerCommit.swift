public import MQTT
public import NIOCore

/// What a handler decided about one input: it becomes one journal record, whole or not at all.
public struct HandlerCommit: Sendable {
    /// One message that the handler publishes.
    public struct Output: Sendable, Hashable {
        /// Where it goes.
        public var topic: TopicName
        /// What it says.
        public var payload: ByteBuffer
        /// Its quality of service.
        public var qos: QoS
        /// Whether it is retained.
        public var retain: Bool
        /// Forwarded properties, such as the message expiry interval and user properties.
        public var properties: Properties

        /// Makes an output.
        public init(topic: TopicName, payload: ByteBuffer, qos: QoS, retain: Bool, properties: Properties) {
            self.topic = topic
            self.payload = payload
            self.qos = qos
            self.retain = retain
            self.properties = properties
        }
    }

    /// The handler's name in the configuration.
    public var handler: String
    /// The input that was decided about: the handler's new position. A timer's firing keeps the old position.
    public var position: MessageReference
    /// The partition key.
    public var key: String
    /// The key's new state, encoded; nil leaves it as it was, empty removes it.
    public var state: ByteBuffer?
    /// What the handler publishes, in order.
    public var outputs: [Output]
    /// The decision record, JSON; nil where there was nothing to decide. It stays in the journal for audit.
    public var decision: ByteBuffer?

    /// Makes a commit.
    public init(
        handler: String,
        position: MessageReference,
        key: String,
        state: ByteBuffer?,
        outputs: [Output],
        decision: ByteBuffer?
    ) {
        self.handler = handler
        self.position = position
        self.key = key
        self.state = state
        self.outputs = outputs
        self.decision = decision
    }
}

/// A handler as the journal left it: where it stands and the state of each key.
public struct RecoveredHandler: Sendable, Hashable {
    /// The last input it has decided about.
    public var position: MessageReference
    /// Encoded state by partition key.
    public var states: [String: ByteBuffer]

    /// Makes it.
    public init(position: MessageReference = .zero, states: [String: ByteBuffer] = [:]) {
        self.position = position
        self.states = states
    }
}
