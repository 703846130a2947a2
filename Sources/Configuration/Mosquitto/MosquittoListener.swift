/// A `listener` of mosquitto.conf, or the default listener that `port` and `bind_address` make.
public struct MosquittoListener: Sendable, Hashable {
    /// What is spoken on it.
    public enum WireProtocol: String, Sendable, Hashable, CaseIterable {
        /// MQTT over TCP. The default.
        case mqtt
        /// MQTT within WebSocket.
        case websockets
        /// The HTTP API of Mosquitto.
        case httpAPI = "http_api"
    }

    /// Which addresses a listener without a bind address takes.
    public enum SocketDomain: String, Sendable, Hashable, CaseIterable {
        /// `ipv4`.
        case ipv4
        /// `ipv6`.
        case ipv6
    }

    /// The port; 0 for a Unix socket.
    public var port: Int
    /// The bind address; nil: every address of the machine.
    public var host: String?
    /// The path of a Unix socket (`listener 0 /path`).
    public var socketPath: String?
    /// `bind_interface`: the network interface connections must come by.
    public var bindInterface: String?
    /// `socket_domain`.
    public var socketDomain: SocketDomain?
    /// `protocol`.
    public var wireProtocol = WireProtocol.mqtt
    /// `accept_protocol_versions`, of 3, 4 and 5.
    public var protocolVersions: Set<Int> = [3, 4, 5]
    /// `mount_point`.
    public var mountPoint: String?
    /// `max_connections`; nil: no limit.
    public var maxConnections: Int?
    /// `max_qos`. Default 2.
    public var maxQoS = 2
    /// `max_topic_alias`: aliases that clients may set. Default 10.
    public var maxTopicAlias = 10
    /// `max_topic_alias_broker`: aliases that the broker sets. Default 10.
    public var maxTopicAliasBroker = 10
    /// `use_username_as_clientid`.
    public var useUsernameAsClientID = false
    /// `websockets_origin`: the pages that browsers may come from; empty: any.
    public var origins: [String] = []
    /// `http_dir`: files served beside WebSocket.
    public var httpFolder: MosquittoSettings.Text?
    /// `enable_proxy_protocol`: 1 or 2; 0: not.
    public var proxyProtocol = 0
    /// `proxy_protocol_v2_require_tls`: whether the proxy must have been reached by TLS.
    public var proxyRequiresTLS = false
    /// Its own `password_file` and so on.
    public var security = MosquittoSecurity()

    /// `cafile`.
    public var authorityFile: MosquittoSettings.Text?
    /// `capath`.
    public var authorityFolder: MosquittoSettings.Text?
    /// `certfile`.
    public var certificateFile: MosquittoSettings.Text?
    /// `keyfile`.
    public var keyFile: MosquittoSettings.Text?
    /// `crlfile`.
    public var revocationFile: MosquittoSettings.Text?
    /// `ciphers`, up to TLS 1.2.
    public var ciphers: MosquittoSettings.Text?
    /// `ciphers_tls1.3`.
    public var ciphersTLS13: MosquittoSettings.Text?
    /// `tls_version`: `tlsv1.2` or `tlsv1.3`.
    public var tlsVersion: MosquittoSettings.Text?
    /// `require_certificate`.
    public var requireCertificate = false
    /// `use_identity_as_username`.
    public var useIdentityAsUsername = false
    /// `use_subject_as_username`.
    public var useSubjectAsUsername = false
    /// `disable_client_cert_date_checks`.
    public var disableClientCertificateDateChecks = false
    /// `psk_hint`: makes it a listener with shared keys.
    public var sharedKeyHint: MosquittoSettings.Text?
    /// Where it stands.
    public var place: MosquittoPlace

    /// Makes a listener.
    public init(port: Int, place: MosquittoPlace) {
        self.port = port
        self.place = place
    }
}
