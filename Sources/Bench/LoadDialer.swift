import NIOCore
import NIOPosix

/// Makes the connections of a load, all on one loop: the generator is one thread, as a broker's core is.
struct LoadDialer {
    let loop: any EventLoop
    let target: BenchTarget
    private let address: SocketAddress

    /// Resolves the host by connecting once, so that the address is one that answers.
    ///
    /// - Throws: ``BenchError/unreachable(_:)``
    init(loop: any EventLoop, target: BenchTarget) async throws(BenchError) {
        self.loop = loop
        self.target = target
        let remote: SocketAddress?
        do {
            let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(BenchLimits.connectSecondsMax))
            let channel = try await bootstrap.connect(host: target.host, port: target.port).get()
            remote = channel.remoteAddress
            try await channel.close()
        } catch {
            throw .unreachable("\(target.host):\(target.port): \(error)")
        }
        guard let remote else { throw .unreachable("\(target.host):\(target.port) went at once") }
        address = remote
    }

    /// Connects a client; it tells its owner how that ends. On the loop.
    func dial(_ client: LoadClient) {
        let bound = NIOLoopBound(client, eventLoop: loop)
        let tls = target.tls
        ClientBootstrap(group: loop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: BenchLimits.readBytesMax)
            )
            .connectTimeout(.seconds(BenchLimits.connectSecondsMax))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(tls.makeHandler()) }
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(to: address)
            .whenFailure { bound.value.fail(.unreachable("\($0)")) }
    }
}
