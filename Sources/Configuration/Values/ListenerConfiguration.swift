/// A socket that devices connect to: an entry of `listeners:`.
public struct ListenerConfiguration: Sendable, Hashable {
    /// What is spoken on it.
    public enum WireProtocol: String, Sendable, Hashable, CaseIterable {
        /// MQTT over the bare connection. The default.
        case mqtt
        /// MQTT within WebSocket.
        case websockets
    }

    /// Which families of addresses a name, or no address at all, stands for.
    public enum AddressFamily: String, Sendable, Hashable, CaseIterable {
        /// Both. The default.
        case any
        /// IPv4 alone.
        case ipv4
        /// IPv6 alone.
        case ipv6
    }

    /// A socket in the file system: `socket:`.
    public struct UnixSocket: Sendable, Hashable {
        /// The path.
        public var path: String
        /// `socket_mode`: the permissions of the file. Default 600, in octal; who may write to it may connect.
        public var mode: UInt16

        /// Makes one.
        public init(path: String, mode: UInt16 = 0o600) {
            self.path = path
            self.mode = mode
        }
    }

    /// The HTTP side of a WebSocket listener: `websockets:`.
    public struct WebSockets: Sendable, Hashable {
        /// `paths`: the paths that answer. Default `/mqtt` and `/`.
        public var paths = ["/mqtt", "/"]
        /// `origins`: the pages that browsers may come from, such as `https://till.example.com`. Empty: any.
        public var origins: [String] = []

        /// The defaults.
        public init() {}
    }

    /// What a proxy before the listener says about each connection: `proxy_protocol:`.
    public struct ProxyProtocol: Sendable, Hashable {
        /// The form of the header.
        public enum Version: String, Sendable, Hashable, CaseIterable {
            /// Text.
            case v1
            /// Binary.
            case v2
            /// Either. The default.
            case any
        }

        /// `version`.
        public var version = Version.any
        /// `from`: the networks that proxies are believed from. Empty: everybody, as Mosquitto does.
        public var from: [String] = []
        /// `require_tls`: whether the client must have reached the proxy by TLS.
        public var requireTLS = false
        /// `require_certificate`: whether the proxy must have verified a client certificate.
        public var requireCertificate = false
        /// `use_identity_as_username`: whether the common name that the proxy says is the user name.
        public var useIdentityAsUsername = false

        /// The defaults.
        public init() {}
    }

    /// `name`: what logs and metrics call it. Default: the address it is bound to.
    public var name: String
    /// `bind`: address and port. An empty host (`*:1883`) is every address of the machine.
    public var bind: NetworkAddress
    /// `socket`: a Unix socket instead of `bind`.
    public var unixSocket: UnixSocket?
    /// `interface`: the network interface that connections must come by.
    public var interface: String?
    /// `family`.
    public var family = AddressFamily.any
    /// `protocol`.
    public var wireProtocol = WireProtocol.mqtt
    /// `websockets`, for that protocol.
    public var webSockets = WebSockets()
    /// `proxy_protocol`: nil: none.
    public var proxyProtocol: ProxyProtocol?
    /// `insecure`: whether plain TCP beyond loopback is meant. Default: false, and then it is refused.
    public var isInsecureAllowed: Bool
    /// `allow_anonymous`: whether clients may enter without a user name. Default: true on a loopback listener without
    /// TLS when no `users` are configured, false everywhere else.
    public var allowAnonymous: Bool
    /// `tls`: nil for plain TCP.
    public var tls: ListenerTLS?
    /// `users`: who may enter here. Nil: those of the site.
    public var users: UsersConfiguration?
    /// `access`: who may do what, of those who entered here. Nil: as on the whole site.
    public var access: AccessConfiguration?
    /// `accept_protocol_versions`, of `3.1`, `3.1.1` and `5`.
    public var protocolVersions: Set<ProtocolVersion> = Set(ProtocolVersion.allCases)
    /// `mount_point`: what stands before every topic of its clients, who do not see it.
    public var mountPoint = ""
    /// `max_connections`: how many clients at once; further ones are closed. Default 10,000.
    public var maxConnections: Int
    /// `max_packet_size`: the largest packet taken from a client, in bytes. Nil: that of `limits`.
    public var maxPacketBytes: Int?
    /// `max_keepalive`: the longest keep alive a client is granted, in seconds. Nil: that of `limits`.
    public var maxKeepAliveSeconds: Int?
    /// `max_qos`: the highest QoS taken from clients. Default 2.
    public var maxQoS = 2
    /// `retain_available`: whether clients may retain messages. Nil: as in `limits`.
    public var isRetainAvailable: Bool?
    /// `receive_maximum`: unacknowledged QoS 1 and 2 messages from one client. Nil: that of `limits`.
    public var receiveMaximum: Int?
    /// `topic_alias_maximum`: topic aliases that a client may set. Nil: that of `limits`.
    public var topicAliasMaximum: Int?
    /// `max_topic_alias_broker`: topic aliases that the broker sets towards a client. Nil: that of `limits`.
    public var topicAliasMaximumOutbound: Int?
    /// `max_publish_rate`: messages taken from one client in a second. Nil: that of `limits`.
    public var maxPublishRate: Int?
    /// `max_publish_bytes_per_second`: the same, in bytes. Nil: that of `limits`.
    public var maxPublishBytesPerSecond: Int?
    /// `allow_zero_length_clientid`. Default true.
    public var allowsEmptyClientID = true
    /// `auto_id_prefix`: what identifiers assigned to clients begin with. Nil: `auto-`.
    public var assignedClientIDPrefix: String?
    /// `use_username_as_clientid`. Default false.
    public var usesUsernameAsClientID = false
    /// Where it stands in the file.
    public var position: SourcePosition
}

