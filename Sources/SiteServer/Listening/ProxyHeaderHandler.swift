internal import NIOCore

/// Takes the PROXY header off a connection, tells the connection of it, and leaves the pipeline.
final class ProxyHeaderHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connection: ClientConnection
    private let version: SiteServerConfiguration.ProxyProtocol.Version
    private var kept = ByteBuffer()
    private var isOver = false

    init(_ connection: ClientConnection, version: SiteServerConfiguration.ProxyProtocol.Version) {
        self.connection = connection
        self.version = version
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var bytes = Self.unwrapInboundIn(data)
        kept.writeBuffer(&bytes)
        let header: ProxyHeader
        do {
            guard let whole = try ProxyHeader.parse(&kept, version: version) else {
                connection.holds(preludeBytes: kept.capacity)
                return
            }
            header = whole
        } catch {
            isOver = true
            connection.refusePrelude(error.message)
            context.close(promise: nil)
            return
        }
        isOver = true
        connection.holds(preludeBytes: 0)
        guard connection.proxied(header) else { return }
        if kept.readableBytes > 0 {
            context.fireChannelRead(Self.wrapInboundOut(kept))
            context.fireChannelReadComplete()
        }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}
