extension SiteServerConfiguration {
    /// Which families of addresses a listener binds, in the words of Mosquitto's `socket_domain`.
    public enum AddressFamily: Sendable, Hashable { case any, ipv4, ipv6 }

    /// A socket in the file system (`listener 0 PATH`).
    public struct UnixSocket: Sendable, Hashable {
        /// The most bytes of a path, from the system's `sun_path`.
        static let pathBytesMax = 107

        /// Where it lies. A file there that nobody listens on is replaced; it is removed at the stop.
        public var path: String
        /// The file's permissions; who may write to it may connect.
        public var mode: UInt16

        /// Makes one.
        public init(path: String, mode: UInt16 = 0o600) {
            self.path = path
            self.mode = mode
        }
    }

    /// What a listener's clients speak (`protocol`).
    public enum Transport: Sendable, Hashable {
        /// MQTT over the bare connection.
        case mqtt
        /// MQTT in binary WebSocket messages, subprotocol `mqtt` [MQTT-6.0.0-1] to [MQTT-6.0.0-4].
        case webSockets(WebSockets)
    }

    /// The HTTP side of a WebSocket listener.
    public struct WebSockets: Sendable, Hashable {
        /// The values of the `Origin` header that are let in (`websockets_origin`), such as `https://till.example.com`,
        /// compared as they are, without regard to case. Empty lets in everything; a client that sends no `Origin` is
        /// no browser and is let in always.
        public var origins: [String]
        /// The paths that answer; anything else is not found.
        public var paths: [String]

        /// Makes it.
        public init(origins: [String] = [], paths: [String] = ["/mqtt", "/"]) {
            self.origins = origins
            self.paths = paths
        }
    }

    /// What a proxy in front of a listener says about each connection (`enable_proxy_protocol`).
    public struct ProxyProtocol: Sendable, Hashable {
        /// Which form of the header is taken.
        public enum Version: Sendable, Hashable { case v1, v2, any }

        /// Which form of the header is taken.
        public var version: Version
        /// The networks that proxies are believed from (`proxy_from`), such as `10.0.0.0/8` or `::1`. A connection from
        /// elsewhere is closed. Empty believes everybody, as Mosquitto does: right only where nobody else can connect.
        public var trustedNetworks: [String]
        /// Whether the proxy must say that the client came by TLS (`proxy_protocol_v2_require_tls`).
        public var requireTLS: Bool
        /// Whether the proxy must say that it verified a client certificate (`require_certificate` of a listener
        /// without TLS of its own).
        public var requireCertificate: Bool
        /// Whether the common name that the proxy says is the user name (`use_identity_as_username` of such a
        /// listener).
        public var useIdentityAsUsername: Bool

        /// Makes it.
        public init(
            version: Version,
            trustedNetworks: [String] = [],
            requireTLS: Bool = false,
            requireCertificate: Bool = false,
            useIdentityAsUsername: Bool = false
        ) {
            self.version = version
            self.trustedNetworks = trustedNetworks
            self.requireTLS = requireTLS
            self.requireCertificate = requireCertificate
            self.useIdentityAsUsername = useIdentityAsUsername
        }
    }
}
