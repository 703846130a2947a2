internal import Foundation
internal import MQTT

/// Clients, groups and roles of dynamic security, as `dynamic-security.json` holds them.
struct DynamicSecurityState: Sendable {
    /// A role or group of somebody, with its rank. Without one it ranks below all others.
    struct Rank: Sendable, Hashable {
        static let unset = -1
        static let range = -1_000_000...1_000_000

        let name: String
        let priority: Int

        init(name: String, priority: Int?) {
            self.name = name
            self.priority = min(max(priority ?? Self.unset, Self.range.lowerBound), Self.range.upperBound)
        }
    }

    struct Client: Sendable {
        var username: String
        var clientID: String?
        var textName: String?
        var textDescription: String?
        var isDisabled = false
        var roles: [Rank] = []
        var password: PasswordHash?
    }

    struct Group: Sendable {
        var name: String
        var textName: String?
        var textDescription: String?
        var roles: [Rank] = []
        /// By user name; the rank is that of the group for the client.
        var clients: [Rank] = []
    }

    struct Role: Sendable {
        var name: String
        var textName: String?
        var textDescription: String?
        /// Whether its holders may subscribe to filters with wildcards, other than those it allows literally.
        var allowsWildcardSubscriptions = true
        var entries: [ACLKind: [ACLEntry]] = [:]
    }

    /// What an entry is about.
    enum ACLKind: String, Sendable, CaseIterable {
        case publishClientSend
        case publishClientReceive
        case subscribeLiteral
        case subscribePattern
        case unsubscribeLiteral
        case unsubscribePattern

        init?(text: String) {
            guard let kind = Self.allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() }) else {
                return nil
            }
            self = kind
        }
    }

    struct ACLEntry: Sendable, Hashable {
        let topic: String
        let priority: Int
        let allows: Bool
    }

    /// What is allowed where no role says anything.
    struct DefaultAccess: Sendable, Hashable {
        var publishClientSend = false
        var publishClientReceive = false
        var subscribe = false
        var unsubscribe = false
    }

    /// Clients, groups and roles of each kind that there may be.
    static let itemsMax = 100_000

    /// By the bytes of their names.
    var clients: [[UInt8]: Client] = [:]
    var groups: [[UInt8]: Group] = [:]
    var roles: [[UInt8]: Role] = [:]
    var defaultAccess = DefaultAccess()
    var anonymousGroup: String?
    /// Changes that were made since the file was new.
    var changeIndex = 0

    /// In the order of their names' bytes, as Mosquitto lists them.
    var clientsInOrder: [Client] { Self.inOrder(clients) }
    var groupsInOrder: [Group] { Self.inOrder(groups) }
    var rolesInOrder: [Role] { Self.inOrder(roles) }

    private static func inOrder<Item>(_ items: [[UInt8]: Item]) -> [Item] {
        items.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map(\.value)
    }

    /// The groups of a client, the highest rank first.
    func groups(of username: String) -> [Rank] {
        let ranks = groups.values.compactMap { group in
            group.clients.first { $0.name.isSame(username) }.map { Rank(name: group.name, priority: $0.priority) }
        }
        return Self.ranked(ranks)
    }

    /// The highest rank first, among equals by name.
    static func ranked(_ ranks: [Rank]) -> [Rank] {
        ranks.sorted { left, right in
            left.priority == right.priority
                ? left.name.utf8.lexicographicallyPrecedes(right.name.utf8) : left.priority > right.priority
        }
    }
}

extension DynamicSecurityState.Role {
    /// Puts an entry in its place: by priority, among equals the first one stays first. False if the topic has one.
    mutating func add(_ entry: DynamicSecurityState.ACLEntry, _ kind: DynamicSecurityState.ACLKind) -> Bool {
        var list = entries[kind] ?? []
        guard !list.contains(where: { $0.topic.isSame(entry.topic) }) else { return false }
        let index = list.firstIndex { $0.priority < entry.priority } ?? list.endIndex
        list.insert(entry, at: index)
        entries[kind] = list
        return true
    }
}

extension String {
    /// Whether both have the same bytes; Swift's own comparison takes two spellings of one character for the same.
    func isSame(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
