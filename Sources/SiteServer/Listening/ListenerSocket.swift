internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// Binds a listener and sets its connections up.
struct ListenerSocket {
    let index: Int
    let listener: SiteServerConfiguration.Listener
    let address: SocketAddress
    let tls: NIOSSLContext?

    /// Resolves the address, refuses plain TCP beyond loopback, reads the certificates. Blocks: never on a loop.
    init(index: Int, listener: SiteServerConfiguration.Listener) throws(SiteServerError) {
        self.index = index
        self.listener = listener
        do {
            address = try SocketAddress.makeAddressResolvingHost(listener.host, port: listener.port)
        } catch {
            throw SiteServerError(
                .bind,
                "Listener \(listener.name): \(listener.host):\(listener.port) is not an address of this machine",
                cause: error
            )
        }
        guard let options = listener.tls else {
            tls = nil
            guard listener.insecure || PeerAddress.isLoopback(address) else {
                throw SiteServerError(
                    .plaintextBeyondLoopback,
                    """
                    Listener \(listener.name): plain TCP on \(listener.host) would send passwords and messages in the \
                    clear. Give it tls:, bind it to 127.0.0.1, or say insecure: true
                    """
                )
            }
            return
        }
        tls = try TLSContextFactory.context(options, listener: listener.name)
    }

    /// Binds it. Connections live on the driver's loop.
    func bind(
        driver: NIOLoopBound<CoreDriver>,
        limits: SiteServerLimits,
        counters: ServerCounters,
        logger: Logger
    ) -> EventLoopFuture<any Channel> {
        let index = index
        let listener = listener
        let tls = tls
        return ServerBootstrap(group: driver.eventLoop)
            .serverChannelOption(.backlog, value: Int32(limits.backlog))
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let backoff = AcceptBackoff(listener: listener.name, counters: counters, logger: logger)
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptBackoffHandler(
                            shouldForwardIOErrorCaught: false,
                            backoffProvider: backoff.delay(after:)
                        )
                    )
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: limits.outboundResumeBytes, high: limits.outboundBytesMax)
            )
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(
                    minimum: min(1 << 10, limits.readBytesMax),
                    initial: min(4 << 10, limits.readBytesMax),
                    maximum: limits.readBytesMax
                )
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.addHandler(
                        ClientConnection(driver: driver.value, listenerIndex: index, listener: listener)
                    )
                }
            }
            .bind(to: address)
    }
}

/// What follows a failure of `accept` (no file descriptor left, no memory): a log line now and then, a pause, another
/// try. The listener stays.
final class AcceptBackoff: Sendable {
    private static let pause = TimeAmount.milliseconds(500)
    private static let logInterval = TimeAmount.seconds(30)

    private let listener: String
    private let counters: ServerCounters
    private let logger: Logger
    private let nextLog = Mutex(NIODeadline.distantPast)

    init(listener: String, counters: ServerCounters, logger: Logger) {
        self.listener = listener
        self.counters = counters
        self.logger = logger
    }

    func delay(after error: IOError) -> TimeAmount? {
        counters.acceptFailures.add()
        let now = NIODeadline.now()
        let isLogged = nextLog.withLock { next in
            guard now >= next else { return false }
            next = now + Self.logInterval
            return true
        }
        if isLogged {
            logger.error(
                "Connections cannot be accepted for now",
                metadata: ["cw_listener": "\(listener)", "cw_error": "\(error)"]
            )
        }
        return Self.pause
    }
}
