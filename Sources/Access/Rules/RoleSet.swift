public import Broker
public import MQTT

/// Roles, groups and users: who is not allowed something by a role is denied it.
///
/// A client's roles are those of the user entries that its user name and client identifier match, and of their groups,
/// the highest priority first. Within a role denials come before what is allowed. The first that matches decides.
public struct RoleSet: AccessSource {
    /// Topic filters for each kind of question. `%u` is the user name, `%c` the client identifier, `{name}` what the
    /// pattern of the user entry has bound.
    public struct Grants: Sendable, Hashable {
        /// Publishing.
        public var publish: [String]
        /// Subscribing: allowed if the whole subscription lies within a filter; denied if it does.
        public var subscribe: [String]
        /// Being given messages; nil: the filters of `subscribe`.
        public var receive: [String]?

        /// Makes grants.
        public init(publish: [String] = [], subscribe: [String] = [], receive: [String]? = nil) {
            self.publish = publish
            self.subscribe = subscribe
            self.receive = receive
        }
    }

    /// What some job needs.
    public struct Role: Sendable, Hashable {
        /// What users and groups call it.
        public var name: String
        /// The higher one is asked first; among equals the one that stands first.
        public var priority: Int
        /// What it allows.
        public var allow: Grants
        /// What it denies, before what it allows.
        public var deny: Grants

        /// Makes a role.
        public init(name: String, priority: Int = 0, allow: Grants = Grants(), deny: Grants = Grants()) {
            self.name = name
            self.priority = priority
            self.allow = allow
            self.deny = deny
        }
    }

    /// Roles under one name.
    public struct Group: Sendable, Hashable {
        /// What users call it.
        public var name: String
        /// Names of roles.
        public var roles: [String]

        /// Makes a group.
        public init(name: String, roles: [String]) {
            self.name = name
            self.roles = roles
        }
    }

    /// Which clients have which roles.
    public struct User: Sendable, Hashable {
        /// User names: `*` stands for any run of characters, `{name}` for one that filters may use. A client without a
        /// user name matches only `*`.
        public var name: String
        /// Client identifiers, with `*`.
        public var clients: [String]
        /// Names of roles.
        public var roles: [String]
        /// Names of groups.
        public var groups: [String]

        /// Makes an entry.
        public init(name: String, clients: [String] = ["*"], roles: [String] = [], groups: [String] = []) {
            self.name = name
            self.clients = clients
            self.roles = roles
            self.groups = groups
        }
    }

    private struct Filters: Sendable {
        let publish: [AccessFilter]
        let subscribe: [AccessFilter]
        let receive: [AccessFilter]

        init(_ grants: Grants) {
            publish = grants.publish.map { AccessFilter($0, hasCaptures: true) }
            subscribe = grants.subscribe.map { AccessFilter($0, hasCaptures: true) }
            receive = (grants.receive ?? grants.subscribe).map { AccessFilter($0, hasCaptures: true) }
        }

        var captures: Set<String> {
            (publish + subscribe + receive).reduce(into: []) { $0.formUnion($1.captures) }
        }
    }

    private struct CompiledRole: Sendable {
        let priority: Int
        let allow: Filters
        let deny: Filters

        var captures: Set<String> { allow.captures.union(deny.captures) }
    }

    private struct CompiledUser: Sendable {
        let name: NamePattern
        let clients: [NamePattern]
        /// Indices into the roles.
        let roles: [Int]
    }

    private let roles: [CompiledRole]
    private let users: [CompiledUser]
    private let levelsMax: Int

    /// Compiles them.
    ///
    /// - Throws: ``AccessError`` if a name is unknown or stands twice, or a filter is none or uses what its users do
    ///   not bind.
    public init(
        roles: [Role],
        groups: [Group] = [],
        users: [User],
        levelsMax: Int = TopicLimits.levelsMax
    ) throws {
        self.levelsMax = levelsMax
        let compiled = try roles.map { role in
            for text in Self.filters(of: role) {
                try FilterCheck.check(text, AccessFilter(text, hasCaptures: true), levelsMax: levelsMax) {
                    AccessError(.roles, "Role \(role.name): `\(text)` is not a topic filter", cause: $0)
                }
            }
            return CompiledRole(priority: role.priority, allow: Filters(role.allow), deny: Filters(role.deny))
        }
        let roleIndices = try Self.index(roles.map(\.name), "role")
        let groupIndices = try Self.index(groups.map(\.name), "group")
        func roleNumbers(_ names: [String], _ owner: String) throws -> [Int] {
            try names.map { name in
                guard let index = roleIndices[name] else {
                    throw AccessError(.roles, "\(owner) has the role \(name), which there is not")
                }
                return index
            }
        }
        let rolesOfGroups = try groups.map { try roleNumbers($0.roles, "Group \($0.name)") }
        self.roles = compiled
        self.users = try users.map { user in
            guard let name = NamePattern(capturing: user.name) else {
                throw AccessError(
                    .roles,
                    "User \(user.name): braces hold one name each, and between two of them must stand some text"
                )
            }
            var numbers = try roleNumbers(user.roles, "User \(user.name)")
            for group in user.groups {
                guard let index = groupIndices[group] else {
                    throw AccessError(.roles, "User \(user.name) is in the group \(group), which there is not")
                }
                numbers += rolesOfGroups[index]
            }
            for number in numbers {
                let unbound = compiled[number].captures.subtracting(name.captures)
                if let capture = unbound.min() {
                    throw AccessError(
                        .roles,
                        "Role \(roles[number].name) uses {\(capture)}, which the user pattern \(user.name) does not bind"
                    )
                }
            }
            return CompiledUser(name: name, clients: user.clients.map { NamePattern($0) }, roles: numbers)
        }
    }

    private static func filters(of role: Role) -> [String] {
        [role.allow, role.deny].flatMap { $0.publish + $0.subscribe + ($0.receive ?? []) }
    }

    private static func index(_ names: [String], _ kind: String) throws -> [String: Int] {
        try Dictionary(names.enumerated().map { ($1, $0) }) { _, second in
            throw AccessError(.roles, "The \(kind) \(names[second]) stands twice")
        }
    }

    /// What the roles give to a client.
    public func resolve(_ identity: Identity) -> ResolvedAccess {
        var found: [(role: Int, captures: [String: String])] = []
        for user in users {
            guard user.clients.contains(where: { $0.matches(identity.clientID) }),
                let captures = user.name.bindings(of: identity.username)
            else { continue }
            found += user.roles.map { ($0, captures) }
        }
        // In the order of the roles where priorities are equal, whichever entry gave them.
        found.sort { left, right in
            let (first, second) = (roles[left.role].priority, roles[right.role].priority)
            return first == second ? left.role < right.role : first > second
        }
        var access = ResolvedAccess()
        for (number, captures) in found {
            let role = roles[number]
            func rules(_ kind: (Filters) -> [AccessFilter]) -> [ResolvedAccess.Rule] {
                let denials = kind(role.deny).map { filter -> ResolvedAccess.Rule in
                    // What is denied cannot be said for such a name, so everything is.
                    filter.filter(for: identity, captures: captures, levelsMax: levelsMax).map { .deny($0) }
                        ?? .denyEverything
                }
                return denials
                    + kind(role.allow).compactMap { filter in
                        filter.filter(for: identity, captures: captures, levelsMax: levelsMax).map { .allow($0) }
                    }
            }
            access.publish.rules += rules(\.publish)
            access.subscribe.rules += rules(\.subscribe)
            access.receive.rules += rules(\.receive)
        }
        return access
    }
}
