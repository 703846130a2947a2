internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Binds a listener and sets its connections up.
struct ListenerSocket: Sendable {
    let listener: SiteServerConfiguration.Listener
    /// What is bound: one address, or those of a name, an interface or the whole machine.
    let addresses: [SocketAddress]
    let security: ListenerSecurity?
    let proxyNetworks: [NetworkPrefix]

    /// Resolves the address, refuses plain TCP beyond loopback, reads the certificates. Blocks: never on a loop.
    init(_ listener: SiteServerConfiguration.Listener) throws(SiteServerError) {
        self.listener = listener
        addresses = try ListenerAddresses.resolve(listener)
        guard listener.tls != nil || listener.insecure || addresses.allSatisfy(PeerAddress.isLoopback) else {
            throw SiteServerError(
                .plaintextBeyondLoopback,
                """
                Listener \(listener.name): plain TCP on \(ListenerAddresses.text(listener)) would send passwords and \
                messages in the clear. Give it tls:, bind it to 127.0.0.1, or say insecure: true
                """
            )
        }
        proxyNetworks = try Self.proxyNetworks(listener)
        security = try listener.tls.map { tls throws(SiteServerError) in
            try TLSContextFactory.security(tls, listener: listener.name)
        }
    }

    /// Makes what the loop knows of it.
    func makeState() -> ListenerState {
        ListenerState(listener: listener, security: security, proxyNetworks: proxyNetworks)
    }

    /// Binds one of its addresses. Connections live on the driver's loop.
    func bind(
        _ address: SocketAddress,
        driver: NIOLoopBound<CoreDriver>,
        state: NIOLoopBound<ListenerState>
    ) -> EventLoopFuture<any Channel> {
        bootstrap(driver: driver, state: state, isVersion6: address.protocol == .inet6).bind(to: address)
    }

    /// Listens on a Unix socket that is bound.
    func bind(
        descriptor: CInt,
        driver: NIOLoopBound<CoreDriver>,
        state: NIOLoopBound<ListenerState>
    ) -> EventLoopFuture<any Channel> {
        bootstrap(driver: driver, state: state, isVersion6: false).withBoundSocket(descriptor)
    }

    private func bootstrap(
        driver: NIOLoopBound<CoreDriver>,
        state: NIOLoopBound<ListenerState>,
        isVersion6: Bool
    ) -> ServerBootstrap {
        let name = listener.name
        let limits = driver.value.limits
        let counters = driver.value.counters
        let logger = driver.value.logger
        let isTCP = listener.unixSocket == nil
        let bootstrap = ServerBootstrap(group: driver.eventLoop)
            .serverChannelOption(.backlog, value: Int32(limits.backlog))
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let backoff = AcceptBackoff(listener: name, counters: counters, logger: logger)
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptBackoffHandler(
                            shouldForwardIOErrorCaught: false,
                            backoffProvider: backoff.delay(after:)
                        )
                    )
                }
            }
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: limits.outboundResumeBytes, high: limits.outboundBytesMax)
            )
            .childChannelOption(.recvAllocator, value: ClientConnection.smallReads)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try ConnectionPipeline.set(up: channel, driver: driver.value, state: state.value)
                }
            }
        guard isTCP else { return bootstrap }
        let tcp =
            bootstrap
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
        return isVersion6 ? tcp.serverChannelOption(ListenerAddresses.version6Only, value: 1) : tcp
    }

    /// Reads the networks of proxies and refuses options that would promise what is not there.
    static func proxyNetworks(
        _ listener: SiteServerConfiguration.Listener
    ) throws(SiteServerError) -> [NetworkPrefix] {
        guard let proxy = listener.proxyProtocol else { return [] }
        var networks: [NetworkPrefix] = []
        for text in proxy.trustedNetworks {
            guard let network = NetworkPrefix(text) else {
                throw SiteServerError(.bind, "Listener \(listener.name): proxy_from \(text) is no network")
            }
            networks.append(network)
        }
        let asksForTLS = proxy.requireTLS || proxy.requireCertificate || proxy.useIdentityAsUsername
        guard proxy.version != .v1 || !asksForTLS else {
            throw SiteServerError(
                .bind,
                "Listener \(listener.name): version 1 of the PROXY protocol says nothing about TLS and certificates"
            )
        }
        guard !proxy.useIdentityAsUsername || proxy.requireCertificate else {
            throw SiteServerError(
                .bind,
                "Listener \(listener.name): use_identity_as_username needs require_certificate: true"
            )
        }
        return networks
    }
}

/// The handlers of a connection: for plain TCP the connection alone, for TLS the two. Others come only where the
/// listener asks for them, and those for the prelude leave when it is over.
enum ConnectionPipeline {
    static func set(up channel: any Channel, driver: CoreDriver, state: ListenerState) throws {
        let pipeline = channel.pipeline.syncOperations
        let connection = ClientConnection(driver: driver, state: state)
        let listener = state.listener
        if let proxy = listener.proxyProtocol {
            try pipeline.addHandler(ProxyHeaderHandler(connection, version: proxy.version))
        }
        if let security = state.security {
            let meter = HandshakeMeter(connection)
            try pipeline.addHandler(meter)
            connection.meter = meter
            try pipeline.addHandler(NIOSSLServerHandler(context: security.context))
        }
        if case .webSockets(let options) = listener.transport {
            try pipeline.addHandler(WebSocketHandler(connection, options: options, limits: driver.limits))
        }
        try pipeline.addHandler(connection)
    }
}
