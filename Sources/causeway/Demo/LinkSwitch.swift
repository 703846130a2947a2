import NIOCore
import NIOPosix
import Synchronization

/// The link between site and cloud: passes bytes on until it is cut; while it is cut, nothing connects.
final class LinkSwitch: Sendable {
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let isCut = Atomic<Bool>(false)
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])
    private let target: Int

    /// - Parameter target: The port on 127.0.0.1 that it leads to.
    init(target: Int) { self.target = target }

    /// Listens on a free port of 127.0.0.1 and gives its number.
    func start() async throws -> Int {
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 16)
            .childChannelInitializer { [self] inbound in
                guard !isCut.load(ordering: .relaxed) else { return inbound.close() }
                return join(inbound)
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        guard let port = server.localAddress?.port else { throw StartFailure("The demo's link has no port") }
        return port
    }

    /// Joins a new connection to one to the target. The new one reads nothing before this is done.
    private func join(_ inbound: any Channel) -> EventLoopFuture<Void> {
        ClientBootstrap(group: inbound.eventLoop)
            .channelInitializer { outbound in
                outbound.eventLoop.makeCompletedFuture {
                    try outbound.pipeline.syncOperations.addHandler(Relay(to: inbound))
                }
            }
            .connect(host: "127.0.0.1", port: target)
            .flatMapThrowing { [self] outbound in
                try inbound.pipeline.syncOperations.addHandler(Relay(to: outbound))
                remember(inbound)
                remember(outbound)
            }
    }

    private func remember(_ channel: any Channel) {
        let key = ObjectIdentifier(channel)
        channels.withLock { $0[key] = channel }
        channel.closeFuture.whenComplete { [self] _ in _ = channels.withLock { $0.removeValue(forKey: key) } }
    }

    /// Cuts the link: connections break at once, new ones are refused.
    func cut() {
        isCut.store(true, ordering: .relaxed)
        for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }

    func restore() { isCut.store(false, ordering: .relaxed) }

    func stop() async { try? await group.shutdownGracefully() }

    private final class Relay: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let peer: any Channel

        init(to peer: any Channel) { self.peer = peer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            peer.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { peer.close(promise: nil) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
