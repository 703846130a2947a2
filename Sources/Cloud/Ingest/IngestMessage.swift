/// A bridged message on its way into the store.
public struct IngestMessage: Sendable, Hashable {
    /// The site it came from.
    public var site: String
    /// The site's epoch.
    public var epoch: UInt64
    /// Its number in the site's stream.
    public var sequence: UInt64
    /// The topic below the site's prefix.
    public var topic: String
    /// The class the bridge gave it.
    public var messageClass: String
    /// The payload, without any envelope.
    public var payload: [UInt8]
    /// When the site received it, milliseconds since 1970-01-01 UTC; 0 if the site did not say.
    public var eventMilliseconds: Int64
    /// When the aggregator received it, milliseconds since 1970-01-01 UTC.
    public var receivedMilliseconds: Int64
    /// What the site says with it that it dropped: the message is a gap record.
    public var drop: PolicyDrop?

    /// Whether it is no message, but begins an epoch: see ``BridgeStamp/claimClass``.
    var isClaim: Bool { sequence == 0 }

    /// Makes a message.
    public init(
        site: String,
        epoch: UInt64,
        sequence: UInt64,
        topic: String,
        messageClass: String,
        payload: [UInt8],
        eventMilliseconds: Int64,
        receivedMilliseconds: Int64,
        drop: PolicyDrop? = nil
    ) {
        self.site = site
        self.epoch = epoch
        self.sequence = sequence
        self.topic = topic
        self.messageClass = messageClass
        self.payload = payload
        self.eventMilliseconds = eventMilliseconds
        self.receivedMilliseconds = receivedMilliseconds
        self.drop = drop
    }
}

/// What a site says it has dropped by policy: numbers that will never come, or messages that never had one.
public struct PolicyDrop: Sendable, Hashable {
    /// The numbers; nil if the messages were dropped before they had any.
    public var range: ClosedRange<UInt64>?
    /// How many messages had no number; 0 with a range.
    public var unnumbered: UInt64
    /// Why, in a word such as `queue_full` or `redaction`.
    public var reason: String

    /// Makes a statement.
    public init(range: ClosedRange<UInt64>?, unnumbered: UInt64 = 0, reason: String) {
        self.range = range
        self.unnumbered = unnumbered
        self.reason = reason
    }
}
