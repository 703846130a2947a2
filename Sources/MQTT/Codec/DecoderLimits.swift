/// What a decoder accepts at most. A packet beyond a limit is refused from its header, before its bytes are awaited.
public struct DecoderLimits: Hashable, Sendable {
    /// The most bytes of a packet, fixed header included; 268,435,460 is all that MQTT can say. Beyond: 0x95.
    public var maxPacketBytes: Int
    /// The most bytes of a CONNECT, which comes from someone unknown. Beyond: 0x95.
    public var maxConnectBytes: Int
    /// The most properties of one packet, user properties included. Beyond: 0x97.
    public var maxProperties: Int
    /// The most topic filters of one SUBSCRIBE or UNSUBSCRIBE. Beyond: 0x97.
    public var maxFilters: Int
    /// The most levels of a topic name, never more than ``TopicLimits/levelsMax``. Beyond: 0x90.
    public var maxTopicLevels: Int
    /// The most bytes of a topic name. Beyond: 0x90.
    public var maxTopicBytes: Int

    /// Makes limits.
    public init(
        maxPacketBytes: Int = 2_000_000,
        maxConnectBytes: Int = 65_536,
        maxProperties: Int = 64,
        maxFilters: Int = 4_096,
        maxTopicLevels: Int = TopicLimits.levels,
        maxTopicBytes: Int = TopicLimits.bytesMax
    ) {
        self.maxPacketBytes = maxPacketBytes
        self.maxConnectBytes = maxConnectBytes
        self.maxProperties = maxProperties
        self.maxFilters = maxFilters
        self.maxTopicLevels = maxTopicLevels
        self.maxTopicBytes = maxTopicBytes
    }
}
