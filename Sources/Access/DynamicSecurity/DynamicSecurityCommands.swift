internal import Broker
internal import MQTT

/// Why a command is not performed: the text that Mosquitto answers with, which tools may compare.
struct CommandFailure: Error, Equatable {
    let text: String
    /// What is different all the same, as in Mosquitto: a command may fail half way.
    var change = AccessChange()

    init(_ text: String) { self.text = text }

    static let clientNotFound = CommandFailure("Client not found")
    static let groupNotFound = CommandFailure("Group not found")
    static let roleNotFound = CommandFailure("Role not found")
}

/// What a command did.
struct CommandOutcome {
    /// The `data` of the answer.
    var data: JSONValue?
    /// Whether the state is another one.
    var isChange = false
    /// Users whose credential is not what it was.
    var revoked = AccessChange()
    /// Users whose rights may be others.
    var affected = AccessChange()
    /// What it was about, for the audit log.
    var subject = ""

    static func read(_ data: JSONValue) -> CommandOutcome { CommandOutcome(data: data) }
}

/// One command with its arguments.
struct CommandArguments {
    let value: JSONValue

    /// Text that must be there.
    func text(_ name: String, _ failure: String) throws(CommandFailure) -> String {
        guard let text = value[name]?.string else { throw CommandFailure(failure) }
        return text
    }

    /// Text that may be missing, but nothing else.
    func optionalText(_ name: String, _ failure: String) throws(CommandFailure) -> String? {
        guard let found = value[name] else { return nil }
        guard let text = found.string else { throw CommandFailure(failure) }
        return text
    }

    /// A name that must be there, not empty, and such as the wire may carry.
    func username() throws(CommandFailure) -> String {
        try name("username", "Invalid/missing username", "Empty username", "Username not valid UTF-8")
    }

    func groupname() throws(CommandFailure) -> String {
        try name("groupname", "Invalid/missing groupname", "Empty groupname", "Group name not valid UTF-8")
    }

    func rolename() throws(CommandFailure) -> String {
        try name("rolename", "Invalid/missing rolename", "Empty rolename", "Role name not valid UTF-8")
    }

    private func name(
        _ key: String,
        _ missing: String,
        _ empty: String,
        _ invalid: String
    ) throws(CommandFailure) -> String {
        let name = try text(key, missing)
        guard !name.isEmpty else { throw CommandFailure(empty) }
        guard name.isWireText else { throw CommandFailure(invalid) }
        return name
    }

    var priority: Int? { value["priority"]?.integer }
}

extension String {
    /// Whether MQTT takes it as a string: no U+0000 and no control characters, as in Mosquitto's check.
    var isWireText: Bool {
        utf8.count <= 65_535
            && !unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || $0.isNoncharacter }
    }
}

extension Unicode.Scalar {
    fileprivate var isNoncharacter: Bool { (0xFDD0...0xFDEF).contains(value) || value & 0xFFFE == 0xFFFE }
}

extension DynamicSecurityState {
    /// Performs one command.
    mutating func perform(
        _ command: String,
        _ arguments: CommandArguments,
        hashing: (String) throws -> PasswordHash
    ) throws(CommandFailure) -> CommandOutcome {
        switch command.lowercased() {
        case "setdefaultaclaccess": try setDefaultAccess(arguments)
        case "getdefaultaclaccess": .read(defaultAccessJSON)
        case "getdetails": .read(detailsJSON)
        case "createclient": try createClient(arguments, hashing: hashing)
        case "deleteclient": try deleteClient(arguments)
        case "enableclient": try setEnabled(true, arguments)
        case "disableclient": try setEnabled(false, arguments)
        case "setclientpassword": try setClientPassword(arguments, hashing: hashing)
        case "setclientid": try setClientID(arguments)
        case "modifyclient": try modifyClient(arguments, hashing: hashing)
        case "getclient": try getClient(arguments)
        case "listclients": listClients(arguments)
        case "addclientrole": try addClientRole(arguments)
        case "removeclientrole": try removeClientRole(arguments)
        case "creategroup": try createGroup(arguments)
        case "deletegroup": try deleteGroup(arguments)
        case "modifygroup": try modifyGroup(arguments)
        case "getgroup": try getGroup(arguments)
        case "listgroups": listGroups(arguments)
        case "addgroupclient": try addGroupClient(arguments)
        case "removegroupclient": try removeGroupClient(arguments)
        case "addgrouprole": try addGroupRole(arguments)
        case "removegrouprole": try removeGroupRole(arguments)
        case "setanonymousgroup": try setAnonymousGroup(arguments)
        case "getanonymousgroup": .read(anonymousGroupJSON)
        case "createrole": try createRole(arguments)
        case "deleterole": try deleteRole(arguments)
        case "modifyrole": try modifyRole(arguments)
        case "getrole": try getRole(arguments)
        case "listroles": listRoles(arguments)
        case "addroleacl": try addRoleACL(arguments)
        case "removeroleacl": try removeRoleACL(arguments)
        default: throw CommandFailure("Unknown command")
        }
    }

