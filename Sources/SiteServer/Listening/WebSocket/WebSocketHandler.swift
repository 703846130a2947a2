internal import Broker
internal import Logging
internal import MQTT
internal import NIOCore

/// Between TCP or TLS and the connection of a WebSocket listener: first the HTTP request that opens the WebSocket, then
/// its frames. What passes to and from the connection is the stream of MQTT alone.
final class WebSocketHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case opening
        case open
        /// We said that we close, and pass nothing on any more.
        case closing
    }

    /// Payloads up to this length are copied behind their frame's head, so that both make one TLS record.
    private static let copiedBytesMax = 16 << 10

    private let connection: ClientConnection
    private let handshake: WebSocketHandshake
    private let limits: SiteServerLimits
    private var state = State.opening
    private var frames: WebSocketFrameDecoder
    /// Bytes of a head or a control frame that is not whole.
    private var kept = ByteBuffer()

    init(_ connection: ClientConnection, options: SiteServerConfiguration.WebSockets, limits: SiteServerLimits) {
        self.connection = connection
        self.handshake = WebSocketHandshake(options: options)
        self.limits = limits
        self.frames = WebSocketFrameDecoder(
            frameBytesMax: max(limits.webSocketFrameBytesMax, limits.decoder.maxPacketBytes)
        )
    }

    // MARK: - From the client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        if kept.readableBytes > 0 {
            kept.writeBuffer(&bytes)
            bytes = kept
            kept = ByteBuffer()
        }
        if case .opening = state { open(&bytes, context) }
        if case .open = state { read(&bytes, context) }
        guard bytes.readableBytes > 0 else { return }
        switch state {
        case .opening, .open: kept.writeBuffer(&bytes)
        case .closing: break
        }
    }

    private func open(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) {
        do {
            let head = try HTTPRequestHead.parse(
                &bytes,
                bytesMax: limits.httpHeadBytesMax,
                headersMax: limits.httpHeadersMax
            )
            guard let head else {
                connection.holds(preludeBytes: bytes.readableBytes)
                return
            }
            let answer = try handshake.answer(head)
            context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
            state = .open
            connection.upgraded()
        } catch {
            state = .closing
            connection.refusePrelude(error.message)
            connection.finishPrelude()
            let answer = ByteBuffer(string: WebSocketHandshake.answer(error))
            context.writeAndFlush(Self.wrapOutboundOut(answer), promise: nil)
            // Our direction alone: a full close could destroy the answer on its way.
            context.close(mode: .output, promise: nil)
        }
    }

    private func read(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) {
        do {
            while let event = try frames.next(&bytes) {
                switch event {
                case .data(let part): context.fireChannelRead(Self.wrapInboundOut(part))
                case .ping(let payload):
                    // A client that does not read its pongs gets no more of them.
                    guard context.channel.isWritable else { continue }
                    send(WebSocketFrame.pong, payload, context)
                case .pong: break
                case .close(let code):
                    close(code ?? 1000, context)
                    // For MQTT the network is gone: a client that means goodbye says DISCONNECT before.
                    context.close(promise: nil)
                    return
                }
                guard case .open = state else { return }
            }
        } catch {
            connection.driver.counters.handshakeFailures.add()
            let metadata = connection.logMetadata(["cw_reason": "\(error.message)"])
            connection.driver.logPeer(.info, "A WebSocket was closed", metadata, now: .now())
            close(error.code, context)
            connection.transportViolated(error.message)
        }
    }

    // MARK: - To the client

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var payload = Self.unwrapOutboundIn(data)
        let length = payload.readableBytes
        guard case .open = state, length > 0 else {
            promise?.succeed()
            return
        }
        let isCopied = length <= Self.copiedBytesMax
        var frame = context.channel.allocator.buffer(
            capacity: WebSocketFrame.headBytesMax + (isCopied ? length : 0)
        )
        WebSocketFrame.writeHead(WebSocketFrame.binary, length: length, into: &frame)
        guard !isCopied else {
            frame.writeBuffer(&payload)
            context.write(Self.wrapOutboundOut(frame), promise: promise)
            return
        }
        context.write(Self.wrapOutboundOut(frame), promise: nil)
        context.write(Self.wrapOutboundOut(payload), promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        // What was written before goes out first, and then goodbye.
        if mode == .output { close(1000, context) }
        context.close(mode: mode, promise: promise)
    }

    private func send(_ opcode: UInt8, _ payload: ByteBuffer, _ context: ChannelHandlerContext) {
        var payload = payload
        var frame = context.channel.allocator.buffer(capacity: 2 + payload.readableBytes)
        WebSocketFrame.writeHead(opcode, length: payload.readableBytes, into: &frame)
        frame.writeBuffer(&payload)
        context.writeAndFlush(Self.wrapOutboundOut(frame), promise: nil)
    }

    /// Says that we close, once.
    private func close(_ code: UInt16, _ context: ChannelHandlerContext) {
        guard case .open = state else { return }
        state = .closing
        send(WebSocketFrame.close, ByteBuffer(integer: code), context)
    }
}
