/// What a mosquitto.conf says, in Mosquitto's own words and with its defaults: the checked form of mosquitto.conf(5) of
/// 2.1. ``SiteConfiguration/init(mosquitto:options:)`` makes a site of it.
public struct MosquittoSettings: Sendable, Hashable {
    /// A text and where it stands, for the files it names.
    public struct Text: Sendable, Hashable {
        /// The text.
        public var value: String
        /// Where it stands.
        public var place: MosquittoPlace

        /// Makes a text.
        public init(_ value: String, place: MosquittoPlace) {
            self.value = value
            self.place = place
        }
    }

    /// The configuration file, as it was named.
    public var file: String
    /// The listeners, in the order of the file. Empty in local mode.
    public var listeners: [MosquittoListener] = []
    /// Whether nothing asked for a listener: then only this machine can connect, and anonymously.
    public var isLocalOnly = true
    /// `per_listener_settings`.
    public var perListenerSettings = false
    /// `password_file`, `acl_file` and so on for every listener that has none of its own.
    public var security = MosquittoSecurity()
    /// `plugin_load`, `plugin` and `global_plugin`, in the order of the file.
    public var plugins: [MosquittoPlugin] = []
    /// The `connection` blocks.
    public var bridges: [MosquittoBridge] = []
    /// The log.
    public var log = MosquittoLog()

    /// `persistence`. Default false.
    public var persistence = false
    /// `persistence_location`.
    public var persistenceLocation: Text?
    /// `persistence_file`. Default `mosquitto.db`.
    public var persistenceFile = "mosquitto.db"

    /// Where Mosquitto keeps what it remembers; nil without `persistence`.
    public var databasePath: String? {
        guard persistence else { return nil }
        let folder = persistenceLocation?.value ?? ""
        return folder.isEmpty || folder.hasSuffix("/") ? folder + persistenceFile : "\(folder)/\(persistenceFile)"
    }
    /// `persistent_client_expiration`, in seconds; nil: never.
    public var persistentClientExpirationSeconds: Int?
    /// `user`: who the process becomes.
    public var user: Text?
    /// `pid_file`.
    public var pidFile: Text?
    /// `clientid_prefixes`: the only beginnings of client identifiers that are let in.
    public var clientIDPrefixes: String?
    /// `sys_interval`, in seconds; 0: no `$SYS`. Default 10.
    public var sysIntervalSeconds = 10

    /// `max_inflight_messages`; 0: no limit. Default 20.
    public var maxInflightMessages = 20
    /// `max_inflight_bytes`; 0: no limit.
    public var maxInflightBytes = 0
    /// `max_queued_messages`; 0: no limit. Default 1,000.
    public var maxQueuedMessages = 1_000
    /// `max_queued_bytes`; 0: no limit.
    public var maxQueuedBytes = 0
    /// `max_packet_size`. Default 2,000,000.
    public var maxPacketBytes = 2_000_000
    /// `message_size_limit`: the largest payload taken; 0: no limit.
    public var messageSizeLimit = 0
    /// `max_keepalive`; 0: 65,535, which is also the default.
    public var maxKeepAliveSeconds = 0
    /// `memory_limit`; 0: no limit.
    public var memoryLimitBytes = 0
    /// `global_max_clients`: sessions, connected or not; nil: no limit.
    public var globalMaxClients: Int?
    /// `global_max_connections`; nil: no limit.
    public var globalMaxConnections: Int?
    /// `retain_available`. Default true.
    public var isRetainAvailable = true
    /// `retain_expiry_interval`, in minutes; nil: retained messages stay.
    public var retainExpiryMinutes: Int?
    /// `check_retain_source`. Default true.
    public var checkRetainSource = true
    /// `queue_qos0_messages`. Default false.
    public var queueQoS0Messages = false
    /// `upgrade_outgoing_qos`. Default false.
    public var upgradeOutgoingQoS = false
    /// `allow_duplicate_messages`. Default true.
    public var allowDuplicateMessages = true
    /// `set_tcp_nodelay`. Default false.
    public var setTCPNoDelay = false
    /// `enable_control_api`. Default false.
    public var enableControlAPI = false

