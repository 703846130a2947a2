public import MQTT

/// The limits of a broker core. Each has a line in `Docs/Limits.md`; options of the same name stand in `site.yaml`.
public struct BrokerConfiguration: Sendable, Hashable {
    /// What happens to a message for a session whose queue is full.
    public enum Overflow: String, Sendable, Hashable {
        /// The oldest queued message goes.
        case dropOldest = "drop_oldest"
        /// The message that came last goes.
        case dropNewest = "drop_newest"
        /// The message that came last goes, and so does the client, if it is connected.
        case disconnect
    }

    /// Unacknowledged QoS 1 and 2 messages on the way to one client (`max_inflight_messages`), 1...65,535.
    public var inflightMessagesMax: Int = 64
    /// Payload bytes of unacknowledged messages on the way to one client (`max_inflight_bytes`). One message may always
    /// go; 0 sets no limit.
    public var inflightBytesMax: Int = 0
    /// Messages queued for one session beyond those in flight (`max_queued_messages`).
    public var queuedMessagesMax: Int = 1_000_000
    /// Bytes queued for one session (`max_queued_bytes`).
    public var queuedBytesMax: Int = 1 << 30
    /// Bytes queued in memory for one session: of messages that no journal holds.
    public var queuedMemoryBytesMax: Int = 64 << 20
    /// What happens when one of them is reached.
    public var overflow: Overflow = .dropNewest
    /// Bytes of queued messages that one session keeps in memory; what is beyond is read from the journal again.
    public var queuedResidentBytesMax: Int = 1 << 20
    /// Messages read from the journal at once for one session.
    public var loadBatchMessages: Int = 64
    /// QoS 1 and 2 messages on the way from one client (`receive_maximum`), announced to MQTT 5.0 clients.
    public var receiveMaximum: UInt16 = 256
    /// The largest packet taken from a client (`max_packet_size`), announced to MQTT 5.0 clients.
    public var packetBytesMax: Int = 2_000_000
    /// The largest payload taken from a client (`message_size_limit`). A message beyond it is dropped and, in 5.0,
    /// answered with packet too large.
    public var payloadBytesMax: Int = 268_435_455
    /// Topic aliases that a client may set (`topic_alias_maximum`).
    public var topicAliasMaximum: UInt16 = 10
    /// Another server for the clients of a node that drains or stops (`server_reference`); nil for none.
    public var serverReference: String?
    /// What clients are told that ask for response information (`response_information`); nil for nothing.
    public var responseInformation: String?
    /// Topic aliases that the broker sets towards a client that takes some (`max_topic_alias_broker`).
    public var topicAliasMaximumOutbound: UInt16 = 10
    /// Levels of a topic name or filter (`max_topic_levels`), at most 201.
    public var topicLevelsMax: Int = 32
    /// Subscriptions of one session (`max_subscriptions`).
    public var subscriptionsPerSessionMax: Int = 1_000
    /// Retained messages of the whole broker (`max_retained_messages`).
    public var retainedMessagesMax: Int = 1_000_000
    /// Retained messages that are handed out in one turn; a subscription to more is served over many turns, as fast as
    /// its client reads.
    public var retainedMessagesPerTurn: Int = 1_000
    /// Retained topics that are looked at in one turn for subscriptions that are served over many.
    public var retainedTopicsPerTurn: Int = 20_000
    /// Sessions, connected or not (`max_sessions`).
    public var sessionsMax: Int = 100_000
    /// The longest session expiry granted, in seconds (`persistent_client_expiration`); 3.x sessions that are not
    /// clean live this long after they go. 0xFFFFFFFF never expires.
    public var sessionExpirySecondsMax: UInt32 = 0xFFFF_FFFF
    /// The longest keep alive granted, in seconds (`max_keepalive`); 0 of a client counts as longer than any.
    public var keepAliveSecondsMax: UInt16 = 1_200
    /// Seconds from the opening of a connection to its CONNECT (`connect_timeout`).
    public var connectSeconds: UInt64 = 10
    /// Methods of enhanced authentication that the driver's authenticator knows; a client that names another one is
    /// refused.
    public var authenticationMethods: Set<String> = []
    /// AUTH packets that one exchange may take of a client.
    public var authenticationStepsMax: Int = 8
    /// Topics whose routes are remembered between publishes.
    public var routeCacheEntriesMax: Int = 4_096
    /// Packets that a client may send after CONNECT before it has its CONNACK.
    public var packetsBeforeConnackMax: Int = 256
    /// Bytes of one journal record of acknowledgements before the next is begun.
    public var bookkeepingRecordBytesMax: Int = 64 * 1_024
    /// To whom a client identifier belongs (`client_id_ownership`).
    public var clientIDOwnership: ClientIDOwnership = .identity
    /// Denials of one connection that the audit log is told of in a minute; the rest is counted in the next one.
    public var auditedDenialsPerMinute: Int = 30
    /// Refused connections and violations of the protocol that the audit log is told of in a second; the rest is
    /// counted in the next one.
    public var auditedRefusalsPerSecond: Int = 100
    /// Sessions that one turn looks at after a change of the rules.
    public var accessSweepSessions: Int = 65_536
    /// Subscriptions that one turn checks again after a change of the rules.
    public var accessSweepSubscriptions: Int = 16_384
    /// Seconds between two updates of the `$SYS` tree (`sys_interval`); 0 turns it off.
    public var systemIntervalSeconds: UInt32 = 10
    /// What stands in `$SYS/broker/version`.
    public var systemVersion: String = "causeway"
    /// Messages to these topics are taken while the journal lives off its reserve (`journal.reserve_topics`, and those
    /// of bridge routes of class `alarm`).
    public var alarmFilters: [TopicFilter] = []
    /// Whether there is a journal. Without one, sessions and retained messages live in memory alone.
    public var isDurable: Bool = true
    /// Whether clients may retain messages (`retain_available`); a listener may say no where this says yes.
    public var isRetainAvailable = true
    /// What client identifiers must begin with, one of these (`clientid_prefixes`). Empty: anything.
    public var clientIDPrefixes: [String] = []
    /// Whether QoS 0 messages wait for a persistent session whose client is away (`queue_qos0_messages`).
    public var queuesQoS0 = false
    /// Whether a message goes out with the subscription's quality of service even if it came with a lower one
    /// (`upgrade_outgoing_qos`).
    public var upgradesOutgoingQoS = false
    /// Whether a retained message is given out only while its publisher may still publish it (`check_retain_source`).
    public var checksRetainSource = true
    /// Whether clients may publish to topics that begin with `$`, other than `$SYS` and `$share`.
    public var allowsDollarTopics = false
    /// Whether a QoS 2 message goes to its receivers at PUBREL rather than at PUBLISH: method B of figure 4.3. It costs
    /// a second record.
    public var releasesQoS2OnPubrel = false
    /// Whether Mosquitto's way goes where the standard leaves it open or says otherwise: a malformed packet is answered
    /// with the code that Mosquitto gives it, a malformed filter ends the connection rather than being refused in
    /// SUBACK, and a session that is taken over and goes on publishes no will.
    public var followsMosquitto = false
    /// Whether DISCONNECT says in words why, to clients that want to know.
    public var sendsReasonStrings = true
    /// Whether CONNACK says that less session expiry was granted than was asked for.
    public var announcesSessionExpiry = true
    /// Whether a 3.x client that wants a longer keep alive than `keepAliveSecondsMax` is refused; there is no way to
    /// tell it of another one.
    public var refusesLongKeepAlive = false
    /// Part of the client identifiers that the broker assigns; different for each start of the process.
    public var instanceID: String = "0"

    /// The defaults.
    public init() {}
}

extension BrokerConfiguration {
    /// What Mosquitto 2.1 does where nothing is configured, for configurations of Mosquitto and clients that know it.
    public static var mosquitto: BrokerConfiguration {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 20
        configuration.receiveMaximum = 20
        configuration.queuedMessagesMax = 1_000
        configuration.keepAliveSecondsMax = 0
        configuration.topicLevelsMax = TopicLimits.levelsMax
        configuration.allowsDollarTopics = true
        configuration.releasesQoS2OnPubrel = true
        configuration.followsMosquitto = true
        configuration.systemVersion = "mosquitto version 2.1.2"
        configuration.sendsReasonStrings = false
        configuration.announcesSessionExpiry = false
        configuration.refusesLongKeepAlive = true
        return configuration
    }
}
