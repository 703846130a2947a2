internal import Broker

// Commands about clients: users of dynamic security.
extension DynamicSecurityState {
    private func client(_ username: String) throws(CommandFailure) -> Client {
        guard let client = clients[Array(username.utf8)] else { throw .clientNotFound }
        return client
    }

    /// Puts a client back.
    private mutating func set(_ client: Client) { clients[Array(client.username.utf8)] = client }

    private func hash(
        _ password: String,
        _ hashing: (String) throws -> PasswordHash
    ) throws(CommandFailure) -> PasswordHash {
        do { return try hashing(password) } catch { throw CommandFailure("Internal error") }
    }

    mutating func createClient(
        _ arguments: CommandArguments,
        hashing: (String) throws -> PasswordHash
    ) throws(CommandFailure) -> CommandOutcome {
        var client = Client(username: try arguments.username())
        let password = try arguments.optionalText("password", "Invalid/missing password")
        let clientID = try arguments.optionalText("clientid", "Invalid/missing client id")
        guard clientID?.isWireText ?? true else { throw CommandFailure("Client ID not valid UTF-8") }
        client.textName = try arguments.optionalText("textname", "Invalid/missing textname")
        client.textDescription = try arguments.optionalText("textdescription", "Invalid/missing textdescription")
        guard clients[Array(client.username.utf8)] == nil else { throw CommandFailure("Client already exists") }
        guard clients.count < Self.itemsMax else { throw CommandFailure("Internal error") }
        if clientID?.isEmpty == false { client.clientID = clientID }
        client.roles = try ranks(arguments, invalid: "'roles' not an array or missing/invalid rolename") ?? []
        let memberships = try memberships(arguments)
        if let password { client.password = try hash(password, hashing) }
        set(client)
        for membership in memberships { join(client.username, membership) }
        return CommandOutcome(isChange: true, subject: client.username)
    }

    /// `groups` of a command.
    private func memberships(_ arguments: CommandArguments) throws(CommandFailure) -> [Rank] {
        var memberships: [Rank] = []
        for item in arguments.value["groups"]?.array ?? [] {
            guard let name = item["groupname"]?.string else { continue }
            guard groups[Array(name.utf8)] != nil else { throw .groupNotFound }
            guard !memberships.contains(where: { $0.name.isSame(name) }) else { throw CommandFailure("Internal error") }
            memberships.append(Rank(name: name, priority: item["priority"]?.integer))
        }
        return memberships
    }

    private mutating func join(_ username: String, _ membership: Rank) {
        guard var group = groups[Array(membership.name.utf8)] else { return }
        group.add(username, priority: membership.priority)
        groups[Array(membership.name.utf8)] = group
    }

    private mutating func leaveAllGroups(_ username: String) {
        for (key, group) in groups where group.clients.contains(where: { $0.name.isSame(username) }) {
            groups[key]?.clients.removeAll { $0.name.isSame(username) }
        }
    }

    mutating func deleteClient(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        _ = try client(username)
        leaveAllGroups(username)
        clients[Array(username.utf8)] = nil
        return CommandOutcome(isChange: true, revoked: .user(username), subject: username)
    }

    mutating func setEnabled(_ isEnabled: Bool, _ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome
    {
        var client = try client(try arguments.username())
        client.isDisabled = !isEnabled
        set(client)
        let revoked: AccessChange = isEnabled ? AccessChange() : .user(client.username)
        return CommandOutcome(isChange: true, revoked: revoked, subject: client.username)
    }

    mutating func setClientPassword(
        _ arguments: CommandArguments,
        hashing: (String) throws -> PasswordHash
    ) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        let password = try arguments.text("password", "Invalid/missing password")
        guard !password.isEmpty else { throw CommandFailure("Empty password is not allowed") }
        var client = try client(username)
        client.password = try hash(password, hashing)
        set(client)
        return CommandOutcome(isChange: true, revoked: .user(username), subject: username)
    }

    mutating func setClientID(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        let clientID = try arguments.optionalText("clientid", "Invalid/missing client ID")
        guard clientID?.isWireText ?? true else { throw CommandFailure("Client ID not valid UTF-8") }
        var client = try client(username)
        client.clientID = clientID?.isEmpty == false ? clientID : nil
        set(client)
        return CommandOutcome(isChange: true, revoked: .user(username), subject: username)
    }

    mutating func modifyClient(
        _ arguments: CommandArguments,
        hashing: (String) throws -> PasswordHash
    ) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        var client = try client(username)
        var isRevoked = false
        if let clientID = arguments.value["clientid"]?.string {
            let fresh = clientID.isEmpty ? nil : clientID
            isRevoked = fresh != client.clientID
            client.clientID = fresh
        }
        let roles = try ranks(arguments, invalid: "'roles' not an array or missing/invalid rolename")
        // An empty one changes nothing.
        if let password = arguments.value["password"]?.string, !password.isEmpty {
            client.password = try hash(password, hashing)
            isRevoked = true
        }
        if let text = arguments.value["textname"]?.string { client.textName = text }
        if let text = arguments.value["textdescription"]?.string { client.textDescription = text }
        if let roles { client.roles = roles }
        set(client)
        if let list = arguments.value["groups"]?.array {
            leaveAllGroups(username)
            for item in list {
                guard let name = item["groupname"]?.string else { continue }
                join(username, Rank(name: name, priority: item["priority"]?.integer))
            }
        }
        return CommandOutcome(
            isChange: true,
            revoked: isRevoked ? .user(username) : AccessChange(),
            affected: .user(username),
            subject: username
        )
    }

    func getClient(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        .read(.object(["client": json(try client(try arguments.username()))]))
    }

    func listClients(_ arguments: CommandArguments) -> CommandOutcome {
        let isVerbose = isVerbose(arguments)
        return page("clients", clientsInOrder.map { isVerbose ? json($0) : .string($0.username) }, arguments)
    }

    private func json(_ client: Client) -> JSONValue {
        .object([
            "username": .string(client.username),
            "clientid": client.clientID.map { .string($0) },
            "textname": client.textName.map { .string($0) },
            "textdescription": client.textDescription.map { .string($0) },
            "disabled": client.isDisabled ? .bool(true) : nil,
            "roles": client.roles.json("rolename"),
            "groups": groups(of: client.username).json("groupname"),
        ])
    }

    mutating func addClientRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        let rolename = try arguments.rolename()
        var client = try client(username)
        guard roles[Array(rolename.utf8)] != nil else { throw .roleNotFound }
        guard !client.roles.contains(where: { $0.name.isSame(rolename) }) else {
            throw CommandFailure("Internal error")
        }
        client.roles = Self.ranked(client.roles + [Rank(name: rolename, priority: arguments.priority)])
        set(client)
        return CommandOutcome(isChange: true, affected: .user(username), subject: "\(username) \(rolename)")
    }

    mutating func removeClientRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        let rolename = try arguments.rolename()
        var client = try client(username)
        guard roles[Array(rolename.utf8)] != nil else { throw .roleNotFound }
        client.roles.removeAll { $0.name.isSame(rolename) }
        set(client)
        return CommandOutcome(isChange: true, affected: .user(username), subject: "\(username) \(rolename)")
    }
}

extension AccessChange {
    /// One user's.
    static func user(_ username: String) -> AccessChange { AccessChange(revokedUsernames: [username]) }
}

extension DynamicSecurityState.Group {
    /// Adds a client, in the order of their names.
    mutating func add(_ username: String, priority: Int?) {
        guard !clients.contains(where: { $0.name.isSame(username) }) else { return }
        clients.append(DynamicSecurityState.Rank(name: username, priority: priority))
        clients.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }
}
