internal import NIOCore

/// A topic filter: what a subscription asks for, with the share group where it is a shared one.
///
/// Filters are compared byte by byte [MQTT-4.7.3-4]; unlike two Swift strings, two filters are not equal because
/// Unicode calls them equivalent.
public struct TopicFilter: Sendable {
    /// The filter as given, including the `$share/group/` prefix.
    let bytes: [UInt8]
    /// Where the filter begins behind the `$share/group/` prefix; 0 if it is not shared.
    let start: Int
    /// Whether there is a `+` or `#`.
    public let hasWildcards: Bool

    /// Takes text as a topic filter.
    ///
    /// - Parameters:
    ///   - text: The filter, such as `ward/+/cgm`, `pos/#` or `$share/group/pos/#`.
    ///   - maxLevels: The most levels it may have; values above ``TopicLimits/levelsMax`` count as that.
    public init(_ text: String, maxLevels: Int = TopicLimits.levels) throws(MQTTError) {
        try self.init(bytes: Array(text.utf8), maxLevels: maxLevels)
    }

    /// Takes bytes as a topic filter.
    public init(bytes: [UInt8], maxLevels: Int = TopicLimits.levels) throws(MQTTError) {
        let (start, hasWildcards) = try Self.validate(bytes, maxLevels: maxLevels)
        self.bytes = bytes
        self.start = start
        self.hasWildcards = hasWildcards
    }

    /// Takes a valid topic name as a filter that matches just this name.
    public init(_ topic: TopicName, maxLevels: Int = TopicLimits.levels) throws(MQTTError) {
        try self.init(bytes: Array(topic.bytes.readableBytesView), maxLevels: maxLevels)
    }

    private init(uncheckedBytes bytes: [UInt8], hasWildcards: Bool) {
        self.bytes = bytes
        self.start = 0
        self.hasWildcards = hasWildcards
    }

    /// The filter as given, including the `$share/group/` prefix.
    public var string: String { String(decoding: bytes, as: UTF8.self) }

    /// Whether it is a shared subscription's filter (section 4.8.2).
    public var isShared: Bool { start > 0 }

    /// The share group, or nil if it is not shared.
    public var shareName: String? {
        isShared ? String(decoding: shareBytes, as: UTF8.self) : nil
    }

    /// The filter without its `$share/group/` prefix; itself if it is not shared.
    public var unshared: TopicFilter {
        isShared ? TopicFilter(uncheckedBytes: Array(bytes[start...]), hasWildcards: hasWildcards) : self
    }

    /// The bytes of the share group; none if it is not shared.
    @usableFromInline
    var shareBytes: [UInt8] {
        isShared ? Array(bytes[Self.sharePrefix.count..<(start - 1)]) : []
    }

    /// Gives `body` the bytes without the `$share/group/` prefix.
    @inline(__always)
    func withFilterBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    }
}

extension TopicFilter: Hashable, CustomStringConvertible {
    /// The filter as given.
    public var description: String { string }

    /// Compares the bytes, the share prefix included.
    public static func == (left: TopicFilter, right: TopicFilter) -> Bool { left.bytes == right.bytes }

    /// Feeds one word, the keyed hash of the bytes.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(bytes.withUnsafeBytes { Word.hash($0, seed: Word.seed) })
    }
}
