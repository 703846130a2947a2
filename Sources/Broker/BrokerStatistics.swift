/// What the core has counted since it started. Counters only grow; gauges say how it is now.
public struct BrokerStatistics: Sendable, Hashable {
    /// Why a message was not delivered or not taken.
    public enum DropReason: String, Sendable, Hashable, CaseIterable {
        case queueFull = "queue_full"
        case expired
        case oversize
        case notAuthorized = "acl"
        case slowConsumer = "slow_consumer"
        case journalUnavailable = "disk_full"
        case lost
    }

    /// Control packets of any type that clients sent.
    public var packetsReceived: UInt64 = 0
    /// CONNECT packets that clients sent.
    public var connectsReceived: UInt64 = 0
    /// PUBLISH packets taken from clients.
    public var messagesReceived: UInt64 = 0
    /// PUBLISH packets handed out to clients.
    public var messagesSent: UInt64 = 0
    /// Payload bytes taken from clients.
    public var payloadBytesReceived: UInt64 = 0
    /// Payload bytes handed out to clients.
    public var payloadBytesSent: UInt64 = 0
    /// Messages appended to the journal.
    public var messagesJournaled: UInt64 = 0
    /// CONNECT packets that were accepted.
    public var connectionsAccepted: UInt64 = 0
    /// CONNECT packets that were refused.
    public var connectionsRefused: UInt64 = 0
    /// Connections closed because the peer broke a rule of the protocol.
    public var protocolErrors: UInt64 = 0
    /// Connections closed because nothing came within one and a half keep alives.
    public var keepAliveTimeouts: UInt64 = 0
    /// Sessions taken over by a new connection.
    public var takeovers: UInt64 = 0
    /// Sessions that ended because nobody came back in time.
    public var sessionsExpired: UInt64 = 0
    /// Handler commits taken.
    public var handlerCommits: UInt64 = 0
    /// Messages that were dropped, by reason, in the order of ``DropReason/allCases``.
    public var dropped: [DropReason: UInt64] = [:]

    /// Clients that are connected.
    public var clientsConnected: Int = 0
    /// Sessions, connected or not.
    public var sessions: Int = 0
    /// Subscriptions of all sessions.
    public var subscriptions: Int = 0
    /// Retained messages.
    public var retainedMessages: Int = 0
    /// Bytes of their topics and payloads.
    public var retainedBytes: Int = 0
    /// Messages queued for sessions.
    public var queuedMessages: Int = 0
    /// Bytes of these, once for each session.
    public var queuedBytes: Int = 0
    /// Messages in flight to clients.
    public var inflightMessages: Int = 0

    /// All zero.
    public init() {}

    /// One PUBLISH was taken. In one step, because the runtime checks each access to the core's counters for
    /// exclusivity, and that costs far more than the counting.
    mutating func received(payloadBytes: Int) {
        packetsReceived &+= 1
        messagesReceived &+= 1
        payloadBytesReceived &+= UInt64(payloadBytes)
    }

    /// One PUBLISH was handed out.
    mutating func sent(payloadBytes: Int) {
        messagesSent &+= 1
        payloadBytesSent &+= UInt64(payloadBytes)
    }

    mutating func drop(_ reason: DropReason, count: UInt64 = 1) {
        dropped[reason, default: 0] &+= count
    }
}