/// A version of MQTT.
public enum ProtocolVersion: String, Sendable, Hashable, CaseIterable {
    /// MQTT 3.1.
    case v31 = "3.1"
    /// MQTT 3.1.1.
    case v311 = "3.1.1"
    /// MQTT 5.0.
    case v5 = "5"
}

/// TLS of a listener.
public struct ListenerTLS: Sendable, Hashable {
    /// Which clients are served, by Mozilla's recommendations.
    public enum Profile: String, Sendable, Hashable, CaseIterable {
        /// TLS 1.2 and 1.3 with forward secrecy. The default.
        case intermediate
        /// TLS 1.3 alone.
        case modern
    }

    /// `certfile`: the server's certificate and the chain above it, PEM.
    public var certificateFile: String
    /// `keyfile`: its private key, PEM.
    public var keyFile: String
    /// `cafile`: the authorities whose client certificates are accepted, PEM. Needed for `require_certificate`.
    public var authorityFile: String?
    /// `crlfile`: certificates that are revoked, PEM.
    public var revocationFile: String?
    /// `require_certificate`: whether a client must show a certificate. Default false.
    public var requireCertificate: Bool
    /// `require_certificate: optional`: whether a client is asked for a certificate that it need not have. One that it
    /// shows must be good.
    public var asksForCertificate = false
    /// `close_revoked`: whether a reload closes the connections of clients that `crlfile` names by then. Default true.
    public var closesRevoked = true
    /// `use_identity_as_username`: whether the common name of the client's certificate is its user name. Default false.
    public var useIdentityAsUsername: Bool
    /// `use_subject_as_username`: whether the whole subject of it is. Default false.
    public var useSubjectAsUsername = false
    /// `profile`.
    public var profile = Profile.intermediate
    /// `tls_version`: the oldest version spoken. Default 1.2; 1.3 with `profile: modern`.
    public var minimumVersion: TLSVersion
    /// `ciphers` of TLS 1.2, in OpenSSL's words. Nil: those of the profile.
    public var ciphers: String?
}

/// A version of TLS.
public enum TLSVersion: String, Sendable, Hashable, CaseIterable {
    /// TLS 1.2, the floor.
    case tls12 = "tlsv1.2"
    /// TLS 1.3.
    case tls13 = "tlsv1.3"
}

/// TLS towards another broker.
public struct ClientTLS: Sendable, Hashable {
    /// `cafile`: the authorities that may vouch for the other side, PEM. Nil: those of the system.
    public var authorityFile: String?
    /// `certfile`: our own certificate, PEM, for brokers that want one.
    public var certificateFile: String?
    /// `keyfile`: its private key, PEM.
    public var keyFile: String?
    /// `insecure`: whether the host name in the other side's certificate goes unchecked. Default false. For trials
    /// only.
    public var skipsHostNameCheck: Bool
}
