public import Broker
public import MQTT

/// Rules that allow: a client may do what any rule that matches it allows, and nothing else.
public struct RuleSet: AccessSource {
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

    private let rules: [CompiledRule]
    private let levelsMax: Int

    /// Compiles rules.
    ///
    /// - Throws: ``AccessError`` if a rule holds what is not a topic filter.
    public init(rules: [Rule], levelsMax: Int = TopicLimits.levelsMax) throws {
        self.levelsMax = levelsMax
        self.rules = try rules.enumerated().map { index, rule in
            for text in rule.publish + rule.subscribe + (rule.receive ?? []) {
                try FilterCheck.check(text, AccessFilter(text), levelsMax: levelsMax) {
                    AccessError(.accessRule, "Access rule \(index + 1): `\(text)` is not a topic filter", cause: $0)
                }
            }
            return CompiledRule(
                users: rule.users.map { NamePattern($0) },
                clients: rule.clients.map { NamePattern($0) },
                publish: rule.publish.map { AccessFilter($0) },
                subscribe: rule.subscribe.map { AccessFilter($0) },
                receive: (rule.receive ?? rule.subscribe).map { AccessFilter($0) }
            )
        }
    }

    /// What the rules allow a client.
    public func resolve(_ identity: Identity) -> ResolvedAccess {
        let matching = rules.filter { rule in
            rule.users.contains { $0.matches(identity.username) }
                && rule.clients.contains { $0.matches(identity.clientID) }
        }
        func list(_ filters: (CompiledRule) -> [AccessFilter]) -> ResolvedAccess.List {
            let rules = matching.flatMap(filters).compactMap { filter in
                // A name that makes a filter impossible or invalid allows nothing.
                filter.filter(for: identity, levelsMax: levelsMax).map { ResolvedAccess.Rule.allow($0) }
            }
            return ResolvedAccess.List(rules: rules)
        }
        var access = ResolvedAccess()
        access.publish = list(\.publish)
        access.subscribe = list(\.subscribe)
        access.receive = list(\.receive)
        return access
    }
}

/// Whether what a configuration holds is a topic filter.
enum FilterCheck {
    /// Tries it with names that are sure to fit, so that a mistake shows at the start.
    static func check(
        _ text: String,
        _ filter: AccessFilter,
        levelsMax: Int,
        _ problem: (any Error) -> AccessError
    ) throws {
        let captures = Dictionary(uniqueKeysWithValues: filter.captures.map { ($0, "capture") })
        let probe = filter.resolved(username: "user", clientID: "client", captures: captures) ?? text
        do throws(MQTTError) {
            _ = try TopicFilter(probe, maxLevels: levelsMax)
        } catch {
            throw problem(error)
        }
    }
}

extension AccessFilter {
    /// The topic filter for one client; nil if there is none.
    func filter(for identity: Identity, captures: [String: String] = [:], levelsMax: Int) -> TopicFilter? {
        guard let text = resolved(username: identity.username, clientID: identity.clientID, captures: captures) else {
            return nil
        }
        return try? TopicFilter(text, maxLevels: levelsMax)
    }
}