    /// Lines that do not mean here what they mean to Mosquitto, in the order they were read.
    public var notes: [MosquittoNote] = []

    /// What an empty file says.
    public init(file: String) {
        self.file = file
    }
}

/// Who may enter and do what: for all listeners, or for one.
public struct MosquittoSecurity: Sendable, Hashable {
    /// `allow_anonymous`, `listener_allow_anonymous`. Nil: not said.
    public var allowAnonymous: Bool?
    /// `allow_zero_length_clientid`. Default true.
    public var allowZeroLengthClientID = true
    /// `auto_id_prefix`, `listener_auto_id_prefix`. Nil: `auto-`.
    public var autoIDPrefix: String?
    /// `password_file`.
    public var passwordFile: MosquittoSettings.Text?
    /// `acl_file`.
    public var aclFile: MosquittoSettings.Text?
    /// `psk_file`.
    public var sharedKeyFile: MosquittoSettings.Text?
    /// The plugins in use: indexes into ``MosquittoSettings/plugins``.
    public var plugins: [Int] = []

    /// Nothing is said.
    public init() {}
}

/// A plugin of Mosquitto's, and what is told to it.
public struct MosquittoPlugin: Sendable, Hashable {
    /// The plugins whose work is done here without them.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// Users, groups and roles, administered through `$CONTROL`.
        case dynamicSecurity = "mosquitto_dynamic_security"
        /// `plugin_opt_acl_file`.
        case aclFile = "mosquitto_acl_file"
        /// `plugin_opt_password_file`.
        case passwordFile = "mosquitto_password_file"
        /// Sessions and messages on disk.
        case persistSQLite = "mosquitto_persist_sqlite"
    }

    /// `plugin_load`'s first word.
    public var name: String?
    /// The shared object.
    public var path: String
    /// `plugin_opt_*`, without that beginning, in the order of the file.
    public var options: [String: MosquittoSettings.Text] = [:]
    /// Where it stands.
    public var place: MosquittoPlace

    /// Makes a plugin.
    public init(name: String? = nil, path: String, place: MosquittoPlace) {
        self.name = name
        self.path = path
        self.place = place
    }

    /// Which plugin it is by the name of its file; nil: one that is not known here.
    public var kind: Kind? {
        let file = path.split(separator: "/").last ?? ""
        return Kind.allCases.first { file == "\($0.rawValue).so" || file == $0.rawValue }
    }
}

/// Where the log goes and what is in it.
public struct MosquittoLog: Sendable, Hashable {
    /// A place that log lines go to.
    public enum Destination: Sendable, Hashable {
        /// `stdout`.
        case standardOutput
        /// `stderr`. The default.
        case standardError
        /// `syslog`.
        case syslog
        /// `topic`: `$SYS/broker/log/…`.
        case topic
        /// `dlt`: the diagnostic trace of cars.
        case dlt
        /// `file`.
        case file(String)
    }

    /// A kind of log line.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// What an administrator may want to know.
        case information
        /// What an administrator should know.
        case notice
        /// What may become wrong.
        case warning
        /// What is wrong.
        case error
        /// Every packet.
        case debug
        /// Every subscription.
        case subscribe
        /// Every end of one.
        case unsubscribe
        /// What happens inside the broker.
        case `internal`
        /// What happens inside WebSocket connections.
        case websockets
    }

    /// `log_dest`.
    public var destinations: [Destination] = [.standardError]
    /// `log_type`.
    public var kinds: Set<Kind> = [.error, .warning, .notice, .information]
    /// `log_timestamp`.
    public var hasTimestamp = true
    /// `log_timestamp_format`.
    public var timestampFormat: String?
    /// `log_facility` of syslog, 0 to 7; nil: daemon.
    public var facility: Int?
    /// `connection_messages`: whether clients that come and go have their lines.
    public var connectionMessages = true

    /// The defaults.
    public init() {}
}
