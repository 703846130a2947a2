/// Bounds of who may enter and do what.
enum AccessBounds {
    static let rulesMax = 10_000
    static let filtersMax = 1_000
    static let failures = 1...1_000_000
}

extension Field {
    /// `users:`.
    func users() -> UsersConfiguration? {
        mapping { fields in
            let file = fields.field("password_file")
            let tokens = fields.field("jwt")
            if !file.isPresent, !tokens.isPresent {
                file.reportMissing(hint: "a file made by mosquitto_passwd; or take tokens with 'jwt'")
            }
            var users = UsersConfiguration(passwordFile: file.path(.secret))
            users.tokens = tokens.mapping { $0.tokens() }
            let scram = fields.field("scram")
            users.offersScram = scram.bool(default: false)
            if users.offersScram, !file.isPresent {
                scram.reportKey("'scram' needs 'password_file'", hint: "it holds the keys")
            }
            users.lockout = fields.field("lockout").mapping { $0.lockout() } ?? UsersConfiguration.Lockout()
            return users
        }
    }

    /// `access:`.
    func access() -> AccessConfiguration? {
        guard isPresent else { return nil }
        guard case .mapping = node?.content else { return accessRules().map { AccessConfiguration(rules: $0) } }
        return mapping { $0.access(at: self) }
    }

    fileprivate func accessRules() -> [AccessRule]? {
        guard let elements = elements(max: AccessBounds.rulesMax, hint: "each rule begins with '-'") else { return nil }
        if elements.isEmpty {
            report("an empty list lets nobody do anything", hint: "leave 'access' away to let every user do everything")
        }
        return elements.compactMap { $0.mapping { $0.rule() } }
    }

    fileprivate func grants() -> AccessConfiguration.Grants {
        mapping { fields in
            var grants = AccessConfiguration.Grants()
            grants.publish = fields.field("publish").roleFilters() ?? []
            grants.subscribe = fields.field("subscribe").roleFilters() ?? []
            grants.receive = fields.field("receive").roleFilters()
            return grants
        } ?? AccessConfiguration.Grants()
    }

    /// Filters that may hold `{word}`, bound by the name of a user.
    private func roleFilters() -> [String]? {
        guard isPresent else { return nil }
        if case .scalar = node?.content { return roleFilter().map { [$0] } }
        return elements(max: AccessBounds.filtersMax)?.compactMap { $0.roleFilter() }
    }

    private func roleFilter() -> String? {
        guard let text = text(expected: "a topic filter") else { return nil }
        return checked(text) { text throws(TopicSyntax.Mistake) in
            _ = try TopicSyntax.placeholders(in: text)
            try TopicSyntax.pattern(text, allowsNames: false)
        }
    }
}

extension Fields {
    fileprivate func tokens() -> UsersConfiguration.Tokens? {
        let file = field("jwks_file")
        if !file.isPresent { file.reportMissing(hint: "the issuer's public keys, as a JSON Web Key Set") }
        let keyFile = file.path(.readable)
        let issuer = field("issuer").words()
        let audience = field("audience").words()
        let claim = field("username_claim").words()
        let leeway = field("leeway").duration(0...3_600_000)
        let algorithms = field("algorithms")
        let chosen = algorithms.elements(max: UsersConfiguration.Algorithm.allCases.count)?
            .compactMap { $0.choice(UsersConfiguration.Algorithm.self) }
        if chosen?.isEmpty == true { algorithms.report("is empty: no token could be right") }
        guard let keyFile else { return nil }
        var tokens = UsersConfiguration.Tokens(keyFile: keyFile, issuer: issuer, audience: audience)
        if let claim { tokens.usernameClaim = claim }
        if let leeway { tokens.leeway = leeway }
        if let chosen { tokens.algorithms = Set(chosen) }
        return tokens
    }

    fileprivate func lockout() -> UsersConfiguration.Lockout {
        var lockout = UsersConfiguration.Lockout()
        if let failures = field("failures").integer(AccessBounds.failures) { lockout.failures = failures }
        if let within = field("within").duration(1_000...86_400_000) { lockout.within = within }
        if let duration = field("duration").duration(1_000...86_400_000) { lockout.duration = duration }
        return lockout
    }

