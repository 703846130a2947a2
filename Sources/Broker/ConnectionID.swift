/// A transport connection as the driver numbers it: a slot that is used again, and a generation that is not.
public struct ConnectionID: Hashable, Sendable {
    /// Index into the driver's table of connections, small and dense.
    public let slot: UInt32
    /// Grows each time the slot is used again, so that what is late for an old connection never reaches a new one.
    public let generation: UInt32

    /// Makes an identifier.
    @inlinable
    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

/// What the driver knows of a connection before CONNECT.
public struct ConnectionInfo: Sendable, Hashable {
    /// The listener it came in by, for logs and metrics.
    public var listener: String
    /// The peer's address, for logs.
    public var remoteAddress: String
    /// The identity that a verified client certificate gives (its common name), where the listener asks for one.
    public var certificateIdentity: String?
    /// Whether the certificate's identity is the user name (`use_identity_as_username`).
    public var useIdentityAsUsername: Bool
    /// Whether a client without any credentials is let in (`allow_anonymous` of the listener).
    public var allowAnonymous: Bool
    /// What the listener asks of its clients and grants them.
    public var policy: ListenerPolicy
    /// Whether it is a part of this process, such as a bridge. The authorizer is not asked about such a client, and it
    /// may publish to topics that begin with `$`, except `$CONTROL`.
    public var isTrusted = false

    /// Makes it.
    public init(
        listener: String,
        remoteAddress: String,
        certificateIdentity: String? = nil,
        useIdentityAsUsername: Bool = false,
        allowAnonymous: Bool = false,
        policy: ListenerPolicy = ListenerPolicy()
    ) {
        self.listener = listener
        self.remoteAddress = remoteAddress
        self.certificateIdentity = certificateIdentity
        self.useIdentityAsUsername = useIdentityAsUsername
        self.allowAnonymous = allowAnonymous
        self.policy = policy
    }
}
