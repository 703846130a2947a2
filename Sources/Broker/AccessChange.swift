/// What became different about who may do what. The rules themselves are the authorizer's; this says whose connections
/// end.
public struct AccessChange: Sendable, Hashable {
    /// Users that are gone, disabled, or have another password or client identifier.
    public var revokedUsernames: Set<String>
    /// Whether clients without a user name have to go.
    public var revokesAnonymous: Bool

    /// Makes a change; without arguments, of rules alone.
    public init(revokedUsernames: Set<String> = [], revokesAnonymous: Bool = false) {
        self.revokedUsernames = revokedUsernames
        self.revokesAnonymous = revokesAnonymous
    }

    /// Whether the client's connection ends.
    func revokes(_ username: String?) -> Bool {
        username.map(revokedUsernames.contains) ?? revokesAnonymous
    }

    /// Both changes in one.
    public mutating func formUnion(_ other: AccessChange) {
        revokedUsernames.formUnion(other.revokedUsernames)
        revokesAnonymous = revokesAnonymous || other.revokesAnonymous
    }
}