    // MARK: - What several commands share

    /// `roles` of a command: nil if there is no list.
    func ranks(_ arguments: CommandArguments, invalid: String) throws(CommandFailure) -> [Rank]? {
        guard let found = arguments.value["roles"] else { return nil }
        guard let list = found.array else { throw CommandFailure(invalid) }
        var ranks: [Rank] = []
        for item in list {
            guard let name = item["rolename"]?.string else { throw CommandFailure(invalid) }
            guard roles[Array(name.utf8)] != nil else { throw .roleNotFound }
            guard !ranks.contains(where: { $0.name.isSame(name) }) else { continue }
            ranks.append(Rank(name: name, priority: item["priority"]?.integer))
        }
        return Self.ranked(ranks)
    }

    /// A part of a list, as `count` and `offset` ask for it.
    func page(_ key: String, _ items: [JSONValue], _ arguments: CommandArguments) -> CommandOutcome {
        let offset = max(0, arguments.value["offset"]?.integer ?? 0)
        var page = Array(items.dropFirst(min(offset, items.count)))
        // 0 gives one, as Mosquitto's loop does.
        if let count = arguments.value["count"]?.integer, count >= 0 { page = Array(page.prefix(max(1, count))) }
        return .read(.object(["totalCount": .integer(items.count), key: .array(page)]))
    }

    func isVerbose(_ arguments: CommandArguments) -> Bool { arguments.value["verbose"]?.bool ?? false }

    /// All clients whose rights a group gives.
    func members(of group: Group) -> AccessChange {
        AccessChange(
            revokedUsernames: Set(group.clients.map(\.name)),
            revokesAnonymous: anonymousGroup?.isSame(group.name) ?? false
        )
    }

    /// All clients whose rights a role gives.
    func holders(of role: String) -> AccessChange {
        var change = AccessChange()
        for client in clients.values where client.roles.contains(where: { $0.name.isSame(role) }) {
            change.revokedUsernames.insert(client.username)
        }
        for group in groups.values where group.roles.contains(where: { $0.name.isSame(role) }) {
            change.formUnion(members(of: group))
        }
        return change
    }

    // MARK: - Default access

    private mutating func setDefaultAccess(_ arguments: CommandArguments) throws(CommandFailure) -> CommandOutcome {
        guard let list = arguments.value["acls"]?.array else { throw CommandFailure("Missing/invalid actions array") }
        for item in list {
            // mosquitto_ctrl 2.0 says `access`, which the plugin of its own time does not know.
            let word = item["access"]?.string?.lowercased()
            let access = word == "allow" ? true : word == "deny" ? false : nil
            guard let kind = item["acltype"]?.string, let allows = item["allow"]?.bool ?? access else { continue }
            switch kind.lowercased() {
            case "publishclientsend": defaultAccess.publishClientSend = allows
            case "publishclientreceive": defaultAccess.publishClientReceive = allows
            case "subscribe": defaultAccess.subscribe = allows
            case "unsubscribe": defaultAccess.unsubscribe = allows
            default: break
            }
        }
        return CommandOutcome(isChange: true)
    }

    /// How many of each there are, and how many changes were made: for tools that keep a copy.
    private var detailsJSON: JSONValue {
        .object([
            "clientCount": .integer(clients.count),
            "groupCount": .integer(groups.count),
            "roleCount": .integer(roles.count),
            "changeIndex": .integer(changeIndex),
        ])
    }

    private var defaultAccessJSON: JSONValue {
        let values = [
            ("publishClientSend", defaultAccess.publishClientSend),
            ("publishClientReceive", defaultAccess.publishClientReceive),
            ("subscribe", defaultAccess.subscribe),
            ("unsubscribe", defaultAccess.unsubscribe),
        ]
        return .object(["acls": .array(values.map { .object(["acltype": .string($0), "allow": .bool($1)]) })])
    }
}
