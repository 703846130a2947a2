/// A socket that devices connect to: an entry of `listeners:`.
public struct ListenerConfiguration: Sendable, Hashable {
    /// `name`: what logs and metrics call it. Default: the address it is bound to.
    public var name: String
    /// `bind`: address and port.
    public var bind: NetworkAddress
    /// `insecure`: whether plain TCP beyond loopback is meant. Default: false, and then it is refused.
    public var isInsecureAllowed: Bool
    /// `allow_anonymous`: whether clients may enter without a user name. Default: true on a loopback listener without
    /// TLS when no `users` are configured, false everywhere else.
    public var allowAnonymous: Bool
    /// `tls`: nil for plain TCP.
    public var tls: ListenerTLS?
    /// `max_connections`: how many clients at once; further ones are closed. Default 10,000.
    public var maxConnections: Int
    /// `max_packet_size`: the largest packet taken from a client, in bytes. Default: that of `limits`.
    /// Not acted upon yet, which a warning says.
    public var maxPacketBytes: Int
    /// `max_keepalive`: the longest keep alive a client is granted, in seconds. Default: that of `limits`.
    /// Not acted upon yet, which a warning says.
    public var maxKeepAliveSeconds: Int
    /// Where it stands in the file.
    public var position: SourcePosition
}

/// TLS of a listener.
public struct ListenerTLS: Sendable, Hashable {
    /// `certfile`: the server's certificate and the chain above it, PEM.
    public var certificateFile: String
    /// `keyfile`: its private key, PEM.
    public var keyFile: String
    /// `cafile`: the authorities whose client certificates are accepted, PEM. Needed for `require_certificate`.
    public var authorityFile: String?
    /// `require_certificate`: whether a client must show a certificate. Default false.
    public var requireCertificate: Bool
    /// `use_identity_as_username`: whether the common name of the client's certificate is its user name. Default false.
    public var useIdentityAsUsername: Bool
    /// `tls_version`: the oldest version spoken. Default 1.2.
    public var minimumVersion: TLSVersion
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