    fileprivate func access(at whole: Field) -> AccessConfiguration? {
        let rules = field("rules")
        let roles = field("roles")
        let groups = field("groups")
        let users = field("users")
        let aclFile = field("acl_file")
        let dynamicSecurity = field("dynamic_security")
        if ![rules, roles, users, aclFile, dynamicSecurity].contains(where: \.isPresent) {
            whole.report(
                "says nothing, so nobody could do anything",
                hint: "add 'rules', 'roles' with 'users', 'acl_file' or 'dynamic_security'"
            )
        }
        var access = AccessConfiguration(
            rules: rules.accessRules(),
            aclFile: aclFile.path(.readable),
            dynamicSecurityFile: dynamicSecurity.path(.database)
        )
        access.roles = roles.named("role") { $0.role($1) }
        access.groups = groups.named("group") { $0.group($1, roles: access.roles) }
        access.users = users.named("user") { $0.user($1, in: access) }
        if roles.isPresent, !users.isPresent {
            roles.reportKey("'roles' needs 'users'", hint: "users: [{ name: \"*\", roles: [\(access.roleHint)] }]")
        }
        return access
    }

    private func role(_ name: String) -> AccessConfiguration.Role {
        var role = AccessConfiguration.Role(name: name, position: position)
        if let priority = field("priority").integer(-1_000_000...1_000_000) { role.priority = priority }
        role.allow = field("allow").grants()
        role.deny = field("deny").grants()
        return role
    }

    private func group(_ name: String, roles: [AccessConfiguration.Role]) -> AccessConfiguration.Group {
        let known = roles.map(\.name)
        return AccessConfiguration.Group(name: name, roles: references("roles", known), position: position)
    }

    private func user(_ name: String, in access: AccessConfiguration) -> AccessConfiguration.User {
        var user = AccessConfiguration.User(name: name, position: position)
        if let clients = field("clients").wordList(max: AccessBounds.filtersMax) { user.clients = clients }
        user.roles = references("roles", access.roles.map(\.name))
        user.groups = references("groups", access.groups.map(\.name))
        if user.roles.isEmpty, user.groups.isEmpty { report("a user without 'roles' and 'groups' may do nothing") }
        return user
    }

    /// Names that must be among the known ones.
    private func references(_ key: String, _ known: [String]) -> [String] {
        let list = field(key)
        guard let names = list.wordList(max: AccessBounds.filtersMax) else { return [] }
        for name in names where !known.contains(name) {
            let suggestion = Suggestion.closest(to: name, among: known).map { "did you mean '\($0)'?" }
            list.report("there is no '\(name)' in '\(key)'", hint: suggestion)
        }
        return names
    }

}

extension Field {
    /// A list of mappings that each have a name of their own.
    fileprivate func named<Value>(_ noun: String, _ build: (Fields, String) -> Value) -> [Value] {
        guard let elements = elements(max: AccessBounds.rulesMax, hint: "each \(noun) begins with '-'") else {
            return []
        }
        var names: Set<String> = []
        return elements.compactMap { element in
            element.mapping { fields in
                let nameField = fields.field("name")
                if !nameField.isPresent { nameField.reportMissing() }
                let name = nameField.words()
                // Users may stand more than once, for different clients.
                if let name, noun != "user", !names.insert(name).inserted {
                    nameField.report("a \(noun) named '\(name)' stands above already")
                }
                let value = build(fields, name ?? "")
                return name == nil ? nil : value
            }
        }
    }
}

extension AccessConfiguration {
    fileprivate var roleHint: String { roles.first?.name ?? "…" }
}

extension Fields {
    fileprivate func rule() -> AccessRule? {
        let users = field("users")
        let clients = field("clients")
        let userPatterns = users.wordList(max: AccessBounds.filtersMax)
        let clientPatterns = clients.wordList(max: AccessBounds.filtersMax)
        let publish = field("publish").topicFilters(max: AccessBounds.filtersMax)
        let subscribe = field("subscribe").topicFilters(max: AccessBounds.filtersMax)
        let receive = field("receive").topicFilters(max: AccessBounds.filtersMax)
        if !users.isPresent, !clients.isPresent {
            report("a rule needs 'users' or 'clients'", hint: "users: [\"*\"] means everybody")
        }
        if publish == nil, subscribe == nil, receive == nil {
            report("a rule that allows nothing", hint: "add 'publish', 'subscribe' or 'receive'")
        }
        return AccessRule(
            users: userPatterns ?? ["*"],
            clients: clientPatterns ?? ["*"],
            publish: publish ?? [],
            subscribe: subscribe ?? [],
            receive: receive ?? subscribe ?? [],
            position: position
        )
    }
}
