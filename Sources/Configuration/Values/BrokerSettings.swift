/// One entry of `access:`: what some users may do. A client may do what any matching entry allows, and nothing else.
/// Without `access:` every client that was let in may do everything.
///
/// Filters may hold `%u` (the user name) and `%c` (the client identifier).
public struct AccessRule: Sendable, Hashable {
    /// `users`: user names; `*` stands for any run of characters. A client without a user name matches only `*`.
    public var users: [String]
    /// `clients`: client identifiers, likewise. Default: any.
    public var clients: [String]
    /// `publish`: what they may publish to.
    public var publish: [String]
    /// `subscribe`: what they may subscribe to. A subscription must lie within one of these filters.
    public var subscribe: [String]
    /// `receive`: what may be delivered to them. Default: the filters of `subscribe`.
    public var receive: [String]
    /// Where it stands in the file.
    public var position: SourcePosition
}

/// The bounds of the broker: `limits:`. Option words and meaning are Mosquitto's where it has them; where a default
/// differs from Mosquitto's, the line says so.
public struct LimitsConfiguration: Sendable, Hashable {
    /// What happens to a message for a session whose queue is full.
    public enum Overflow: String, Sendable, Hashable, CaseIterable {
        /// The message that came last goes. The default.
        case dropNewest = "drop_newest"
        /// The oldest queued message goes.
        case dropOldest = "drop_oldest"
        /// The message that came last goes, and so does the client, if it is connected.
        case disconnect
    }

    /// `max_inflight_messages`: unacknowledged QoS 1 and 2 messages towards one client. Default 64 (Mosquitto: 20), at
    /// most 65,535.
    public var maxInflightMessages = 64
    /// `max_inflight_bytes`: the same, in bytes of payload; one message may always go. Default 0: no limit.
    public var maxInflightBytes = 0
    /// `max_queued_messages`: messages waiting for one session. Default 1,000,000 (Mosquitto: 1,000); they wait on
    /// disk.
    public var maxQueuedMessages = 1_000_000
    /// `max_queued_bytes`: the same, in bytes. Default 1 GiB (Mosquitto: no limit).
    public var maxQueuedBytes = 1 << 30
    /// `overflow`: Default `drop_newest`, as Mosquitto does.
    public var overflow = Overflow.dropNewest
    /// `max_packet_size`: the largest packet taken from a client. Default 2,000,000 bytes (Mosquitto: no limit).
    public var maxPacketBytes = 2_000_000
    /// `message_size_limit`: the largest payload taken from a client. Default 0: no limit beside `max_packet_size`.
    public var messageSizeLimit = 0
    /// `max_topic_levels`: levels in a topic or filter. Default 32, at most 201.
    public var maxTopicLevels = 32
    /// `max_subscriptions`: per session. Default 1,000.
    public var maxSubscriptions = 1_000
    /// `max_sessions`: connected or not. Default 100,000.
    public var maxSessions = 100_000
    /// `session_expiry`: the longest a session outlives its connection; nil (`never`, the default): as long as the
    /// client asks. Mosquitto's `persistent_client_expiration`.
    public var sessionExpiryMax: Duration?
    /// `receive_maximum`: unacknowledged QoS 1 and 2 messages from one client. Default 256.
    public var receiveMaximum = 256
    /// `topic_alias_maximum`: topic aliases one MQTT 5 client may set up. Default 10; 0 turns them off.
    public var topicAliasMaximum = 10
    /// `max_topic_alias_broker`: topic aliases that the broker sets towards an MQTT 5 client that takes them. Default
    /// 10; 0 turns them off.
    public var topicAliasMaximumOutbound = 10
    /// `max_retained_messages`: of the whole broker. Default 1,000,000.
    public var maxRetainedMessages = 1_000_000
    /// `max_keepalive`: the longest keep alive granted, in seconds. Default 1,200 (Mosquitto: 65,535).
    public var maxKeepAliveSeconds = 1_200
    /// `connect_timeout`: from the opening of a connection to its CONNECT. Default 10 s.
    public var connectTimeout = Duration.seconds(10)
    /// `handshake_timeout`: from the opening of a connection to the end of TLS, of the WebSocket upgrade and of the
    /// PROXY header. Default 10 s.
    public var handshakeTimeout = Duration.seconds(10)
    /// `max_connections`: of all listeners together. Default 10,000. Mosquitto's `global_max_connections`.
    public var maxConnections = 10_000
    /// `max_connections_per_address`: from one IP address. Default 5,000.
    public var maxConnectionsPerAddress = 5_000
    /// `max_connection_rate_per_address`: new connections from one IP address in a second. Default 1,000.
    public var maxConnectionRatePerAddress = 1_000
    /// `max_unauthenticated_bytes`: of all connections that are not past CONNECT, together. Default 64 MiB.
    public var maxUnauthenticatedBytes = 64 << 20
    /// `max_connection_burst_per_address`: new connections from one IP address that may come at once before the rate
    /// counts. Default 10,000.
    public var maxConnectionBurstPerAddress = 10_000
    /// `max_connect_size`: the largest CONNECT, which comes from someone unknown. Default 64 KiB.
    public var maxConnectBytes = 65_536
    /// `max_properties`: properties of one packet, user properties included. Default 64.
    public var maxProperties = 64
    /// `max_filters`: topic filters of one SUBSCRIBE or UNSUBSCRIBE. Default 4,096.
    public var maxFilters = 4_096
    /// `max_http_header_size`: bytes of the HTTP request that opens a WebSocket. Default 8 KiB.
    public var maxHTTPHeaderBytes = 8 << 10
    /// `max_websocket_frame_size`: the length that a WebSocket frame may say. Default 16 MiB.
    public var maxWebSocketFrameBytes = 16 << 20
    /// `max_outgoing_bytes`: bytes on the way to one client above which QoS 0 is dropped and the rest waits in its
    /// session. Default 1 MiB.
    public var maxOutgoingBytes = 1 << 20
    /// `max_publish_rate`: messages taken from one client in a second; beyond, it is read more slowly. Default 0: any
    /// number.
    public var maxPublishRate = 0
    /// `max_publish_bytes_per_second`: the same, in bytes. Default 0.
    public var maxPublishBytesPerSecond = 0
    /// `retain_available`: whether clients may retain messages. Default true.
    public var isRetainAvailable = true
    /// `check_retain_source`: whether a retained message is given out only while its publisher may still publish it.
    /// Default true.
    public var checkRetainSource = true
    /// `queue_qos0_messages`: whether QoS 0 messages wait for sessions whose clients are away. Default false.
    public var queueQoS0Messages = false
    /// `upgrade_outgoing_qos`: whether a message goes out with the subscription's QoS even if it came with a lower one.
    /// Default false.
    public var upgradeOutgoingQoS = false
    /// `clientid_prefixes`: what client identifiers must begin with, one of these. Empty: anything.
    public var clientIDPrefixes: [String] = []
    /// `server_reference`: another server, which 5.0 clients of a node that stops are sent to. Nil: none.
    public var serverReference: String?
    /// `response_information`: what 5.0 clients are told that ask for it. Nil: nothing.
    public var responseInformation: String?

