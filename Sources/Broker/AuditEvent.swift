/// Something that an auditor asks about: who came, who was turned away, what was denied, what was administered.
///
/// It names people and devices, so it goes to the audit log alone, never to the operator's log.
public struct AuditEvent: Sendable, Hashable {
    /// What happened. The raw value stands in the audit log and never changes its meaning.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// CONNECT was accepted.
        case clientConnected = "client.connected"
        /// CONNECT was refused.
        case clientRefused = "client.refused"
        /// A connected client is gone; the reason says how.
        case clientDisconnected = "client.disconnected"
        /// A user is locked out at an address, for failures to authenticate.
        case lockedOut = "client.locked_out"
        /// Such a lock is over.
        case lockoutLifted = "client.lockout_lifted"
        /// A publish, or a will, was denied.
        case publishDenied = "publish.denied"
        /// A subscription was denied.
        case subscribeDenied = "subscribe.denied"
        /// A connection broke a rule of the protocol, which ended it. Of a client that was let in, its disconnection
        /// follows with the same reason.
        case protocolViolated = "protocol.violated"
        /// Users, roles or rules were changed by an administrator.
        case administered = "access.administered"
        /// A client tried to administer and may not.
        case administrationDenied = "access.denied"
        /// The configuration was read again.
        case configurationReloaded = "configuration.reloaded"
        /// The configuration was read again and refused; the old one stays.
        case configurationRefused = "configuration.refused"
        /// A listener has another certificate; the subject is its file.
        case certificateReloaded = "certificate.reloaded"
        /// The files of a listener's TLS cannot be used; the old ones stay.
        case certificateRefused = "certificate.refused"
        /// The site node started.
        case started = "node.started"
        /// The site node was told to stop.
        case stopped = "node.stopped"
    }

    /// What happened.
    public var kind: Kind
    /// The client identifier, where one is known.
    public var clientID: String?
    /// The user name, where one is known.
    public var username: String?
    /// The peer's address.
    public var remoteAddress: String?
    /// The listener.
    public var listener: String?
    /// What it was about: a topic, a filter, a command, a file.
    public var subject: String?
    /// Why, as a reason code's name or a sentence. Never a secret, never a payload.
    public var reason: String?

    /// Makes an event.
    public init(
        _ kind: Kind,
        clientID: String? = nil,
        username: String? = nil,
        remoteAddress: String? = nil,
        listener: String? = nil,
        subject: String? = nil,
        reason: String? = nil
    ) {
        self.kind = kind
        self.clientID = clientID
        self.username = username
        self.remoteAddress = remoteAddress
        self.listener = listener
        self.subject = subject
        self.reason = reason
    }
}
