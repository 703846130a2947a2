public import Broker

/// What a ``SiteServer`` is told at its start.
public struct SiteServerConfiguration: Sendable, Hashable {
    /// One socket that clients connect to.
    public struct Listener: Sendable, Hashable {
        /// What logs and metrics call it.
        public var name: String
        /// The address or host name to bind, such as `127.0.0.1`, `0.0.0.0`, `::`. Empty binds all addresses of the
        /// machine, of IPv4 and of IPv6. A name is bound on every address that it stands for.
        ///
        /// A socket of IPv6 takes IPv6 alone, so that one address never serves two families by accident.
        public var host: String
        /// The port; 0 takes any free one, which ``BoundListener/port`` then says.
        public var port: Int
        /// The path of a Unix socket to bind instead of an address.
        public var unixSocket: UnixSocket?
        /// The network interface whose addresses are bound (`bind_interface`), instead of `host`.
        public var interface: String?
        /// Which families of addresses are bound (`socket_domain`).
        public var family = AddressFamily.any
        /// What is spoken (`protocol`).
        public var transport = Transport.mqtt
        /// The PROXY header that comes first on every connection, or nil if there is none.
        public var proxyProtocol: ProxyProtocol?
        /// TLS, or nil for none.
        public var tls: TLS?
        /// Whether plain TCP is meant on an address that is not loopback. Without it such a listener is refused.
        public var insecure: Bool
        /// Whether a client without credentials is let in.
        public var allowAnonymous: Bool
        /// Connections of this listener at once (`max_connections`); further ones are closed at once.
        public var connectionsMax: Int
        /// PUBLISH packets taken from one client in a second (`max_publish_rate`); nil leaves it to
        /// ``SiteServerLimits/publishRateMax``.
        public var publishRateMax: Int?
        /// Bytes of PUBLISH packets taken from one client in a second (`max_publish_bytes_per_second`); nil leaves it
        /// to ``SiteServerLimits/publishBytesPerSecondMax``.
        public var publishBytesPerSecondMax: Int?
        /// What it asks of its clients and grants them.
        public var policy: ListenerPolicy

        /// Makes a listener.
        public init(
            name: String,
            host: String,
            port: Int,
            tls: TLS? = nil,
            insecure: Bool = false,
            allowAnonymous: Bool = false,
            connectionsMax: Int = 10_000,
            policy: ListenerPolicy = ListenerPolicy()
        ) {
            self.name = name
            self.host = host
            self.port = port
            self.tls = tls
            self.insecure = insecure
            self.allowAnonymous = allowAnonymous
            self.connectionsMax = connectionsMax
            self.policy = policy
        }

        /// Makes a listener on a Unix socket. It needs no `insecure`: who may open the file may connect.
        public init(
            name: String,
            unixSocket: UnixSocket,
            allowAnonymous: Bool = false,
            connectionsMax: Int = 10_000,
            policy: ListenerPolicy = ListenerPolicy()
        ) {
            self.init(
                name: name,
                host: "",
                port: 0,
                allowAnonymous: allowAnonymous,
                connectionsMax: connectionsMax,
                policy: policy
            )
            self.unixSocket = unixSocket
        }
    }

    /// The sockets.
    public var listeners: [Listener]
    /// The bounds.
    public var limits: SiteServerLimits
    /// How long journal records stay after every reader has passed them, for replay.
    public var journalKeep: Duration

    /// Makes a configuration.
    public init(
        listeners: [Listener],
        limits: SiteServerLimits = SiteServerLimits(),
        journalKeep: Duration = .zero
    ) {
        self.listeners = listeners
        self.limits = limits
        self.journalKeep = journalKeep
    }
}

/// A listener that is up, with the address it really has.
public struct BoundListener: Sendable, Hashable {
    /// The name of the configuration.
    public let name: String
    /// The IP address, the first one of several; the path of a Unix socket.
    public let address: String
    /// The port, never 0 except for a Unix socket.
    public let port: Int
    /// Whether it speaks TLS.
    public let isTLS: Bool
}
