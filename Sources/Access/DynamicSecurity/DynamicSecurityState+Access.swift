internal import Broker
internal import MQTT

// What dynamic security gives to a client, and who it lets in.
extension DynamicSecurityState {
    /// The rules of a client: its own roles by rank, then those of its groups by theirs; within a role by priority.
    func resolve(_ identity: Identity) -> ResolvedAccess? {
        var names: [String] = []
        if let username = identity.username {
            // Somebody that only another source knows.
            guard let client = clients[Array(username.utf8)] else { return nil }
            names = client.roles.map(\.name)
            for group in groups(of: username) { names += rolesOfGroup(group.name) }
        } else if let anonymousGroup {
            names = rolesOfGroup(anonymousGroup)
        }
        var access = ResolvedAccess()
        access.unsubscribe = ResolvedAccess.List()
        for name in names {
            guard let role = roles[Array(name.utf8)] else { continue }
            access.publish.rules += rules(role, [.publishClientSend], identity)
            access.receive.rules += rules(role, [.publishClientReceive], identity)
            access.subscribe.rules += rules(role, [.subscribeLiteral], identity)
            if !role.allowsWildcardSubscriptions { access.subscribe.rules.append(.denyWildcards) }
            access.subscribe.rules += rules(role, [.subscribePattern], identity)
            access.unsubscribe.rules += rules(role, [.unsubscribeLiteral, .unsubscribePattern], identity)
        }
        access.publish.fallback = defaultAccess.publishClientSend
        access.receive.fallback = defaultAccess.publishClientReceive
        access.subscribe.fallback = defaultAccess.subscribe
        access.unsubscribe.fallback = defaultAccess.unsubscribe
        return access
    }

    private func rolesOfGroup(_ name: String) -> [String] { groups[Array(name.utf8)]?.roles.map(\.name) ?? [] }

    private func rules(_ role: Role, _ kinds: [ACLKind], _ identity: Identity) -> [ResolvedAccess.Rule] {
        kinds.flatMap { kind in
            (role.entries[kind] ?? []).compactMap { entry in
                let filter = AccessFilter(entry.topic).filter(for: identity, levelsMax: TopicLimits.levelsMax)
                guard let filter else { return entry.allows ? nil : .denyEverything }
                let isLiteral = kind == .subscribeLiteral || kind == .unsubscribeLiteral
                return ResolvedAccess.Rule(
                    matcher: isLiteral ? .literal(filter) : .filter(filter),
                    allows: entry.allows
                )
            }
        }
    }
}

/// Dynamic security at one moment, as a source of rules and of users.
struct DynamicSecuritySnapshot: AccessSource, PasswordUsers {
    let state: DynamicSecurityState

    func resolve(_ identity: Identity) -> ResolvedAccess { state.resolve(identity) ?? ResolvedAccess.undecided }

    func look(up username: String, clientID: String) -> PasswordLookup {
        guard let client = state.clients[Array(username.utf8)] else { return .unknown }
        guard !client.isDisabled, client.clientID?.isSame(clientID) ?? true else { return .refused }
        // Without a password here, another source may know one.
        return client.password.map { .password($0) } ?? .unknown
    }

    var allHashes: [PasswordHash] { state.clients.values.compactMap(\.password) }
}

extension ResolvedAccess {
    /// Says nothing, so that the next source is asked.
    static let undecided: ResolvedAccess = {
        var access = ResolvedAccess()
        access.unsubscribe = List()
        return access
    }()
}
