public import Broker
public import MQTT
internal import NIOCore
internal import Synchronization

/// Decides by rules who may publish, subscribe and receive. A client may do what any rule that matches it allows, and
/// nothing else; without rules, everybody who was let in may do everything but publish to `$` topics.
///
/// A client's rules are resolved once, at its first question, and remembered.
public final class RuleAuthorizer: Authorizer {
    /// What some clients may do.
    public struct Rule: Sendable, Hashable {
        /// User names; `*` stands for any run of characters. A client without a user name matches only `*`.
        public var users: [String]
        /// Client identifiers, likewise.
        public var clients: [String]
        /// Topic filters that they may publish to; `%u` is the user name, `%c` the client identifier.
        public var publish: [String]
        /// Topic filters that they may subscribe to. A subscription must lie within one of them.
        public var subscribe: [String]
        /// Topic filters of what may be delivered to them; nil: those of `subscribe`.
        public var receive: [String]?

        /// Makes a rule.
        public init(
            users: [String] = ["*"],
            clients: [String] = ["*"],
            publish: [String] = [],
            subscribe: [String] = [],
            receive: [String]? = nil
        ) {
            self.users = users
            self.clients = clients
            self.publish = publish
            self.subscribe = subscribe
            self.receive = receive
        }
    }

    private struct CompiledRule: Sendable {
        let users: [NamePattern]
        let clients: [NamePattern]
        let publish: [AccessFilter]
        let subscribe: [AccessFilter]
        let receive: [AccessFilter]
    }

    /// What one client may do.
    private final class Access: Sendable {
        let publish: [TopicFilter]
        let subscribe: [TopicFilter]
        let receive: [TopicFilter]

        init(publish: [TopicFilter], subscribe: [TopicFilter], receive: [TopicFilter]) {
            self.publish = publish
            self.subscribe = subscribe
            self.receive = receive
        }
    }

    /// Clients remembered at once. Beyond, all are forgotten and come again.
    private static let rememberedMax = 16_384

    private let rules: [CompiledRule]
    private let levelsMax: Int
    private let remembered = Mutex<[Identity: Access]>([:])

    /// Makes it.
    ///
    /// - Throws: ``SiteServerError`` if a rule holds what is not a topic filter.
    public init(rules: [Rule], levelsMax: Int = 200) throws {
        self.levelsMax = levelsMax
        self.rules = try rules.enumerated().map { index, rule in
            for text in rule.publish + rule.subscribe + (rule.receive ?? []) {
                // Checked with names that are sure to fit, so that a mistake shows at the start.
                let probe = AccessFilter(text).resolved(username: "user", clientID: "client") ?? text
                do throws(MQTTError) {
                    _ = try TopicFilter(probe, maxLevels: levelsMax)
                } catch {
                    throw SiteServerError(
                        .accessRule,
                        "Access rule \(index + 1): `\(text)` is not a topic filter",
                        cause: error
                    )
                }
            }
            return CompiledRule(
                users: rule.users.map(NamePattern.init),
                clients: rule.clients.map(NamePattern.init),
                publish: rule.publish.map(AccessFilter.init),
                subscribe: rule.subscribe.map(AccessFilter.init),
                receive: (rule.receive ?? rule.subscribe).map(AccessFilter.init)
            )
        }
    }

    /// Whether a rule allows the client to publish to the topic; never to a `$` topic.
    public func mayPublish(_ identity: Identity, topic: TopicName) -> Bool {
        // `$` topics are the broker's own: `$SYS`, `$causeway`, `$share`.
        guard !topic.startsWithDollar else { return false }
        guard !rules.isEmpty else { return true }
        return access(of: identity).publish.contains { $0.matches(topic) }
    }

    /// Whether a rule's filter covers the whole filter, without the share group of a shared one.
    public func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        guard !rules.isEmpty else { return true }
        let wanted = filter.isShared ? filter.unshared : filter
        return access(of: identity).subscribe.contains { FilterCover.covers($0.string, wanted.string) }
    }

    /// Whether a rule allows the topic to be delivered to the client.
    public func mayReceive(_ identity: Identity, topic: TopicName) -> Bool {
        guard !rules.isEmpty else { return true }
        return access(of: identity).receive.contains { $0.matches(topic) }
    }

    /// Whether there are no rules. That nobody publishes to `$` topics is also the core's own rule.
    public func allowsEverything(_ identity: Identity) -> Bool { rules.isEmpty }

    // MARK: -

    private func access(of identity: Identity) -> Access {
        if let known = remembered.withLock({ $0[identity] }) { return known }
        let made = resolve(identity)
        remembered.withLock { remembered in
            if remembered.count >= Self.rememberedMax { remembered.removeAll() }
            remembered[identity] = made
        }
        return made
    }

    private func resolve(_ identity: Identity) -> Access {
        let matching = rules.filter { rule in
            rule.users.contains { $0.matches(identity.username) }
                && rule.clients.contains { $0.matches(identity.clientID) }
        }
        func filters(_ list: (CompiledRule) -> [AccessFilter]) -> [TopicFilter] {
            matching.flatMap(list).compactMap { filter in
                guard let text = filter.resolved(username: identity.username, clientID: identity.clientID) else {
                    return nil
                }
                // A name that makes a filter invalid allows nothing.
                return try? TopicFilter(text, maxLevels: levelsMax)
            }
        }
        return Access(publish: filters(\.publish), subscribe: filters(\.subscribe), receive: filters(\.receive))
    }
}

extension TopicName {
    /// Whether the first byte is `$`.
    fileprivate var startsWithDollar: Bool {
        bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == UInt8(ascii: "$")
    }
}
