public import Broker

/// A client that is a part of this process, such as a bridge: it speaks plain MQTT over a socket pair and passes the
/// core's gates and limits like any other, except that nobody asks who it is.
public struct LocalAttachment: Sendable, Hashable {
    /// What logs and audit records call it; it stands where a listener's name would.
    public var name: String
    /// The user name it goes by, whatever its CONNECT says. Nil takes one that no client of the network can have, so
    /// that nobody outside can take over its session.
    public var username: String?
    /// Whether the authorizer is not asked about it. It may then also publish to topics that begin with `$`, such as
    /// `$SYS/broker/connection/NAME/state`.
    public var bypassesAccess: Bool
    /// What is asked of it and granted, as a listener would.
    public var policy: ListenerPolicy

    /// Makes one.
    public init(
        name: String,
        username: String? = nil,
        bypassesAccess: Bool = true,
        policy: ListenerPolicy = ListenerPolicy()
    ) {
        self.name = name
        self.username = username
        self.bypassesAccess = bypassesAccess
        self.policy = policy
    }

    /// The user name it goes by. No string of MQTT holds U+0000 [MQTT-1.5.4-2], and no certificate's name with one
    /// is taken.
    var identity: String { username ?? "\u{0}local/\(name)" }
}
