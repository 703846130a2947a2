internal import Broker
internal import MQTT

// Commands about roles and their ACLs.
extension DynamicSecurityState {
    private func role(_ name: String) throws(CommandFailure) -> Role {
        guard let role = roles[Array(name.utf8)] else { throw .roleNotFound }
        return role
    }

    private mutating func set(_ role: Role) { roles[Array(role.name.utf8)] = role }

    /// `acls` of a command: what is not understood is left out, as in Mosquitto. Nil if there is no list.
    private func entries(_ arguments: CommandArguments) -> [ACLKind: [ACLEntry]]? {
        guard let list = arguments.value["acls"]?.array else { return nil }
        var role = Role(name: "")
        for item in list {
            guard let kind = (item["acltype"]?.string).flatMap({ ACLKind(text: $0) }),
                let topic = item["topic"]?.string, Self.isFilter(topic)
            else { continue }
            let priority = Rank(name: "", priority: item["priority"]?.integer ?? 0).priority
            _ = role.add(ACLEntry(topic: topic, priority: priority, allows: item["allow"]?.bool ?? false), kind)
        }
        return role.entries
    }

    private static func isFilter(_ text: String) -> Bool {
        (try? TopicFilter(text, maxLevels: TopicLimits.levelsMax)) != nil
    }

    mutating func createRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        var role = Role(name: try arguments.rolename())
        role.textName = try arguments.optionalText("textname", "Invalid/missing textname")
        role.textDescription = try arguments.optionalText("textdescription", "Invalid/missing textdescription")
        if let allows = arguments.value["allowwildcardsubs"] {
            guard let bool = allows.bool else { throw CommandFailure("Invalid allowwildcardsubs") }
            role.allowsWildcardSubscriptions = bool
        }
        guard roles[Array(role.name.utf8)] == nil else { throw CommandFailure("Role already exists") }
        guard roles.count < Self.itemsMax else { throw CommandFailure("Internal error") }
        role.entries = entries(arguments) ?? [:]
        set(role)
        return CommandOutcome(isChange: true, subject: role.name)
    }

    mutating func deleteRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let role = try role(try arguments.rolename())
        let affected = holders(of: role.name)
        for key in clients.keys { clients[key]?.roles.removeAll { $0.name.isSame(role.name) } }
        for key in groups.keys { groups[key]?.roles.removeAll { $0.name.isSame(role.name) } }
        roles[Array(role.name.utf8)] = nil
        return CommandOutcome(isChange: true, affected: affected, subject: role.name)
    }

    mutating func modifyRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        let name = try arguments.rolename()
        guard var role = roles[Array(name.utf8)] else { throw CommandFailure("Role does not exist") }
        if let text = arguments.value["textname"]?.string { role.textName = text }
        if let text = arguments.value["textdescription"]?.string { role.textDescription = text }
        if let allows = arguments.value["allowwildcardsubs"]?.bool { role.allowsWildcardSubscriptions = allows }
        if let entries = entries(arguments) { role.entries = entries }
        set(role)
        return CommandOutcome(isChange: true, affected: holders(of: name), subject: name)
    }

    func getRole(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        .read(.object(["role": try role(try arguments.rolename()).json]))
    }

    func listRoles(_ arguments: CommandArguments) -> CommandOutcome {
        let isVerbose = isVerbose(arguments)
        return page("roles", rolesInOrder.map { isVerbose ? $0.json : .string($0.name) }, arguments)
    }

    private func kind(_ arguments: CommandArguments) throws(CommandFailure) -> ACLKind {
        let text = try arguments.text("acltype", "Invalid/missing acltype")
        guard let kind = ACLKind(text: text) else { throw CommandFailure("Unknown acltype") }
        return kind
    }

    private func topic(_ arguments: CommandArguments) throws(CommandFailure) -> String {
        let topic = try arguments.text("topic", "Invalid/missing topic")
        guard topic.isWireText else { throw CommandFailure("Topic not valid UTF-8") }
        guard Self.isFilter(topic) else { throw CommandFailure("Invalid ACL topic") }
        return topic
    }

    mutating func addRoleACL(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        var role = try role(try arguments.rolename())
        let kind = try kind(arguments)
        let entry = ACLEntry(
            topic: try topic(arguments),
            priority: Rank(name: "", priority: arguments.priority ?? 0).priority,
            allows: arguments.value["allow"]?.bool ?? false
        )
        guard role.add(entry, kind) else { throw CommandFailure("ACL with this topic already exists") }
        set(role)
        return CommandOutcome(isChange: true, affected: holders(of: role.name), subject: "\(role.name) \(entry.topic)")
    }

    mutating func removeRoleACL(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        var role = try role(try arguments.rolename())
        let kind = try kind(arguments)
        let topic = try topic(arguments)
        guard let index = role.entries[kind]?.firstIndex(where: { $0.topic.isSame(topic) }) else {
            throw CommandFailure("ACL not found")
        }
        role.entries[kind]?.remove(at: index)
        set(role)
        return CommandOutcome(isChange: true, affected: holders(of: role.name), subject: "\(role.name) \(topic)")
    }
}
