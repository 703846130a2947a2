/// The bounds of letting clients in.
public struct AuthenticationLimits: Sendable, Hashable {
    /// Checks of passwords or tokens that may wait at once. Beyond, clients are told that the server is busy, and come
    /// again.
    public var pendingMax = 512
    /// Failures of one user from one address after which it is locked out there.
    public var failuresMax = 10
    /// Seconds within which they count, from the first one.
    public var failureSeconds = 900
    /// Seconds that the lock lasts.
    public var lockSeconds = 300
    /// Pairs of user and address that are remembered; beyond, the oldest half is forgotten.
    public var lockoutEntriesMax = 65_536

    /// The defaults.
    public init() {}
}