    /// The defaults.
    public init() {}
}

/// The journal on disk: `journal:`.
public struct JournalConfiguration: Sendable, Hashable {
    /// When records are forced to the disk.
    public enum Sync: Sendable, Hashable {
        /// `always`: before every acknowledgement. The default.
        case always
        /// `interval`: at least this often; a power cut may lose what was acknowledged since.
        case interval(Duration)
        /// `os`: whenever the operating system likes.
        case os
    }

    /// `enabled`: whether there is one. Without it sessions and messages live in memory alone, and there can be neither
    /// handlers nor bridges to an aggregator. Default true.
    public var isEnabled = true
    /// `path`: the folder. Default `data`, beside the configuration file.
    public var path = "data"
    /// `sync`, with `interval` (default 100 ms). Default `always`.
    public var sync = Sync.always
    /// `max_bytes`: what it may take on disk. Default 8 GiB.
    public var maxBytes = 8 << 30
    /// `segment_bytes`: the size of one file. Default 64 MiB.
    public var segmentBytes = 64 << 20
    /// `reserve`: what of `max_bytes` is set aside for alarms, in whole segments, for when there is no room for
    /// anything else. Nil, the default, is one segment; 0 is none.
    public var reserveBytes: Int?
    /// `reserve_topics`: the filters of alarms, beside the bridge routes of class `alarm`.
    public var reserveTopics: [String] = []
    /// `keep`: how long records stay after every reader has passed them, for replay. Default 0.
    public var keep = Duration.zero
    /// `encryption`: nil: what is written is not encrypted.
    public var encryption: EncryptionConfiguration?
    /// The file that stands for the journal where somebody expects another broker's database: when it is missing, the
    /// site starts empty. Set while a mosquitto.conf is run from; `site.yaml` has no word for it.
    public var marker: String?

    /// The defaults.
    public init() {}
}

/// The keys that the journal and the outboxes are encrypted with: `journal.encryption:`. A key is 32 bytes, as they are
/// or in hexadecimal or base 64.
public struct EncryptionConfiguration: Sendable, Hashable {
    /// Where the key is that is written with.
    public enum Source: Sendable, Hashable {
        /// `keyfile`: a file.
        case file(String)
        /// `key_env`: the name of an environment variable.
        case environment(String)
    }

    /// `keyfile` or `key_env`.
    public var source: Source
    /// `retired_keyfiles`: keys that are no longer written with, and that files still need.
    public var retiredKeyFiles: [String] = []

    /// Makes one.
    public init(source: Source) { self.source = source }
}

/// The HTTP side with health, metrics and the web page: `console:`.
public struct ConsoleConfiguration: Sendable, Hashable {
    /// `bind`: Default 127.0.0.1:8080.
    public var bind = NetworkAddress(host: "127.0.0.1", port: 8080)

    /// The defaults.
    public init() {}
}

/// Logging: `log:`.
public struct LogConfiguration: Sendable, Hashable {
    /// How much is logged.
    public enum Level: String, Sendable, Hashable, CaseIterable {
        /// Everything.
        case trace
        /// What a developer wants.
        case debug
        /// The default: what an operator wants.
        case info
        /// Unusual, but right.
        case notice
        /// Might become wrong.
        case warning
        /// Wrong.
        case error
        /// About to end.
        case critical
        /// Nothing is logged.
        case none
    }

    /// How a line looks.
    public enum Format: String, Sendable, Hashable, CaseIterable {
        /// For people.
        case text
        /// One JSON object a line.
        case json
    }

    /// `level`: Default info.
    public var level = Level.info
    /// `format`: Default text.
    public var format = Format.text
    /// `file`: where the lines go. Nil: standard error.
    public var file: String?

    /// The defaults.
    public init() {}
}
