internal import Foundation

// The state file, `dynamic-security.json`: what Mosquitto's plugin 2.0 writes, read with what 2.1 adds.
extension DynamicSecurityState {
    /// Reads the text of a file. Unlike Mosquitto it skips nothing: what is not understood may be what somebody relies
    /// on.
    init(json bytes: [UInt8], path: String) throws {
        func problem(_ what: String) -> AccessError { AccessError(.dynamicSecurity, "\(path): \(what)") }
        guard let tree = JSONValue(parsing: bytes), tree.isObject else { throw problem("this is not a JSON object") }
        if let access = tree["defaultACLAccess"] {
            func allows(_ name: String) throws -> Bool {
                guard let value = access[name] else { return false }
                guard let bool = value.bool else { throw problem("defaultACLAccess.\(name) is not true or false") }
                return bool
            }
            defaultAccess.publishClientSend = try allows("publishClientSend")
            defaultAccess.publishClientReceive = try allows("publishClientReceive")
            defaultAccess.subscribe = try allows("subscribe")
            defaultAccess.unsubscribe = try allows("unsubscribe")
        }
        for item in try Self.items(tree, "roles", problem) {
            let role = try Self.role(item, problem)
            guard roles.updateValue(role, forKey: Array(role.name.utf8)) == nil else {
                throw problem("the role \(role.name) stands twice")
            }
        }
        for item in try Self.items(tree, "clients", problem) {
            let client = try self.client(item, problem)
            guard clients.updateValue(client, forKey: Array(client.username.utf8)) == nil else {
                throw problem("a client stands twice")
            }
        }
        for item in try Self.items(tree, "groups", problem) {
            let group = try self.group(item, problem)
            guard groups.updateValue(group, forKey: Array(group.name.utf8)) == nil else {
                throw problem("the group \(group.name) stands twice")
            }
        }
        if let name = tree["anonymousGroup"]?.string {
            guard groups[Array(name.utf8)] != nil else { throw problem("anonymousGroup names no group") }
            anonymousGroup = name
        }
        changeIndex = max(0, tree["changeIndex"]?.integer ?? 0)
    }

    private static func items(
        _ tree: JSONValue,
        _ name: String,
        _ problem: (String) -> AccessError
    ) throws -> [JSONValue] {
        guard let value = tree[name] else { return [] }
        guard let items = value.array, items.count <= itemsMax else {
            throw problem("`\(name)` is not a list of at most \(itemsMax)")
        }
        return items
    }

    private static func name(
        _ item: JSONValue,
        _ key: String,
        _ problem: (String) -> AccessError
    ) throws -> String {
        guard let name = item[key]?.string, !name.isEmpty else { throw problem("an item has no `\(key)`") }
        return name
    }

    private static func role(_ item: JSONValue, _ problem: (String) -> AccessError) throws -> Role {
        var role = Role(name: try name(item, "rolename", problem))
        role.textName = item["textname"]?.string
        role.textDescription = item["textdescription"]?.string
        role.allowsWildcardSubscriptions = item["allowwildcardsubs"]?.bool ?? true
        for entry in item["acls"]?.array ?? [] {
            guard let kind = (entry["acltype"]?.string).flatMap({ ACLKind(text: $0) }),
                let topic = entry["topic"]?.string, !topic.isEmpty
            else { throw problem("the role \(role.name) has an ACL without a known acltype and a topic") }
            let parsed = ACLEntry(
                topic: topic,
                priority: Rank(name: "", priority: entry["priority"]?.integer ?? 0).priority,
                allows: entry["allow"]?.bool ?? false
            )
            _ = role.add(parsed, kind)
        }
        return role
    }

    private func client(_ item: JSONValue, _ problem: (String) -> AccessError) throws -> Client {
        var client = Client(username: try Self.name(item, "username", problem))
        client.clientID = item["clientid"]?.string
        client.textName = item["textname"]?.string
        client.textDescription = item["textdescription"]?.string
        client.isDisabled = item["disabled"]?.bool ?? false
        client.roles = try ranks(item, problem)
        let text: String?
        if let encoded = item["encoded_password"]?.string {
            text = encoded
        } else if let salt = item["salt"]?.string, let hash = item["password"]?.string {
            text = "$7$\(item["iterations"]?.integer ?? 0)$\(salt)$\(hash)"
        } else {
            text = nil
        }
        if let text {
            guard let hash = PasswordHash(parsing: text) else {
                throw problem("the password of a client is not of the kind PBKDF2-SHA512 with salt and iterations")
            }
            client.password = hash
        }
        return client
    }

