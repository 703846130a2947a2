/// What is kept for each topic, the retained messages above all: found by name, and by filter when someone subscribes.
///
/// Names are kept as copies of their own. Not for use from several threads at once.
public struct RetainedIndex<Value: Sendable>: Sendable {
    @usableFromInline var tree = LevelTree()
    /// What is kept under each node, by its number.
    @usableFromInline var entries: ContiguousArray<(topic: TopicName, value: Value)?> = [nil]

    @usableFromInline var topicCount = 0

    /// How many topics have a value.
    @inlinable
    public var count: Int { topicCount }

    /// Makes an empty index.
    public init() {}

    /// The value of a topic.
    @inlinable
    public subscript(_ topic: TopicName) -> Value? {
        guard let node = tree.find(topic), Int(node) < entries.count else { return nil }
        return entries[Int(node)]?.value
    }

    /// Sets the value of a topic; nil removes it, and everything that was kept for it.
    ///
    /// - Returns: The old value.
    @inlinable
    @discardableResult
    public mutating func set(_ topic: TopicName, _ value: Value?) -> Value? {
        guard let value else { return remove(topic) }
        let node = tree.hold(topic)
        while entries.count < tree.nodeLimit { entries.append(nil) }
        if let old = entries[Int(node)] {
            entries[Int(node)]?.value = value
            return old.value
        }
        entries[Int(node)] = (topic.copied(), value)
        topicCount += 1
        return nil
    }

    @inlinable
    mutating func remove(_ topic: TopicName) -> Value? {
        guard let node = tree.find(topic), Int(node) < entries.count, let old = entries[Int(node)] else { return nil }
        entries[Int(node)] = nil
        tree.release(node)
        topicCount -= 1
        return old.value
    }

    /// Calls `body` with each topic that the filter, without its share prefix, matches, in no particular order.
    @inlinable
    public func forEachMatch(_ filter: TopicFilter, _ body: (TopicName, Value) -> Void) {
        forEachMatch(filter) { topic, value -> Bool in
            body(topic, value)
            return true
        }
    }

    /// The same until `body` gives false.
    @inlinable
    public func forEachMatch(_ filter: TopicFilter, while body: (TopicName, Value) -> Bool) {
        tree.forEachName(matching: filter) { node in
            guard let entry = entries[Int(node)] else { return true }
            return body(entry.topic, entry.value)
        }
    }

    /// Calls `body` with topics from a position on, for a long look in slices. What is set between two slices may be
    /// seen or not.
    ///
    /// - Parameters:
    ///   - position: 0 at first, then what the slice before gave.
    ///   - places: How many places of the index to look at; places may be empty.
    /// - Returns: Where the next slice begins; nil at the end.
    @inlinable
    public func forEach(from position: Int, places: Int, _ body: (TopicName, Value) -> Void) -> Int? {
        let end = min(position + places, entries.count)
        guard position < end else { return nil }
        for case let entry? in entries[position..<end] { body(entry.topic, entry.value) }
        return end < entries.count ? end : nil
    }

    /// Calls `body` with each topic, in no particular order.
    @inlinable
    public func forEach(_ body: (TopicName, Value) -> Void) {
        for case let entry? in entries { body(entry.topic, entry.value) }
    }

    /// Whether nothing is left in the tree but its root: true exactly when ``count`` is 0, or nodes leak.
    var isPruned: Bool { tree.nodeCount == 1 }
}
