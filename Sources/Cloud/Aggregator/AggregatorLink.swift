/// One connection to the broker the sites' bridges talk to. It is used once: a new connection is a new link.
public protocol AggregatorLink: AnyObject, Sendable {
    /// Begins to connect.
    ///
    /// - Parameters:
    ///   - event: hears what happens, on a thread of the link's, one event after the other; `down` is the last. It may
    ///     hold the link up for ``AggregatorConfiguration/queueWaitMilliseconds``: the back-pressure on the broker.
    ///   - settle: to be called on the same thread after one or more messages and before they are acknowledged to the
    ///     broker. It returns once they are stored. If it returns false they are not: the link ends without
    ///     acknowledging, so that the broker delivers them again.
    func open(
        event: @escaping @Sendable (AggregatorLinkEvent) -> Void,
        settle: @escaping @Sendable () -> Bool
    )

    /// Asks for topics with QoS 1. `subscribed` answers.
    func subscribe(_ filters: [String])

    /// Publishes with QoS 1, not retained.
    ///
    /// - Returns: whether the link took it. If not, the caller keeps it and tries later.
    func publish(topic: String, payload: [UInt8]) -> Bool

    /// Ends the connection. No event follows that the aggregator would look at.
    func close()
}

/// What happens on a link.
public enum AggregatorLinkEvent: Sendable {
    /// The broker accepted the connection.
    case connected
    /// The broker answered the subscription.
    case subscribed(granted: Bool)
    /// A message arrived.
    case message(LinkMessage)
    /// The connection is over, or there was none. The text says why and holds no credentials.
    case down(reason: String)
}

/// What an aggregator does and the limits it keeps.
public struct AggregatorConfiguration: Sendable, Hashable {
    /// The shards to subscribe to; all if empty.
    public var shards: [String] = []
    /// Messages of one transaction at most.
    public var batchMessagesMax = 500
    /// How long the first message of a transaction waits for others.
    public var batchMilliseconds = 50
    /// Messages waiting for the store at most.
    public var queueMessagesMax = 20_000
    /// Bytes waiting for the store at most.
    public var queueBytesMax = 67_108_864
    /// How long the link is held up for space in the queue or for a commit. After that messages are let go
    /// unacknowledged; they stay with the broker and their site.
    public var queueWaitMilliseconds = 5_000
    /// The shortest time between two commit notices to a site.
    public var noticeMilliseconds = 200
    /// Commit notices sent in one turn.
    public var noticesPerTurn = 64
    /// The first pause before connecting again.
    public var reconnectMillisecondsBase = 500
    /// The longest pause before connecting again.
    public var reconnectMillisecondsMax = 30_000
    /// The first pause before a failed store is tried again.
    public var storeRetryMillisecondsBase = 100
    /// The longest pause before a failed store is tried again.
    public var storeRetryMillisecondsMax = 30_000
    /// How many sites there may be.
    public var sitesMax = IngestState.sitesMax
    /// How many missing ranges one site may have.
    public var missingRangesMax = SiteCursor.missingRangesMax

    /// How long connecting and subscribing may take.
    public var linkSetupMillisecondsMax = 60_000
    /// How long stopping waits for the queue to be committed.
    public var stopMillisecondsMax = 5_000

    /// Makes a configuration with the defaults above.
    public init() {}

    /// The topic filters it subscribes to.
    var filters: [String] {
        shards.isEmpty ? ["\(UpstreamTopic.root)/+/+/#"] : shards.map { "\(UpstreamTopic.root)/\($0)/+/#" }
    }
}
