/// One line for the operator: a constant sentence and what varies. Never payloads, topics of messages or credentials.
public struct BridgeReport: Sendable, Hashable {
    /// How much it matters.
    public enum Level: Sendable, Hashable { case debug, info, warning, error }
    /// How much it matters.
    public var level: Level
    /// A constant sentence.
    public var message: String
    /// What varies.
    public var metadata: [String: String]

    /// Makes a line.
    public init(_ level: Level, _ message: String, _ metadata: [String: String] = [:]) {
        self.level = level
        self.message = message
        self.metadata = metadata
    }
}

/// What a bridge is doing, in one word.
public enum BridgeState: String, Sendable, Hashable, CaseIterable {
    /// It was never started.
    case disabled
    /// It waits for the next attempt to connect.
    case waiting
    /// It resolves, connects and shakes hands.
    case connecting
    /// It has a connection and waits for the way down.
    case subscribing
    /// It sends what waited in the outage.
    case draining
    /// It sends what comes.
    case live
    /// It was connected but nothing moved; it connects again.
    case stalled
    /// The server refuses who we are.
    case authFailed = "auth_failed"
    /// The operator stopped it.
    case paused
}

/// A bridge in numbers. Taken at any time from any thread.
public struct BridgeHealth: Sendable, Hashable {
    /// In one word.
    public var state = BridgeState.disabled
    /// The epoch of the sequences.
    public var epoch: UInt64 = 0
    /// Messages that wait for confirmation.
    public var queueMessages: UInt64 = 0
    /// Their bytes, about.
    public var queueBytes = 0
    /// How long the oldest of them waits, in milliseconds; 0 if none does.
    public var oldestAgeMilliseconds: Int64 = 0
    /// Messages sent and not acknowledged.
    public var inflight = 0
    /// Everything up to this sequence is confirmed.
    public var confirmedSequence: UInt64 = 0
    /// The last sequence in the outbox.
    public var lastSequence: UInt64 = 0
    /// Messages acknowledged since the start.
    public var acknowledgedTotal: UInt64 = 0
    /// Messages sent again since the start.
    public var resentTotal: UInt64 = 0
    /// Messages taken into the outbox since the start.
    public var queuedTotal: UInt64 = 0
    /// Everything up to this record of the main journal was looked at, whether or not anything of it leaves.
    public var sourceRecord: UInt64 = 0
    /// When the last acknowledgement came, milliseconds since 1970-01-01 UTC; nil for never.
    public var lastAckMilliseconds: Int64?
    /// How often the connection ended, by reason.
    public var reconnects: [String: UInt64] = [:]
    /// Messages that did not and will not leave, by reason.
    public var dropped: [String: UInt64] = [:]
    /// Whether the current TLS session was resumed; nil without a connection or without TLS.
    public var isTLSResumed: Bool?
    /// The protocol of the current TLS session.
    public var tlsVersion: String?
    /// Why the outbox takes nothing any more, or nil.
    public var failure: String?

    /// Makes the health of a bridge that was never started.
    public init() {}
}
