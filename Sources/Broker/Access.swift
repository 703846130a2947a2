public import MQTT
public import NIOCore

/// Who a client is, once authenticated. A session belongs to the pair of identity and client identifier.
public struct Identity: Hashable, Sendable {
    /// The user name, or nil for an anonymous client.
    public var username: String?
    /// The client identifier.
    public var clientID: String

    /// Makes an identity.
    public init(username: String?, clientID: String) {
        self.username = username
        self.clientID = clientID
    }

    /// MQTT compares bytes. Swift's strings compare characters, and two spellings of one character would let a client
    /// take another one's session.
    public static func == (left: Identity, right: Identity) -> Bool {
        left.clientID.utf8.elementsEqual(right.clientID.utf8) && bytes(left.username) == bytes(right.username)
    }

    /// By bytes, as it compares.
    public func hash(into hasher: inout Hasher) {
        for byte in clientID.utf8 { hasher.combine(byte) }
    }

    private static func bytes(_ text: String?) -> [UInt8]? { text.map { Array($0.utf8) } }
}

/// The question whether a client may enter, or one step of an exchange that decides it. The driver answers with
/// ``BrokerCore/authenticated(_:result:now:effects:)``, at once or, where a password hash costs time, from another
/// thread. Each question gets one answer, and the next is asked only after it.
public struct AuthenticationRequest: Sendable {
    /// What is known of the connection.
    public var info: ConnectionInfo
    /// The client identifier as the client sent it or as the broker assigned it.
    public var clientID: String
    /// The user name of CONNECT; of the session when it authenticates again.
    public var username: String?
    /// The password of CONNECT. Never log it.
    public var password: ByteBuffer?
    /// The authentication method that the client named (MQTT 5.0 section 4.12): one of those that
    /// ``BrokerConfiguration/authenticationMethods`` offers; nil where user name and password are all there is.
    public var method: String?
    /// The authentication data of this step. Never log it.
    public var data: ByteBuffer?
    /// What the mechanism gave with its last challenge; nil in the first step.
    public var state: AuthenticationState?
    /// Whether the client is connected already and authenticates again. Who it is must not change.
    public var isReauthentication: Bool

    /// Makes a request.
    public init(
        info: ConnectionInfo,
        clientID: String,
        username: String?,
        password: ByteBuffer?,
        method: String? = nil,
        data: ByteBuffer? = nil,
        state: AuthenticationState? = nil,
        isReauthentication: Bool = false
    ) {
        self.info = info
        self.clientID = clientID
        self.username = username
        self.password = password
        self.method = method
        self.data = data
        self.state = state
        self.isReauthentication = isReauthentication
    }
}

/// What a mechanism has to know in its next step. The core keeps it with the connection, so a client that goes in the
/// middle leaves nothing behind.
public struct AuthenticationState: Sendable, Hashable {
    private let value: any Sendable & Hashable

    /// Keeps a mechanism's own value.
    public init(_ value: some Sendable & Hashable) { self.value = value }

    /// The value, if it is of this type.
    public func value<Value>(as type: Value.Type) -> Value? { value as? Value }

    /// Whether both hold the same value.
    public static func == (left: AuthenticationState, right: AuthenticationState) -> Bool {
        (left.value as any Hashable).isEqual(to: right.value)
    }

    /// By its value.
    public func hash(into hasher: inout Hasher) { value.hash(into: &hasher) }
}

extension Hashable {
    fileprivate func isEqual(to other: Any) -> Bool { other as? Self == self }
}

/// The answer to an ``AuthenticationRequest``.
public enum AuthenticationResult: Sendable, Hashable {
    /// The client may enter, under this user name (nil: anonymous).
    case accepted(username: String?)
    /// The same until an instant of the wall clock, when the credential runs out: then the connection ends.
    case expiring(username: String?, wallMilliseconds: Int64)
    /// The same at the end of an exchange, with the mechanism's last word to the client, such as its proof that it
    /// knows the password too.
    case completed(username: String?, data: ByteBuffer?)
    /// The client must answer this first; its answer comes as another request with `state`.
    case challenge(data: ByteBuffer?, state: AuthenticationState)
    /// It may not. The reason goes into CONNACK or DISCONNECT: bad user name or password, not authorized, server busy,
    /// banned.
    case refused(ReasonCode)
}

/// Decides who may do what. Called by the core on every publish, subscribe and delivery, so it must be quick and pure:
/// no I/O, no locks held for long.
///
/// There is one gate: every delivery (live, retained, queued, will, bridged in, handler output) passes
/// ``mayReceive(_:topic:)`` at the moment of delivery.
public protocol Authorizer: Sendable {
    /// Whether the client may publish to the topic.
    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool
    /// Whether the client may subscribe to the filter.
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool
    /// Whether the client may be given a message of the topic.
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool
    /// True if every question is answered with yes for this client, so that the core may skip asking per message.
    func allowsEverything(_ identity: Identity) -> Bool
    /// All that a client may do, resolved at once. The core asks when a client connects and after a change of the
    /// rules.
    ///
    /// - Parameter listener: Where the client came in; nil if that is not known, as after a restart. Then whatever any
    ///   listener would allow is allowed, and asked again when the client is back.
    func rights(of identity: Identity, listener: String?) -> any ClientRights
}
