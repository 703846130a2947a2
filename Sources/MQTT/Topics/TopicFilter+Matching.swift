internal import NIOCore

extension TopicFilter {
    /// Whether the filter, without its share prefix, matches the topic (section 4.7).
    ///
    /// Wildcards in the first level match no topic that begins with `$` [MQTT-4.7.2-1]. One pass over the bytes.
    public func matches(_ topic: TopicName) -> Bool {
        withFilterBytes { filter in
            topic.bytes.withUnsafeReadableBytes { topic in Self.matches(filter: filter, topic: topic) }
        }
    }

    /// The matcher on bytes. The filter is valid; the topic may be anything.
    static func matches(filter: UnsafeRawBufferPointer, topic: UnsafeRawBufferPointer) -> Bool {
        guard let firstOfFilter = filter.first, let firstOfTopic = topic.first else { return false }
        if firstOfTopic == dollar, firstOfFilter == plus || firstOfFilter == multi { return false }
        var inFilter = 0
        var inTopic = 0
        while inFilter < filter.count {
            switch filter[inFilter] {
            case multi:
                return true
            case plus:
                inFilter += 1
                while inTopic < topic.count, topic[inTopic] != separator { inTopic += 1 }
            case let byte where inTopic < topic.count && topic[inTopic] == byte:
                inFilter += 1
                inTopic += 1
            default:
                // `sport/#` matches `sport` as well: the number sign includes the parent level.
                return inTopic == topic.count && filter.count - inFilter == 2
                    && filter[inFilter] == separator && filter[inFilter + 1] == multi
            }
        }
        return inTopic == topic.count
    }
}
