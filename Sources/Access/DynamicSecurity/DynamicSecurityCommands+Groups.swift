internal import Broker

// Commands about groups.
extension DynamicSecurityState {
    private func group(_ name: String) throws(CommandFailure) -> Group {
        guard let group = groups[Array(name.utf8)] else { throw .groupNotFound }
        return group
    }

    private mutating func set(_ group: Group) { groups[Array(group.name.utf8)] = group }

    mutating func createGroup(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        var group = Group(name: try arguments.groupname())
        group.textName = try arguments.optionalText("textname", "Invalid/missing textname")
        group.textDescription = try arguments.optionalText("textdescription", "Invalid/missing textdescription")
        guard groups[Array(group.name.utf8)] == nil else { throw CommandFailure("Group already exists") }
        guard groups.count < Self.itemsMax else { throw CommandFailure("Internal error") }
        group.roles = try ranks(arguments, invalid: "Internal error") ?? []
        set(group)
        return CommandOutcome(isChange: true, subject: group.name)
    }

    mutating func deleteGroup(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let group = try group(try arguments.groupname())
        let affected = members(of: group)
        groups[Array(group.name.utf8)] = nil
        if anonymousGroup?.isSame(group.name) == true { anonymousGroup = nil }
        return CommandOutcome(isChange: true, affected: affected, subject: group.name)
    }

    mutating func modifyGroup(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        var group = try group(try arguments.groupname())
        var affected = members(of: group)
        if let text = arguments.value["textname"]?.string { group.textName = text }
        if let text = arguments.value["textdescription"]?.string { group.textDescription = text }
        if let ranks = try ranks(arguments, invalid: "'roles' not an array or missing/invalid rolename") {
            group.roles = ranks
        }
        if let list = arguments.value["clients"]?.array {
            group.clients = []
            for item in list {
                guard let name = item["username"]?.string, clients[Array(name.utf8)] != nil else { continue }
                group.add(name, priority: item["priority"]?.integer)
            }
        }
        set(group)
        affected.formUnion(members(of: group))
        return CommandOutcome(isChange: true, affected: affected, subject: group.name)
    }

    func getGroup(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        .read(.object(["group": json(try group(try arguments.groupname()))]))
    }

    func listGroups(_ arguments: CommandArguments) -> CommandOutcome {
        let isVerbose = isVerbose(arguments)
        return page("groups", groupsInOrder.map { isVerbose ? json($0) : .string($0.name) }, arguments)
    }

    private func json(_ group: Group) -> JSONValue {
        .object([
            "groupname": .string(group.name),
            "textname": group.textName.map { .string($0) },
            "textdescription": group.textDescription.map { .string($0) },
            // Without ranks, as Mosquitto shows them.
            "clients": .array(group.clients.map { .object(["username": .string($0.name)]) }),
            "roles": group.roles.json("rolename"),
        ])
    }

    mutating func addGroupClient(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        let groupname = try arguments.groupname()
        guard clients[Array(username.utf8)] != nil else { throw .clientNotFound }
        var group = try group(groupname)
        guard !group.clients.contains(where: { $0.name.isSame(username) }) else {
            throw CommandFailure("Client is already in this group")
        }
        group.add(username, priority: arguments.priority)
        set(group)
        return CommandOutcome(isChange: true, affected: .user(username), subject: "\(username) \(groupname)")
    }

    mutating func removeGroupClient(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let username = try arguments.username()
        let groupname = try arguments.groupname()
        guard clients[Array(username.utf8)] != nil else { throw .clientNotFound }
        var group = try group(groupname)
        group.clients.removeAll { $0.name.isSame(username) }
        set(group)
        return CommandOutcome(isChange: true, affected: .user(username), subject: "\(username) \(groupname)")
    }

    mutating func addGroupRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let groupname = try arguments.groupname()
        let rolename = try arguments.rolename()
        var group = try group(groupname)
        guard roles[Array(rolename.utf8)] != nil else { throw .roleNotFound }
        guard !group.roles.contains(where: { $0.name.isSame(rolename) }) else {
            throw CommandFailure("Group is already in this role")
        }
        group.roles = Self.ranked(group.roles + [Rank(name: rolename, priority: arguments.priority)])
        set(group)
        return CommandOutcome(isChange: true, affected: members(of: group), subject: "\(groupname) \(rolename)")
    }

    mutating func removeGroupRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let groupname = try arguments.groupname()
        let rolename = try arguments.rolename()
        var group = try group(groupname)
        guard roles[Array(rolename.utf8)] != nil else { throw .roleNotFound }
        group.roles.removeAll { $0.name.isSame(rolename) }
        set(group)
        return CommandOutcome(isChange: true, affected: members(of: group), subject: "\(groupname) \(rolename)")
    }

    mutating func setAnonymousGroup(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let group = try group(try arguments.groupname())
        anonymousGroup = group.name
        return CommandOutcome(isChange: true, affected: AccessChange(revokesAnonymous: true), subject: group.name)
    }

    var anonymousGroupJSON: JSONValue {
        .object(["group": .object(["groupname": .string(anonymousGroup ?? "")])])
    }
}