    private func group(_ item: JSONValue, _ problem: (String) -> AccessError) throws -> Group {
        var group = Group(name: try Self.name(item, "groupname", problem))
        group.textName = item["textname"]?.string
        group.textDescription = item["textdescription"]?.string
        group.roles = try ranks(item, problem)
        for member in item["clients"]?.array ?? [] {
            let name = try Self.name(member, "username", problem)
            guard clients[Array(name.utf8)] != nil else { throw problem("a group has a client that there is not") }
            guard !group.clients.contains(where: { $0.name.isSame(name) }) else { continue }
            group.clients.append(Rank(name: name, priority: member["priority"]?.integer))
        }
        group.clients.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        return group
    }

    private func ranks(_ item: JSONValue, _ problem: (String) -> AccessError) throws -> [Rank] {
        var ranks: [Rank] = []
        for role in item["roles"]?.array ?? [] {
            let name = try Self.name(role, "rolename", problem)
            guard roles[Array(name.utf8)] != nil else { throw problem("there is no role \(name)") }
            guard !ranks.contains(where: { $0.name.isSame(name) }) else { continue }
            ranks.append(Rank(name: name, priority: role["priority"]?.integer))
        }
        return Self.ranked(ranks)
    }

    // MARK: - Writing

    /// The text of the file.
    var json: String {
        JSONValue.object([
            "defaultACLAccess": .object([
                "publishClientSend": .bool(defaultAccess.publishClientSend),
                "publishClientReceive": .bool(defaultAccess.publishClientReceive),
                "subscribe": .bool(defaultAccess.subscribe),
                "unsubscribe": .bool(defaultAccess.unsubscribe),
            ]),
            "clients": .array(clientsInOrder.map(stored)),
            "groups": .array(groupsInOrder.map(stored)),
            "anonymousGroup": anonymousGroup.map { .string($0) },
            "roles": .array(rolesInOrder.map { $0.json }),
            "changeIndex": .integer(changeIndex),
        ]).text(pretty: true)
    }

    private func stored(_ client: Client) -> JSONValue {
        var password: (hash: JSONValue, salt: JSONValue, iterations: JSONValue)?
        var encoded: JSONValue?
        if let stored = client.password {
            if case .pbkdf2(let iterations) = stored.form {
                password = (
                    .string(Data(stored.hash).base64EncodedString()), .string(Data(stored.salt).base64EncodedString()),
                    .integer(iterations)
                )
            } else {
                encoded = .string(stored.text)
            }
        }
        return .object([
            "username": .string(client.username),
            "clientid": client.clientID.map { .string($0) },
            "textname": client.textName.map { .string($0) },
            "textdescription": client.textDescription.map { .string($0) },
            "disabled": client.isDisabled ? .bool(true) : nil,
            "roles": client.roles.json("rolename"),
            "password": password?.hash,
            "salt": password?.salt,
            "iterations": password?.iterations,
            "encoded_password": encoded,
        ])
    }

    private func stored(_ group: Group) -> JSONValue {
        .object([
            "groupname": .string(group.name),
            "textname": group.textName.map { .string($0) },
            "textdescription": group.textDescription.map { .string($0) },
            "roles": group.roles.json("rolename"),
            "clients": group.clients.json("username"),
        ])
    }
}

extension DynamicSecurityState.Role {
    /// The role as files and answers show it.
    var json: JSONValue {
        let acls = DynamicSecurityState.ACLKind.allCases.flatMap { kind in
            (entries[kind] ?? []).map { entry -> JSONValue in
                .object([
                    "acltype": .string(kind.rawValue),
                    "topic": .string(entry.topic),
                    "priority": .integer(entry.priority),
                    "allow": .bool(entry.allows),
                ])
            }
        }
        return .object([
            "rolename": .string(name),
            "textname": textName.map { .string($0) },
            "textdescription": textDescription.map { .string($0) },
            "allowwildcardsubs": .bool(allowsWildcardSubscriptions),
            "acls": .array(acls),
        ])
    }
}

extension [DynamicSecurityState.Rank] {
    /// Names with their ranks, where they have one.
    func json(_ key: String) -> JSONValue {
        .array(
            map { rank -> JSONValue in
                .object([
                    key: .string(rank.name),
                    "priority": rank.priority == DynamicSecurityState.Rank.unset ? nil : .integer(rank.priority),
                ])
            }
        )
    }
}
