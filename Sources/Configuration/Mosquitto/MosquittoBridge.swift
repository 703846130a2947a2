/// A place in one of the files that make up a mosquitto.conf: the file itself, or one of its `include_dir`.
public struct MosquittoPlace: Sendable, Hashable {
    /// The file, as it was named.
    public var file: String
    /// The line, from 1.
    public var line: Int

    /// Makes a place.
    public init(file: String, line: Int) {
        self.file = file
        self.line = line
    }
}

/// A `connection` block of mosquitto.conf: a bridge to another broker, with Mosquitto's words and defaults.
public struct MosquittoBridge: Sendable, Hashable {
    /// Where the other broker may be found.
    public struct Address: Sendable, Hashable {
        /// A host name or an IP address.
        public var host: String
        /// Default 1883.
        public var port: Int

        /// Makes an address.
        public init(host: String, port: Int = 1_883) {
            self.host = host
            self.port = port
        }
    }

    /// Which way the messages of a topic go.
    public enum Direction: String, Sendable, Hashable, CaseIterable {
        /// From here to there. The default.
        case out
        /// From there to here.
        case `in`
        /// Both.
        case both
    }

    /// A `topic` line.
    public struct Topic: Sendable, Hashable {
        /// The topic filter, the same on both sides; nil (`""`) stands for the two prefixes alone.
        public var pattern: String?
        /// Default `out`.
        public var direction: Direction
        /// 0, 1 or 2. Default 0.
        public var qos: Int
        /// What stands before it here, as it is written: where a `/` belongs between, it is part of the prefix.
        public var localPrefix: String
        /// What stands before it there.
        public var remotePrefix: String
        /// Where it stands.
        public var place: MosquittoPlace

        /// Makes a topic.
        public init(
            pattern: String?,
            direction: Direction = .out,
            qos: Int = 0,
            localPrefix: String = "",
            remotePrefix: String = "",
            place: MosquittoPlace
        ) {
            self.pattern = pattern
            self.direction = direction
            self.qos = qos
            self.localPrefix = localPrefix
            self.remotePrefix = remotePrefix
            self.place = place
        }

        /// The filter on this side.
        public var localFilter: String { localPrefix + (pattern ?? "") }
        /// The filter on the other side.
        public var remoteFilter: String { remotePrefix + (pattern ?? "") }
    }

    /// `start_type`: when the bridge is up.
    public enum StartType: String, Sendable, Hashable, CaseIterable {
        /// From the start, and again after each failure. The default.
        case automatic
        /// When ``MosquittoBridge/threshold`` messages wait; it goes again after
        /// ``MosquittoBridge/idleTimeoutSeconds`` without any.
        case lazy
        /// From the start, once.
        case once
    }

    /// `bridge_reload_type`: what a changed block does to a connection that is up.
    public enum ReloadType: String, Sendable, Hashable, CaseIterable {
        /// It counts from the next connection on. The default.
        case lazy
        /// The connection is made anew at once.
        case immediate
    }

    /// `bridge_protocol_version`: what is spoken to the other broker.
    public enum ProtocolVersion: String, Sendable, Hashable, CaseIterable {
        /// MQTT 3.1.
        case mqttv31
        /// MQTT 3.1.1. The default.
        case mqttv311
        /// MQTT 5.0.
        case mqttv50
    }

    /// `restart_timeout`: how long to wait before the next attempt to connect.
    public enum Restart: Sendable, Hashable {
        /// One number: always so many seconds.
        case constant(seconds: Int)
        /// `base cap [stable]`: a random time that grows from `base` to `cap` seconds; it begins anew after a
        /// connection that lasted `stableSeconds`. The default is 5 to 30.
        case backoff(baseSeconds: Int, capSeconds: Int, stableSeconds: Int)
    }

    /// TLS towards the other broker: `bridge_cafile` and so on.
    public struct TLS: Sendable, Hashable {
        /// `bridge_cafile`: the authorities that may vouch for it, PEM.
        public var authorityFile: String?
        /// `bridge_capath`: the same as a folder of hashed names.
        public var authorityFolder: String?
        /// `bridge_tls_use_os_certs`: those of the system.
        public var usesSystemAuthorities = false
        /// `bridge_certfile`: our own certificate, PEM.
        public var certificateFile: String?
        /// `bridge_keyfile`: its private key, PEM.
        public var keyFile: String?
        /// `bridge_insecure`: whether the host name in the other side's certificate goes unchecked.
        public var skipsHostNameCheck = false
        /// `bridge_tls_version`: `tlsv1.2` or `tlsv1.3`; nil: what both sides know.
        public var version: String?
        /// `bridge_alpn`: the application protocol that is asked for.
        public var applicationProtocol: String?
        /// `bridge_ciphers`, up to TLS 1.2.
        public var ciphers: String?
        /// `bridge_ciphers_tls1.3`.
        public var ciphersTLS13: String?
        /// `bridge_identity`: the identity of a shared key.
        public var sharedKeyIdentity: String?
        /// `bridge_psk`: the shared key, hexadecimal. Never log it.
        public var sharedKey: String?

