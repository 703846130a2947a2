internal import NIOSSL

/// A listener as the loop knows it: what a reload may change, and its connections. Confined to the driver's loop.
final class ListenerState {
    /// What it asks of its clients and grants them, for those who connect from now on.
    var listener: SiteServerConfiguration.Listener
    /// Its TLS, for those who connect from now on.
    var security: ListenerSecurity?
    /// The networks that proxies are believed from.
    var proxyNetworks: [NetworkPrefix]
    /// Connections now.
    var connections = 0

    init(listener: SiteServerConfiguration.Listener, security: ListenerSecurity?, proxyNetworks: [NetworkPrefix]) {
        self.listener = listener
        self.security = security
        self.proxyNetworks = proxyNetworks
    }
}

/// What a listener's files say: certificate and key, authorities, lists of revoked certificates.
struct ListenerSecurity: Sendable {
    let context: NIOSSLContext
    /// The lists of revoked certificates; nil if none are asked for.
    let revocation: RevocationCheck?
    /// SHA-256 of the server's certificate, as hexadecimal digits: what tells one from the next.
    let fingerprint: String
}
