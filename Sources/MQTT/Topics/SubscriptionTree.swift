/// All subscriptions, found by the topic of a message.
///
/// A subscription is a filter and a subscriber; a shared one also has its share group, and stands beside an unshared
/// one of the same filter. Matching costs a hash probe for each level of the topic and each `+` branch that exists,
/// never a look at subscriptions that do not match, and allocates nothing. Not for use from several threads at once.
public struct SubscriptionTree<Subscriber: Hashable & Sendable, Value: Sendable>: Sendable {
    /// Who subscribed, and in which share group.
    @usableFromInline
    struct Key: Hashable, Sendable {
        @usableFromInline let subscriber: Subscriber
        /// The share group's bytes; empty if the subscription is not shared.
        @usableFromInline let share: [UInt8]

        @usableFromInline
        init(subscriber: Subscriber, share: [UInt8]) {
            self.subscriber = subscriber
            self.share = share
        }
    }

    /// The subscriptions of one filter.
    @usableFromInline
    struct Slot: Sendable {
        @usableFromInline var keys: ContiguousArray<Key> = []
        @usableFromInline var subscriptions: ContiguousArray<(subscriber: Subscriber, value: Value)> = []
        /// Where each key is; kept only where a look through all keys would take long.
        @usableFromInline var index: [Key: Int] = [:]

        /// From so many subscriptions on there is an index.
        @usableFromInline static var indexedCount: Int { 16 }

        @usableFromInline
        init() {}

        @inlinable
        func position(_ key: Key) -> Int? {
            keys.count >= Self.indexedCount ? index[key] : keys.firstIndex(of: key)
        }

        @inlinable
        mutating func append(_ key: Key, _ value: Value) {
            keys.append(key)
            subscriptions.append((key.subscriber, value))
            if keys.count == Self.indexedCount {
                for (position, key) in keys.enumerated() { index[key] = position }
            } else if keys.count > Self.indexedCount {
                index[key] = keys.count - 1
            }
        }

        /// Takes one out; the last one takes its place.
        @inlinable
        mutating func remove(at position: Int) -> Value {
            let removed = subscriptions[position].value
            let last = keys.count - 1
            if keys.count > Self.indexedCount {
                index[keys[position]] = nil
                if position != last { index[keys[last]] = position }
            } else {
                index = [:]
            }
            keys.swapAt(position, last)
            subscriptions.swapAt(position, last)
            keys.removeLast()
            subscriptions.removeLast()
            return removed
        }
    }

    @usableFromInline var tree = LevelTree()
    /// The subscriptions of each node, by its number.
    @usableFromInline var slots: ContiguousArray<Slot> = [Slot()]

    @usableFromInline var subscriptionCount = 0
    @usableFromInline var changes: UInt64 = 0

    /// How many subscriptions there are.
    @inlinable
    public var count: Int { subscriptionCount }

    /// Changes with every change of the tree, so that whoever keeps the result of a match knows when it is old.
    @inlinable
    public var generation: UInt64 { changes }

    /// Makes an empty tree.
    public init() {}

    /// Adds a subscription, or replaces the one that the subscriber has with the same filter and share group.
    ///
    /// - Returns: The value that was replaced, or nil if the subscription is new.
    @inlinable
    @discardableResult
    public mutating func insert(_ filter: TopicFilter, subscriber: Subscriber, value: Value) -> Value? {
        changes &+= 1
        let node = tree.hold(filter)
        while slots.count < tree.nodeLimit { slots.append(Slot()) }
        let key = Key(subscriber: subscriber, share: filter.shareBytes)
        if let position = slots[Int(node)].position(key) {
            let old = slots[Int(node)].subscriptions[position].value
            slots[Int(node)].subscriptions[position].value = value
            return old
        }
        slots[Int(node)].append(key, value)
        subscriptionCount += 1
        return nil
    }

    /// Takes a subscription out, and with the last one of a filter everything that was kept for it.
    ///
    /// - Returns: Its value, or nil if there was none.
    @inlinable
    @discardableResult
    public mutating func remove(_ filter: TopicFilter, subscriber: Subscriber) -> Value? {
        guard let (node, position) = find(filter, subscriber) else { return nil }
        changes &+= 1
        let removed = slots[Int(node)].remove(at: position)
        subscriptionCount -= 1
        if slots[Int(node)].keys.isEmpty {
            slots[Int(node)] = Slot()
            tree.release(node)
        }
        return removed
    }

    /// The value of one subscription.
    @inlinable
    public func value(_ filter: TopicFilter, subscriber: Subscriber) -> Value? {
        guard let (node, position) = find(filter, subscriber) else { return nil }
        return slots[Int(node)].subscriptions[position].value
    }

    /// Calls `body` with each subscription whose filter matches the topic. A subscriber with several matching filters
    /// comes once for each, in no particular order.
    @inlinable
    public func forEachMatch(_ topic: TopicName, _ body: (Subscriber, Value) -> Void) {
        tree.forEachFilter(matching: topic) { node in
            for subscription in slots[Int(node)].subscriptions { body(subscription.subscriber, subscription.value) }
        }
    }

    /// Whether nothing is left in the tree but its root: true exactly when ``count`` is 0, or nodes leak.
    var isPruned: Bool { tree.nodeCount == 1 }

    @inlinable
    func find(_ filter: TopicFilter, _ subscriber: Subscriber) -> (node: Int32, position: Int)? {
        guard let node = tree.find(filter), Int(node) < slots.count else { return nil }
        let key = Key(subscriber: subscriber, share: filter.shareBytes)
        guard let position = slots[Int(node)].position(key) else { return nil }
        return (node, position)
    }
}
