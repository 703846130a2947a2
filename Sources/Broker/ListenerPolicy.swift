public import MQTT

/// What one listener asks of its clients and grants them, beyond the broker's own configuration. Nil leaves a matter to
/// ``BrokerConfiguration``. Option names are those of `site.yaml` and of Mosquitto.
public struct ListenerPolicy: Sendable, Hashable {
    /// Protocol versions that are let in (`accept_protocol_versions`).
    public var versions: Set<ProtocolVersion> = [.v3_1, .v3_1_1, .v5]
    /// Text before every topic of its clients (`mount_point`): put before what they publish and subscribe to, taken off
    /// what they are given. Empty for none.
    public var mountPoint = ""
    /// The highest QoS taken from clients (`max_qos`).
    public var qosMax = QoS.exactlyOnce
    /// Whether clients may retain messages (`retain_available`).
    public var isRetainAvailable = true
    /// The largest packet taken (`max_packet_size`), in bytes.
    public var packetBytesMax: Int?
    /// The longest keep alive granted, in seconds (`max_keepalive`).
    public var keepAliveSecondsMax: UInt16?
    /// QoS 1 and 2 messages on the way from one client (`receive_maximum`).
    public var receiveMaximum: UInt16?
    /// Topic aliases that a client may set (`max_topic_alias`).
    public var topicAliasMaximum: UInt16?
    /// Topic aliases that the broker sets towards a client that takes them (`max_topic_alias_broker`).
    public var topicAliasMaximumOutbound: UInt16?
    /// What assigned client identifiers begin with (`auto_id_prefix`).
    public var assignedClientIDPrefix: String?
    /// Whether an empty client identifier is taken (`allow_zero_length_clientid`).
    public var allowsEmptyClientID = true
    /// Whether the user name becomes the client identifier (`use_username_as_clientid`).
    public var usesUsernameAsClientID = false

    /// Everything is let in.
    public init() {}
}

extension ListenerPolicy {
    /// What a listener of Mosquitto 2.1 grants where nothing is configured.
    public static var mosquitto: ListenerPolicy {
        var policy = ListenerPolicy()
        policy.topicAliasMaximum = 10
        policy.topicAliasMaximumOutbound = 10
        policy.assignedClientIDPrefix = "auto-"
        return policy
    }
}
