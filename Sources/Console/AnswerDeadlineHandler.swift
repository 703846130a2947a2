internal import NIOCore

/// Closes a connection on which no answer has been written for a while: one that sends its request byte by byte, sends
/// a body without end, or does nothing.
final class AnswerDeadlineHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    typealias InboundOut = NIOAny
    typealias OutboundIn = NIOAny
    typealias OutboundOut = NIOAny

    private let limit: TimeAmount
    private var deadline: Scheduled<Void>?

    init(seconds: Int) {
        limit = .seconds(Int64(max(1, seconds)))
    }

    func handlerAdded(context: ChannelHandlerContext) { rearm(context) }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func flush(context: ChannelHandlerContext) {
        rearm(context)
        context.flush()
    }

    private func rearm(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
    }
}
