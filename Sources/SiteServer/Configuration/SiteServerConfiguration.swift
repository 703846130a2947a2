public import Broker

/// What a ``SiteServer`` is told at its start.
public struct SiteServerConfiguration: Sendable, Hashable {
    /// One socket that clients connect to.
    public struct Listener: Sendable, Hashable {
        /// What logs and metrics call it.
        public var name: String
        /// The address or host name to bind, such as `127.0.0.1`, `0.0.0.0`, `::`.
        public var host: String
        /// The port; 0 takes any free one, which ``BoundListener/port`` then says.
        public var port: Int
        /// TLS, or nil for plain TCP.
        public var tls: TLS?
        /// Whether plain TCP is meant on an address that is not loopback. Without it such a listener is refused.
        public var insecure: Bool
        /// Whether a client without credentials is let in.
        public var allowAnonymous: Bool
        /// Connections of this listener at once; further ones are closed at once.
        public var connectionsMax: Int
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
    }

    /// TLS of a listener. Files are PEM.
    public struct TLS: Sendable, Hashable {
        /// The oldest protocol version that is spoken.
        public enum Version: Sendable, Hashable { case tls12, tls13 }

        /// The server's certificate, followed by the chain above it.
        public var certificateFile: String
        /// Its private key.
        public var keyFile: String
        /// The authorities whose client certificates are accepted.
        public var authorityFile: String?
        /// Whether a client must show a certificate of these authorities. Needs `authorityFile`.
        public var requireCertificate: Bool
        /// Whether the common name of the verified client certificate is the user name.
        public var useIdentityAsUsername: Bool
        /// The oldest version spoken; 1.2 is the floor.
        public var minimumVersion: Version

        /// Makes TLS options.
        public init(
            certificateFile: String,
            keyFile: String,
            authorityFile: String? = nil,
            requireCertificate: Bool = false,
            useIdentityAsUsername: Bool = false,
            minimumVersion: Version = .tls12
        ) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.authorityFile = authorityFile
            self.requireCertificate = requireCertificate
            self.useIdentityAsUsername = useIdentityAsUsername
            self.minimumVersion = minimumVersion
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
    /// The IP address.
    public let address: String
    /// The port, never 0.
    public let port: Int
    /// Whether it speaks TLS.
    public let isTLS: Bool
}
