/// The hard limits of topic names and filters.
public enum TopicLimits {
    /// The levels that a topic may have where nothing else is configured.
    public static let levels = 32
    /// More levels than this, which 200 separators make, are refused whatever is configured.
    public static let levelsMax = 201
    /// The most bytes that fit the two-byte length of the wire [MQTT-4.7.3-3].
    public static let bytesMax = 65_535
}
