import MQTT
import NIOCore

/// One fact within a journal record. A record is a transaction: all its entries hold, or none.
enum JournalEntry {
    /// A message, and for whom it was meant when it came.
    case message(StoredMessage)
    /// A persistent session exists from now on.
    case sessionOpened(StoredSession)
    /// A session's client has gone; its expiry runs from here.
    case sessionDetached(session: UInt32, wallMilliseconds: Int64)
    /// A session has ended, with all it held.
    case sessionClosed(session: UInt32)
    case subscribed(session: UInt32, StoredSubscription)
    case unsubscribed(session: UInt32, filter: String)
    /// A queued message was given a packet identifier and is in flight.
    case sent(session: UInt32, reference: MessageReference, packetID: UInt16, qos: QoS)
    /// The client has a QoS 2 message (PUBREC); from now on only PUBREL may follow.
    case received(session: UInt32, packetID: UInt16)
    /// The exchange of an outbound packet identifier is over.
    case acknowledged(session: UInt32, packetID: UInt16)
    /// A queued message was given up: expired, over a limit, no longer allowed.
    case dropped(session: UInt32, reference: MessageReference)
    /// PUBREL came: the inbound packet identifier is free again.
    case released(session: UInt32, packetID: UInt16)
    /// A handler's position and, where it changed, the state of a key.
    case handler(name: String, position: MessageReference, key: String, state: ByteBuffer?, decision: ByteBuffer?)
    /// A queued message by reference: in checkpoints, and where it was handed over from another session.
    case queued(session: UInt32, StoredQueued)
    /// Checkpoints only: an outbound exchange.
    case inflight(session: UInt32, StoredInflight)
    /// Checkpoints only: an inbound QoS 2 packet identifier.
    case pending(session: UInt32, packetID: UInt16)
    /// Checkpoints only: the next session number.
    case nextSession(UInt32)
    /// A retained message was queued for a session at its subscription. No new message to readers of the journal.
    case copy(session: UInt32, StoredCopy)
    /// What to publish if the client does not come back after a crash.
    case willSet(session: UInt32, StoredWill)
    case willCleared(session: UInt32)
    /// A QoS 2 message was taken that goes to its receivers at PUBREL.
    case inboundHeld(session: UInt32, packetID: UInt16, StoredMessage)
}

/// A message as a record holds it.
struct StoredMessage {
    /// A session that the message is for.
    struct Recipient {
        var session: UInt32
        var qos: QoS
        var retain: Bool
        /// Not 0 if the message went in flight at once.
        var packetID: UInt16
        var subscriptionIDs: [UInt32]
        /// The filter of the shared subscription that it came by.
        var share: String?
    }

    var topic: TopicName
    var payload: ByteBuffer
    var properties: Properties
    var qos: QoS
    var retain: Bool
    var receivedMilliseconds: Int64
    var origin: MessageOrigin
    var publisher: String
    /// Who published a retained message of a client.
    var source: MessageSource? = nil
    /// The publisher's session, if it is persistent and the message has QoS 2; otherwise 0.
    var publisherSession: UInt32
    /// The inbound packet identifier that goes with it.
    var publisherPacketID: UInt16
    var recipients: [Recipient]
}

struct StoredSession {
    var session: UInt32
    var clientID: String
    var username: String?
    var expirySeconds: UInt32
}

struct StoredSubscription {
    var filter: String
    var options: SubscriptionOptions
    var identifier: UInt32
}

struct StoredQueued {
    var reference: MessageReference
    var qos: QoS
    var retain: Bool
    var byteCount: UInt32
    var subscriptionIDs: [UInt32]
    /// The filter of the shared subscription that it came by.
    var share: String?
}

struct StoredCopy {
    var reference: MessageReference
    var qos: QoS
    var subscriptionIDs: [UInt32]
    var message: StoredMessage
}

struct StoredWill: Hashable {
    var will: Will
    /// Seconds that the client has to come back after a restart.
    var graceSeconds: UInt32
}

struct StoredInflight {
    var packetID: UInt16
    var reference: MessageReference
    var qos: QoS
    var retain: Bool
    /// Whether PUBREC has come.
    var isReceived: Bool
    var subscriptionIDs: [UInt32]
    /// The filter of the shared subscription that it came by.
    var share: String?
}
