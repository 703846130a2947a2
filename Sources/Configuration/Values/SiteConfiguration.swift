/// Everything a site node is told: the checked form of `site.yaml`. Plain values; nothing was opened to make them.
/// Relative paths in the file count from the file's own folder and are resolved here.
public struct SiteConfiguration: Sendable, Hashable {
    /// Whose manners the broker takes on where the standard leaves a choice.
    public enum Compatibility: String, Sendable, Hashable, CaseIterable {
        /// Those of Mosquitto 2.1: topics that begin with `$` may be published to, a long keep alive of a 3.x client is
        /// refused, DISCONNECT gives no reason in words.
        case mosquitto
    }

    /// `site`: the name of the site. Letters, digits, `-` and `_`, at most 64.
    public var site: String
    /// `listeners`: at least one, unless `site_broker` is given.
    public var listeners: [ListenerConfiguration]
    /// `site_broker`: the existing broker to attach to instead of `listeners`.
    public var siteBroker: AttachedBrokerConfiguration?
    /// `users`.
    public var users: UsersConfiguration?
    /// `access`: nil: whoever was let in may do everything.
    public var access: AccessConfiguration?
    /// `compatibility`: nil: as this broker does.
    public var compatibility: Compatibility?
    /// `journal`.
    public var journal: JournalConfiguration
    /// `limits`.
    public var limits: LimitsConfiguration
    /// `sys_interval`: how often `$SYS` is published; zero: never. Default 10 s.
    public var sysInterval = Duration.seconds(10)
    /// `audit`: nil: no audit log.
    public var audit: AuditSettings?
    /// `reload`: what is read again by itself.
    public var reload = ReloadConfiguration()
    /// `pid_file`: where the number of the process is written.
    public var pidFile: String?
    /// `user`: who a process that was started by root becomes once its listeners are bound.
    public var user: String?
    /// `handlers`.
    public var handlers: [HandlerConfiguration]
    /// `site_key.file`: the key pseudonyms and coupon codes are made with, kept on this machine.
    public var siteKeyFile: String?
    /// `bridges`.
    public var bridges: [BridgeConfiguration]
    /// The entries of `bridges` with `kind: relay`: bridges as Mosquitto's `connection` blocks describe them.
    public var relays: [MosquittoBridge] = []
    /// `console`: nil: no HTTP.
    public var console: ConsoleConfiguration?
    /// `log`.
    public var log: LogConfiguration
    /// The files this configuration refers to, for ``FileChecks``.
    public var fileReferences: [FileReference]
    /// The configuration file, as named on the command line.
    public var file: String

    /// A path of this configuration, such as a handler's own file, seen from where the process runs.
    public func resolve(_ path: String) -> String { PathResolution.resolve(path, besideFile: file) }
}

/// Everything a cloud aggregator is told: the checked form of `cloud.yaml`.
public struct CloudConfiguration: Sendable, Hashable {
    /// The broker the sites' bridges talk to.
    public enum Broker: Sendable, Hashable {
        /// `broker:`, one of our own in the same process.
        case embedded(EmbeddedBrokerConfiguration)
        /// `broker_address:`, an existing one.
        case existing(AttachedBrokerConfiguration)
    }

    /// Which shards of the sites this aggregator takes.
    public enum Shards: Sendable, Hashable {
        /// `all`. The default.
        case all
        /// A list of numbers and ranges such as `[0, 2, "4-7"]`, sorted.
        case only([Int])
    }

    /// When rows are committed.
    public struct Batch: Sendable, Hashable {
        /// `max_messages`: at the latest after so many. Default 1,000.
        public var maxMessages = 1_000
        /// `max_delay`: at the latest after so long. Default 50 ms.
        public var maxDelay = Duration.milliseconds(50)

        /// The defaults.
        public init() {}
    }

    /// `cloud`: the name of the aggregator.
    public var cloud: String
    /// `broker` or `broker_address`.
    public var broker: Broker
    /// `shards`.
    public var shards: Shards
    /// `store.sqlite`: the database file. Default `cloud.sqlite`, beside the configuration file.
    public var databasePath: String
    /// `batch`.
    public var batch: Batch
    /// `journal`: that of the embedded broker.
    public var journal: JournalConfiguration
    /// `users`.
    public var users: UsersConfiguration?
    /// `access`.
    public var access: AccessConfiguration?
    /// `console`: nil: no HTTP.
    public var console: ConsoleConfiguration?
    /// `log`.
    public var log: LogConfiguration
    /// The files this configuration refers to, for ``FileChecks``.
    public var fileReferences: [FileReference]
    /// The configuration file, as named on the command line.
    public var file: String
}

/// A broker of our own inside the aggregator.
public struct EmbeddedBrokerConfiguration: Sendable, Hashable {
    /// `listeners`: at least one.
    public var listeners: [ListenerConfiguration]
    /// `limits`.
    public var limits: LimitsConfiguration
}

/// A file that a configuration names.
public struct FileReference: Sendable, Hashable {
    /// What it is for, which decides what is checked.
    public enum Purpose: Sendable, Hashable, CaseIterable {
        /// Certificates in PEM.
        case certificates
        /// A private key in PEM: must not be readable by others.
        case privateKey
        /// A secret in any form: must not be readable by others.
        case secret
        /// Any file that must exist and be readable.
        case readable
        /// A folder that exists or can be made.
        case folder
        /// A file that exists or can be made.
        case database
    }

    /// What it is for.
    public var purpose: Purpose
    /// The path, resolved.
    public var path: String
    /// The setting that names it.
    public var setting: String
    /// Where that stands.
    public var position: SourcePosition

    /// Makes a reference.
    public init(purpose: Purpose, path: String, setting: String, position: SourcePosition) {
        self.purpose = purpose
        self.path = path
        self.setting = setting
        self.position = position
    }
}

/// Where relative paths count from.
enum PathResolution {
    /// The path itself if absolute, else below the folder of the file. Purely textual.
    static func resolve(_ path: String, besideFile file: String) -> String {
        guard !path.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return path }
        return String(file[...slash]) + path
    }
}
