import MQTT
import NIOCore

/// One session that a topic's messages go to. Overlapping subscriptions of one session are one route: the highest
/// quality of service counts, all subscription identifiers go along [MQTT-3.3.4-2], [MQTT-3.3.4-4].
struct Route {
    let session: Session
    var qos: QoS
    /// Whether each of the subscriptions said no local.
    var noLocal: Bool
    var retainAsPublished: Bool
    var subscriptionIDs: [UInt32]

    init(_ session: Session, _ subscription: Subscription) {
        self.session = session
        qos = subscription.options.qos
        noLocal = subscription.options.noLocal
        retainAsPublished = subscription.options.retainAsPublished
        subscriptionIDs = subscription.identifier == 0 ? [] : [subscription.identifier]
    }
}

/// Everyone that messages of one topic go to.
final class RouteList {
    /// The topic, as a copy of its own.
    let topic: TopicName
    var routes: ContiguousArray<Route> = []
    /// The shared subscriptions that match; one member of each is given a message.
    var groups: [SharedGroup] = []
    /// Whether a handler or bridge reads the topic in the journal.
    var hasDurableReader = false
    /// Whether one of the sessions is persistent with QoS 1 or 2.
    var hasPersistentSession = false
    /// Whether the topic lies below `$SYS`.
    let isSystem: Bool

    init(_ topic: TopicName) {
        self.topic = topic.copied()
        self.isSystem = topic.isSystem
    }

    /// Whether nobody but the sessions of `routes` is asked or told of a message of the topic.
    var isPlain: Bool { groups.isEmpty && !hasDurableReader && !topic.isReserved }
}

/// Route lists by the bytes of their topics, so that a message finds its own before it is one.
///
/// Open addressing, at most half full; entries go all at once. A class, so that a look-up touches nothing else of the
/// table.
final class RouteMemory {
    private struct Slot {
        var hash: UInt64 = 0
        var list: RouteList?
    }

    private var slots: ContiguousArray<Slot> = []
    private(set) var count = 0
    /// Grows when all is forgotten: a list from before may name sessions that have ended.
    private(set) var age: UInt64 = 0

    /// The list of a topic that was published lately.
    func list(_ topic: UnsafeRawBufferPointer) -> RouteList? {
        guard count > 0 else { return nil }
        let hash = TopicName.hash(of: topic)
        let mask = slots.count &- 1
        var index = Int(truncatingIfNeeded: hash) & mask
        while let list = slots[index].list {
            if slots[index].hash == hash && list.topic.isEqual(to: topic) { return list }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// Remembers a list whose topic is not there yet.
    func insert(_ list: RouteList) {
        if slots.count <= 2 &* count {
            let old = slots
            slots = ContiguousArray(repeating: Slot(), count: max(64, 2 &* old.count))
            for slot in old where slot.list != nil { place(slot) }
        }
        place(Slot(hash: list.topic.bytes.withUnsafeReadableBytes { TopicName.hash(of: $0) }, list: list))
        count &+= 1
    }

    private func place(_ slot: Slot) {
        let mask = slots.count &- 1
        var index = Int(truncatingIfNeeded: slot.hash) & mask
        while slots[index].list != nil { index = (index &+ 1) & mask }
        slots[index] = slot
    }

    /// Forgets all.
    func removeAll() {
        slots = []
        count = 0
        age &+= 1
    }
}

/// The subscription tree with a memory of the routes of topics that were published lately.
///
/// A new or ended subscription forgets all remembered routes; subscriptions are rare beside messages.
struct RouteTable {
    /// Subscribers with this bit are durable readers, not sessions.
    static let durableReaderBit: UInt32 = 0x8000_0000

    private var tree = SubscriptionTree<UInt32, Subscription>()
    /// By the whole filter, `$share/…` included.
    private var groups: [TopicFilter: SharedGroup] = [:]
    private let remembered: RouteMemory
    private let rememberedMax: Int
    /// Routes of all remembered lists, and how many there may be: many receivers leave room for few topics.
    private var rememberedRoutes = 0
    private static let rememberedRoutesLimit = 262_144

    init(_ remembered: RouteMemory, rememberedMax: Int) {
        self.remembered = remembered
        self.rememberedMax = max(1, rememberedMax)
    }

    var count: Int { tree.count }
    /// Shared subscriptions among them.
    private(set) var sharedCount = 0

    mutating func insertReader(_ reader: UInt32, _ filter: TopicFilter) {
        let subscription = Subscription(options: .init(), identifier: 0)
        tree.insert(filter, subscriber: Self.durableReaderBit | reader, value: subscription)
        forget()
    }

    mutating func insert(_ filter: TopicFilter, _ session: Session, _ subscription: Subscription) {
        let old = tree.insert(filter, subscriber: session.index, value: subscription)
        if filter.isShared {
            if old == nil { sharedCount += 1 }
            let group = groups[filter] ?? SharedGroup(filter: filter)
            group.insert(Route(session, subscription))
            groups[filter] = group
        }
        forget()
    }

    mutating func remove(_ filter: TopicFilter, _ session: Session) {
        if tree.remove(filter, subscriber: session.index) != nil && filter.isShared { sharedCount -= 1 }
        if filter.isShared, let group = groups[filter] {
            group.remove(session)
            if group.members.isEmpty { groups[filter] = nil }
        }
        forget()
    }

    /// The shared subscription of this filter, if it has members.
    func group(_ filter: TopicFilter) -> SharedGroup? { groups[filter] }

    /// Forgets remembered routes, as when a session becomes persistent.
    mutating func forget() {
        if remembered.count > 0 { remembered.removeAll() }
        rememberedRoutes = 0
    }

    mutating func routes(for topic: TopicName, sessions: ContiguousArray<Session?>) -> RouteList {
        if let known = topic.bytes.withUnsafeReadableBytes({ remembered.list($0) }) { return known }
        let list = makeRoutes(for: topic, sessions: sessions)
        let count = list.routes.count &+ list.groups.count
        if remembered.count >= rememberedMax || rememberedRoutes &+ count > Self.rememberedRoutesLimit { forget() }
        rememberedRoutes &+= count
        remembered.insert(list)
        return list
    }

    private func makeRoutes(for topic: TopicName, sessions: ContiguousArray<Session?>) -> RouteList {
        let list = RouteList(topic)
        var places: [UInt32: Int] = [:]
        tree.forEachMatch(topic) { subscriber, subscription in
            guard subscriber & Self.durableReaderBit == 0 else {
                list.hasDurableReader = true
                return
            }
            guard let session = sessions[Int(subscriber)] else { return }
            let options = subscription.options
            if session.isPersistent && options.qos != .atMostOnce { list.hasPersistentSession = true }
            let route = Route(session, subscription)
            if let filter = subscription.sharedFilter {
                if let group = groups[filter], !list.groups.contains(where: { $0 === group }) {
                    list.groups.append(group)
                }
            } else if let place = places[subscriber] {
                list.routes[place].qos = max(list.routes[place].qos, options.qos)
                list.routes[place].noLocal = list.routes[place].noLocal && options.noLocal
                list.routes[place].retainAsPublished =
                    list.routes[place].retainAsPublished || options.retainAsPublished
                list.routes[place].subscriptionIDs += route.subscriptionIDs
            } else {
                places[subscriber] = list.routes.count
                list.routes.append(route)
            }
        }
        if list.groups.count > 1 { list.groups.sort { $0.filter.string < $1.filter.string } }
        return list
    }
}
