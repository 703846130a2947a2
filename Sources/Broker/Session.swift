import DequeModule
import MQTT

/// A client's session: what outlives its connection (MQTT 5.0 section 4.1).
///
/// Confined to the loop of its core.
final class Session {
    /// Names the session in the journal; never used again.
    let number: UInt32
    /// Index into the core's table and the subscriber of the subscription tree; used again after the session's end.
    let index: UInt32
    /// Who it belongs to. It changes only where client identifiers are shared.
    var identity: Identity
    /// Seconds that it lives on without a connection; 0 ends it with the connection, 0xFFFFFFFF never.
    var expirySeconds: UInt32

    /// The connection that it is on now.
    var connection: Connection?
    var subscriptions: [TopicFilter: Subscription] = [:]
    var inflight = InflightTable()
    var queue: Deque<Queued> = []
    var queuedBytes = 0
    var queuedResidentBytes = 0
    /// Inbound QoS 2 identifiers between PUBREC and PUBREL.
    var inboundQoS2: Set<UInt16> = []
    /// The journal record of each of them that is journalled.
    var lastInboundRecord: [UInt16: InboundRecord] = [:]
    /// QoS 2 messages that go to their receivers at PUBREL.
    var heldInbound: [UInt16: HeldInbound] = [:]
    /// The last journal record that holds one of its subscriptions.
    var lastSubscribedRecord: UInt64 = 0
    /// The last journal record that says that one of them is free again.
    var lastReleasedRecord: UInt64 = 0
    /// Whether the driver is reading messages for it.
    var isLoading = false
    /// The journal records that it is reading.
    var askedFor: Set<UInt64> = []
    /// The last record when its connection began: what was on its way to the disk for an earlier one waits for it.
    var dueRecord: UInt64 = 0
    /// Whether it stands in the list of sessions that wait for the next commit.
    var isAwaitingCommit = false
    /// When its client went; nil while it is connected.
    var detached: BrokerTime?
    /// Nanoseconds that its client had been away for when the process started.
    var awayBeforeNanoseconds: UInt64 = 0
    /// Its will as the journal holds it, if it outlives its connection.
    var storedWill: StoredWill?
    /// Whether a message was put into the queue that is older than one before it, as one handed over may be.
    var queueIsMixed = false
    /// Whether every question to the authorizer is known to be answered with yes.
    var isUnrestricted = false
    /// What its client may do, resolved under `rightsGeneration`.
    var rights: (any ClientRights)?
    /// The core's generation of the rules that `rights` and `isUnrestricted` are of; 0 for none.
    var rightsGeneration: UInt64 = 0
    /// The listener that its client came in by the last time; nil if that was before a restart.
    var listener: String?
    /// Filters that were taken from it: what is still queued because of them is not delivered. Empty once the queue is.
    var revokedFilters: [TopicFilter] = []
    /// Whether its client is a part of this process, about which the authorizer is not asked.
    var isTrusted = false

    init(number: UInt32, index: UInt32, identity: Identity, expirySeconds: UInt32) {
        self.number = number
        self.index = index
        self.identity = identity
        self.expirySeconds = expirySeconds
    }

    /// What a retained message of its client remembers.
    var source: MessageSource { MessageSource(identity: identity, listener: listener) }

    /// Whether it outlives its connection.
    var isPersistent: Bool { expirySeconds > 0 }

    /// The oldest journal record that it still needs.
    var oldestNeededRecord: UInt64 {
        var oldest = UInt64.max
        for queued in queue {
            // References grow along the queue, so the first one is the oldest, unless some were handed over.
            guard let reference = queued.reference, !reference.isCopy else { continue }
            oldest = min(oldest, reference.record)
            if !queueIsMixed { break }
        }
        for entry in inflight.ordered() {
            if let reference = entry.reference, !reference.isCopy { oldest = min(oldest, reference.record) }
        }
        return oldest
    }
}

/// Where the journal holds an inbound QoS 2 message, and on which connection its answer is held.
struct InboundRecord {
    let sequence: UInt64
    var connection: ConnectionID?
}

/// A QoS 2 message between PUBLISH and PUBREL, where it goes to its receivers at PUBREL.
struct HeldInbound {
    let message: Message
    /// Where the journal holds it; nil if the session ends with its connection.
    var record: InboundRecord?
    /// How often it was sent again.
    var repetitions = 0
}

/// A message that waits for its turn in a session: by reference, with the message itself only while memory allows.
struct Queued {
    var message: Message?
    let reference: MessageReference?
    let qos: QoS
    let retain: Bool
    let byteCount: UInt32
    let subscriptionIDs: [UInt32]
    /// The shared subscription that it came by.
    var share: SharedGroup?
}

/// A subscription as its session holds it and as the tree finds it.
struct Subscription: Sendable, Hashable {
    var options: SubscriptionOptions
    /// The subscription identifier, 0 for none.
    var identifier: UInt32
    /// The whole filter of a shared subscription, its group's name.
    var sharedFilter: TopicFilter?

    /// The subscription as a record holds it.
    func stored(_ filter: TopicFilter) -> StoredSubscription {
        StoredSubscription(filter: filter.string, options: options, identifier: identifier)
    }
}
