import MQTT

/// One session that a topic's messages go to. Overlapping subscriptions of one session are one route: the highest
/// quality of service counts, all subscription identifiers go along [MQTT-3.3.4-2], [MQTT-3.3.4-4].
struct Route {
    let session: Session
    var qos: QoS
    /// Whether each of the subscriptions said no local.
    var noLocal: Bool
    var retainAsPublished: Bool
    var subscriptionIDs: [UInt32]
}

/// Everyone that messages of one topic go to.
final class RouteList {
    var routes: ContiguousArray<Route> = []
    /// The members of each shared subscription that matches; one of them is given a message.
    var groups: [SharedRoute] = []
    /// Whether a handler or bridge reads the topic in the journal.
    var hasDurableReader = false
    /// Whether one of the sessions is persistent with QoS 1 or 2.
    var hasPersistentSession = false
}

/// A shared subscription's members for one topic.
final class SharedRoute {
    let filter: TopicFilter
    var members: ContiguousArray<Route> = []
    private var turn = 0

    init(filter: TopicFilter) { self.filter = filter }

    /// The next member in turn that is connected and takes bytes; else the next one that keeps a session.
    func next() -> Route? {
        guard !members.isEmpty else { return nil }
        for step in 0..<members.count {
            let candidate = (turn + step) % members.count
            let member = members[candidate]
            if let connection = member.session.connection, connection.isWritable {
                turn = (candidate + 1) % members.count
                return member
            }
        }
        for step in 0..<members.count {
            let candidate = (turn + step) % members.count
            if members[candidate].session.isPersistent {
                turn = (candidate + 1) % members.count
                return members[candidate]
            }
        }
        return nil
    }
}

/// The subscription tree with a memory of the routes of topics that were published lately.
///
/// A new or ended subscription forgets all remembered routes; subscriptions are rare beside messages.
struct RouteTable {
    /// Subscribers with this bit are durable readers, not sessions.
    static let durableReaderBit: UInt32 = 0x8000_0000

    private var tree = SubscriptionTree<UInt32, Subscription>()
    private var remembered: [TopicName: RouteList] = [:]
    private let rememberedMax: Int
    /// Routes of all remembered lists, and how many there may be: many receivers leave room for few topics.
    private var rememberedRoutes = 0
    private static let rememberedRoutesLimit = 262_144

    init(rememberedMax: Int) { self.rememberedMax = max(1, rememberedMax) }

    var count: Int { tree.count }
    /// Shared subscriptions among them.
    private(set) var sharedCount = 0

    mutating func insert(_ filter: TopicFilter, subscriber: UInt32, _ subscription: Subscription) {
        let old = tree.insert(filter, subscriber: subscriber, value: subscription)
        if old == nil && filter.isShared { sharedCount += 1 }
        forget()
    }

    mutating func remove(_ filter: TopicFilter, subscriber: UInt32) {
        if tree.remove(filter, subscriber: subscriber) != nil && filter.isShared { sharedCount -= 1 }
        forget()
    }

    /// Forgets remembered routes, as when a session becomes persistent.
    mutating func forget() {
        if !remembered.isEmpty { remembered.removeAll(keepingCapacity: true) }
        rememberedRoutes = 0
    }

    mutating func routes(for topic: TopicName, sessions: ContiguousArray<Session?>) -> RouteList {
        if let known = remembered[topic] { return known }
        let list = makeRoutes(for: topic, sessions: sessions)
        let count = list.routes.count &+ list.groups.reduce(0) { $0 &+ $1.members.count }
        if remembered.count >= rememberedMax || rememberedRoutes &+ count > Self.rememberedRoutesLimit { forget() }
        rememberedRoutes &+= count
        remembered[topic.copied()] = list
        return list
    }

    private func makeRoutes(for topic: TopicName, sessions: ContiguousArray<Session?>) -> RouteList {
        let list = RouteList()
        var places: [UInt32: Int] = [:]
        var groups: [TopicFilter: SharedRoute] = [:]
        tree.forEachMatch(topic) { subscriber, subscription in
            guard subscriber & Self.durableReaderBit == 0 else {
                list.hasDurableReader = true
                return
            }
            guard let session = sessions[Int(subscriber)] else { return }
            let options = subscription.options
            if session.isPersistent && options.qos != .atMostOnce { list.hasPersistentSession = true }
            let identifiers = subscription.identifier == 0 ? [] : [subscription.identifier]
            let route = Route(
                session: session,
                qos: options.qos,
                noLocal: options.noLocal,
                retainAsPublished: options.retainAsPublished,
                subscriptionIDs: identifiers
            )
            if let filter = subscription.sharedFilter {
                let group = groups[filter] ?? SharedRoute(filter: filter)
                group.members.append(route)
                groups[filter] = group
            } else if let place = places[subscriber] {
                list.routes[place].qos = max(list.routes[place].qos, options.qos)
                list.routes[place].noLocal = list.routes[place].noLocal && options.noLocal
                list.routes[place].retainAsPublished =
                    list.routes[place].retainAsPublished || options.retainAsPublished
                list.routes[place].subscriptionIDs += identifiers
            } else {
                places[subscriber] = list.routes.count
                list.routes.append(route)
            }
        }
        list.groups = groups.values.sorted { $0.filter.string < $1.filter.string }
        return list
    }
}