        /// Nothing is set.
        public init() {}

        /// Whether this asks for TLS at all, as Mosquitto decides it.
        public var isUsed: Bool {
            authorityFile != nil || authorityFolder != nil || usesSystemAuthorities || sharedKey != nil
        }
    }

    /// The name after `connection`: unique.
    public var name: String
    /// `address`, `addresses`: the first is the one that is preferred.
    public var addresses: [Address] = []
    /// `topic`: what goes where.
    public var topics: [Topic] = []
    /// `remote_clientid` (`clientid`). Nil: the host's name, a dot and ``name``.
    public var remoteClientID: String?
    /// `remote_username` (`username`).
    public var remoteUsername: String?
    /// `remote_password` (`password`). Never log it.
    public var remotePassword: String?
    /// `remote_password_file` of `site.yaml`: a file that holds the password and nothing else.
    public var remotePasswordFile: String?
    /// `local_clientid`. Nil: `local.` and the remote one.
    public var localClientID: String?
    /// `local_username`: who the bridge is on this side, for `acl_file`.
    public var localUsername: String?
    /// `local_password`. Never log it.
    public var localPassword: String?
    /// `cleansession`: whether the other broker forgets us when the connection goes. Default false.
    public var cleanSession = false
    /// `local_cleansession`: the same on this side. Nil: as ``cleanSession``.
    public var localCleanSession: Bool?
    /// `start_type`.
    public var startType = StartType.automatic
    /// `keepalive_interval`, at least 5. Default 60.
    public var keepAliveSeconds = 60
    /// `idle_timeout` of `start_type lazy`. Default 60.
    public var idleTimeoutSeconds = 60
    /// `threshold` of `start_type lazy`, in messages. Default 10.
    public var threshold = 10
    /// `restart_timeout`.
    public var restart = Restart.backoff(baseSeconds: 5, capSeconds: 30, stableSeconds: 0)
    /// `notifications`: whether the state of the connection is published, retained. Default true.
    public var notifications = true
    /// `notifications_local_only`: whether on this side only. Default false.
    public var notificationsLocalOnly = false
    /// `notification_topic`. Nil: `$SYS/broker/connection/<remote client identifier>/state`.
    public var notificationTopic: String?
    /// `try_private`: whether to tell the other broker that this is a bridge. Default true.
    public var tryPrivate = true
    /// `round_robin`: whether all addresses are equal; otherwise the first is gone back to. Default false.
    public var roundRobin = false
    /// `bridge_attempt_unsubscribe`: whether topics that only go out are unsubscribed there. Default true.
    public var attemptUnsubscribe = true
    /// `bridge_outgoing_retain`: whether messages keep their retain flag on the way out. Default true.
    public var outgoingRetain = true
    /// `bridge_protocol_version`.
    public var protocolVersion = ProtocolVersion.mqttv311
    /// `bridge_max_packet_size`, in bytes; 0: no limit of ours.
    public var maxPacketBytes = 0
    /// `bridge_max_topic_alias`. Default 10.
    public var maxTopicAlias = 10
    /// `bridge_receive_maximum`. Nil: what the protocol has.
    public var receiveMaximum: Int?
    /// `bridge_session_expiry_interval`, in seconds. Default 0.
    public var sessionExpirySeconds = 0
    /// `bridge_reload_type`.
    public var reloadType = ReloadType.lazy
    /// `bridge_bind_address`: the address of ours that the connection comes from.
    public var bindAddress: String?
    /// `bridge_tcp_keepalive idle interval counter`, in seconds and probes.
    public var tcpKeepAlive: [Int] = []
    /// `bridge_tcp_user_timeout`, in milliseconds.
    public var tcpUserTimeoutMilliseconds: Int?
    /// TLS. Look at ``TLS/isUsed``.
    public var tls = TLS()
    /// Where it stands.
    public var place: MosquittoPlace

    /// A block without addresses and topics.
    public init(name: String, place: MosquittoPlace) {
        self.name = name
        self.place = place
    }

    /// The client identifier towards the other broker.
    public func effectiveRemoteClientID(hostName: String) -> String { remoteClientID ?? "\(hostName).\(name)" }

    /// The client identifier on this side.
    public func effectiveLocalClientID(hostName: String) -> String {
        localClientID ?? "local.\(effectiveRemoteClientID(hostName: hostName))"
    }
}
