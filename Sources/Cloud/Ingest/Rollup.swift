/// What the roll-ups are kept by: one row per site, stream and hour.
public struct RollupKey: Sendable, Hashable {
    /// The site.
    public var site: String
    /// The stream: the first levels of the relative topic.
    public var stream: String
    /// The beginning of the hour, milliseconds since 1970-01-01 UTC.
    public var hourMilliseconds: Int64

    /// Makes a key.
    public init(site: String, stream: String, hourMilliseconds: Int64) {
        self.site = site
        self.stream = stream
        self.hourMilliseconds = hourMilliseconds
    }
}

/// What is known about the messages of one key. Values add up: a late message changes its own hour, whenever it comes.
public struct Rollup: Sendable, Hashable {
    /// Messages.
    public var count: UInt64 = 0
    /// Payload bytes.
    public var bytes: UInt64 = 0
    /// Messages with a numeric `value`.
    public var valueCount: UInt64 = 0
    /// The sum of the values.
    public var sum: Double = 0
    /// The least value; nil without values.
    public var minimum: Double?
    /// The greatest value; nil without values.
    public var maximum: Double?

    /// Makes an empty roll-up.
    public init() {}

    /// The mean of the values; nil without values.
    public var average: Double? { valueCount == 0 ? nil : sum / Double(valueCount) }

    /// Takes a message in.
    public mutating func add(bytes: Int, value: Double?) {
        count &+= 1
        self.bytes &+= UInt64(max(0, bytes))
        guard let value else { return }
        valueCount &+= 1
        sum += value
        minimum = minimum.map { Swift.min($0, value) } ?? value
        maximum = maximum.map { Swift.max($0, value) } ?? value
    }
}

extension RollupKey {
    /// How many topic levels make a stream.
    static let streamLevels = 2
    /// The longest stream name kept; a longer one is cut at a character.
    static let streamBytesMax = 128
    /// How many streams a site may have. What comes after counts in ``otherStream``.
    static let streamsPerSiteMax = 1_000
    /// The stream of messages beyond the limit.
    static let otherStream = "(other)"

    private static let hour: Int64 = 3_600_000
    /// 2000-01-01: a site clock before it was never set.
    private static let earliest: Int64 = 946_684_800_000
    /// How far a site's clock may be ahead of ours.
    private static let aheadMax: Int64 = 24 * hour

    /// The stream of a relative topic: its first two levels.
    static func stream(of topic: String) -> String {
        var levels = 0
        let end = topic.utf8.firstIndex { byte in
            if byte == UInt8(ascii: "/") { levels += 1 }
            return levels == streamLevels
        }
        var stream = topic[..<(end ?? topic.endIndex)]
        while stream.utf8.count > streamBytesMax { stream.removeLast() }
        return String(stream)
    }

    /// The hour a message counts in: that of its event, or of its arrival if the event's time cannot be right.
    static func hour(event: Int64, received: Int64) -> Int64 {
        let isPlausible = event >= earliest && event <= max(earliest, received) + aheadMax
        let time = max(0, isPlausible ? event : received)
        return time - time % hour
    }
}
