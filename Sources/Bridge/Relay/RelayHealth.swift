/// A relay in numbers. Taken at any time from any thread.
public struct RelayHealth: Sendable, Hashable {
    /// In one word.
    public var state = BridgeState.disabled
    /// Whether it has its session with the site's broker.
    public var isAttached = false
    /// Which of the addresses is in use or was tried last, from 0.
    public var addressIndex = 0
    /// Messages of QoS 1 and 2 sent to the other broker and not acknowledged.
    public var inflight = 0
    /// Messages taken from this side that wait for the other one's window. More of them wait in the session here.
    public var waiting = 0
    /// Messages of the other broker that wait for this one.
    public var inboundInflight = 0
    /// Messages sent since the start.
    public var sentTotal: UInt64 = 0
    /// Messages acknowledged by the other broker since the start.
    public var acknowledgedTotal: UInt64 = 0
    /// Messages sent again after a reconnect since the start.
    public var resentTotal: UInt64 = 0
    /// Messages taken from the other broker since the start.
    public var receivedTotal: UInt64 = 0
    /// When the other broker last acknowledged something, milliseconds since 1970-01-01 UTC; nil for never.
    public var lastAckMilliseconds: Int64?
    /// How often the connection ended, by reason.
    public var reconnects: [String: UInt64] = [:]
    /// Messages that were not passed on, by reason.
    public var dropped: [String: UInt64] = [:]
    /// Protocol of the TLS connection; nil without.
    public var tlsVersion: String?

    /// Makes the health of a relay that was never started.
    public init() {}
}

/// Why a message was not passed on. The raw values are labels of metrics.
enum RelayDrop: String, Sendable {
    /// No topic line matches: the other broker sent what it was not asked for.
    case unsolicited
    /// What is left behind the prefix is no topic name.
    case topic = "topic_name_invalid"
    /// The other side takes no packet of this size.
    case oversize
    /// Its time ran out while it waited.
    case expired
    /// QoS 0, or a clean session, and no connection.
    case notConnected = "not_connected"
    /// A reason code said no.
    case refused
}

/// Why a connection to the other broker ended.
struct RelayLoss: Error, Sendable, Hashable {
    /// The label of metrics.
    var label: String
    /// One sentence for the operator; no payloads, topics or credentials.
    var message: String
    /// Whether the other side refused who we are.
    var isRefusedIdentity = false

    init(_ label: String, _ message: String, isRefusedIdentity: Bool = false) {
        self.label = label
        self.message = message
        self.isRefusedIdentity = isRefusedIdentity
    }

    static let closed = RelayLoss("closed", "the other broker closed the connection")
    static let keepAlive = RelayLoss("keep_alive", "the other broker answered no PINGREQ")
    static let handshake = RelayLoss("handshake_timeout", "no CONNACK came in time")
    static let localGone = RelayLoss("local_session", "the session on this side ended")
    static let idle = RelayLoss("idle", "nothing was to be sent")
    static let primary = RelayLoss("primary", "the preferred address is back")
    static let pending = RelayLoss("overload", "the other broker sent more than could be taken in")

    static func protocolViolation(_ message: String) -> RelayLoss { RelayLoss("protocol", message) }
}
