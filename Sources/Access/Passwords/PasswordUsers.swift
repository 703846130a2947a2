/// Where users with passwords stand. Immutable: a change is another one.
public protocol PasswordUsers: Sendable {
    /// What is known of a user. Called on the core's loop.
    func look(up username: String, clientID: String) -> PasswordLookup
    /// The password hashes of all users, to know what a check usually costs. Called once.
    var allHashes: [PasswordHash] { get }
}

/// What is known of a user.
public enum PasswordLookup: Sendable, Hashable {
    /// Nobody has this name here; another file may know it.
    case unknown
    /// The user may not enter, whatever the password is. It is checked all the same, so that nobody learns of it.
    case refused
    /// The user enters with this password.
    case password(PasswordHash)
}

/// Several places, asked in order.
public struct PasswordUsersList: PasswordUsers {
    private let places: [any PasswordUsers]

    /// Makes a list.
    public init(_ places: [any PasswordUsers]) { self.places = places }

    /// What the first place that knows the user says.
    public func look(up username: String, clientID: String) -> PasswordLookup {
        for place in places {
            let found = place.look(up: username, clientID: clientID)
            if found != .unknown { return found }
        }
        return .unknown
    }

    /// Those of all places.
    public var allHashes: [PasswordHash] { places.flatMap(\.allHashes) }
}
