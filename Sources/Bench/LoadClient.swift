import MQTT
import NIOCore

/// Who is told what happens to a client. Called on the client's loop.
protocol LoadClientOwner: AnyObject {
    /// It is connected, and subscribed where it wanted to be.
    func isReady(_ client: LoadClient)
    /// Messages or acknowledgements have come.
    func hasProgress()
    /// It is gone, and nobody asked it to.
    func failed(_ client: LoadClient, _ error: BenchError)
}

/// What all clients of a load have done together. Confined to their loop.
final class LoadCounts {
    /// Messages handed to connections.
    var sent: UInt64 = 0
    /// Messages that came.
    var delivered: UInt64 = 0
    /// Messages that were acknowledged to their publishers: PUBACK, or PUBCOMP with QoS 2.
    var acknowledged: UInt64 = 0
    /// Acknowledgements that say no (MQTT 5.0).
    var refused: UInt64 = 0
    /// Latencies, where the messages carry the time they were due.
    var latency: LatencyRecorder?
}

/// One connection of a load, MQTT over plain TCP or behind a TLS handler. Confined to its loop.
///
/// It counts and acknowledges what comes and sends copies of a template. What one turn of the loop brings is answered
/// with one write.
final class LoadClient: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a client is for.
    struct Purpose {
        var clientID: String
        var cleanStart = true
        var filter: String?
        var topic: String?
        var qos = QoS.atMostOnce
        var payloadBytes = 0
    }

    private enum State { case connecting, subscribing, ready, closing, closed }

    private(set) var sent: UInt64 = 0
    private(set) var acknowledged: UInt64 = 0
    /// Set by the owner too, when it gives up on messages that did not come.
    var delivered: UInt64 = 0
    /// The receiver of this publisher's messages, where it has one of its own.
    var peer: LoadClient?

    let purpose: Purpose
    private let target: BenchTarget
    private let counts: LoadCounts
    private unowned let owner: any LoadClientOwner
    private let template: PublishTemplate?
    private var scanner = PacketScanner()
    private var outgoing = ByteBuffer()
    private var packetID: UInt16 = 0
    private var state = State.connecting
    private var context: ChannelHandlerContext?

    /// - Throws: ``BenchError/settings(_:)`` for a payload that no packet can hold.
    init(
        _ purpose: Purpose,
        target: BenchTarget,
        counts: LoadCounts,
        owner: any LoadClientOwner
    ) throws(BenchError) {
        self.purpose = purpose
        self.target = target
        self.counts = counts
        self.owner = owner
        guard let topic = purpose.topic else {
            template = nil
            return
        }
        template = PublishTemplate(
            topic: topic,
            payloadBytes: purpose.payloadBytes,
            qos: purpose.qos,
            version: target.version
        )
        if template == nil { throw .settings("the payload is larger than a packet may be") }
    }

    var isReady: Bool { state == .ready }

    // MARK: - Sending

    /// Whether the connection takes more now.
    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// Sends up to `count` messages in one write; returns how many.
    func send(_ count: Int) -> Int {
        guard let template, count > 0, isWritable else { return 0 }
        let fitting = min(count, max(1, BenchLimits.writeBytesMax / template.byteCount))
        template.append(fitting, to: &outgoing, packetID: &packetID)
        sent += UInt64(fitting)
        counts.sent += UInt64(fitting)
        flush()
        return fitting
    }

    /// Gathers a message that was due at a time; ``flush()`` sends what was gathered.
    func gather(dueNanoseconds: UInt64) {
        guard let template else { return }
        template.append(stampedWith: dueNanoseconds, to: &outgoing, packetID: &packetID)
        sent += 1
        counts.sent += 1
    }

    /// Writes what was gathered.
    func flush() {
        guard outgoing.readableBytes > 0, let context else { return }
        context.writeAndFlush(wrapOutboundOut(outgoing), promise: nil)
        // Without a copy if it has been written, as mostly; else the connection keeps the old one.
        outgoing.clear()
    }

    /// Leaves, with DISCONNECT, or without a word as a device that loses power.
    func close(politely: Bool) {
        guard state != .closing, state != .closed else { return }
        state = .closing
        guard let context else { return }
        if politely { outgoing.writeBytes([0xE0, 0]) }
        flush()
        context.close(promise: nil)
    }

    // MARK: - Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        begin()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do throws(BenchError) {
            try scanner.scan(unwrapInboundIn(data)) { packet throws(BenchError) in try received(packet) }
        } catch {
            fail(error)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
        if state == .ready { owner.hasProgress() }
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if state == .ready, context.channel.isWritable { owner.hasProgress() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(.closed)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(.unreachable("\(error)"))
    }

    /// The connection ends; the owner hears of it unless it wanted that.
    func fail(_ error: BenchError) {
        let wasWanted = state == .closing || state == .closed
        state = .closed
        context?.close(promise: nil)
        if !wasWanted { owner.failed(self, error) }
    }

    // MARK: - Packets

    private func begin() {
        guard state == .connecting, outgoing.readableBytes == 0 else { return }
        let connect = Connect(
            version: target.version,
            clientID: purpose.clientID,
            cleanStart: purpose.cleanStart,
            keepAliveSeconds: 0,
            username: target.username,
            password: target.password.map { ByteBuffer(string: $0) },
            properties: purpose.cleanStart ? [] : Properties([.sessionExpiryInterval(.max)])
        )
        PacketEncoder.encode(.connect(connect), version: target.version, into: &outgoing)
        flush()
    }

    private func received(_ packet: ScannedPacket) throws(BenchError) {
        switch packet.type {
        case 2: try connected(packet)
        case 3: try delivered(packet)
        case 4, 7:
            acknowledged += 1
            counts.acknowledged += 1
            if packet.body.count > 2, packet.body[2] >= 0x80 { counts.refused += 1 }
        case 5: answer(0x62, packet.number)
        case 6: answer(0x70, packet.number)
        case 9 where state == .subscribing:
            guard let code = packet.body.last, code <= 2 else {
                throw .subscriptionRefused(packet.body.last ?? 0x80)
            }
            becomeReady()
        case 14: throw .closed
        default: break
        }
    }

    private func connected(_ packet: ScannedPacket) throws(BenchError) {
        guard state == .connecting, packet.body.count >= 2 else { throw .badPacket }
        guard packet.body[1] == 0 else { throw .refused(packet.body[1]) }
        guard let filter = purpose.filter else { return becomeReady() }
        state = .subscribing
        let request = Subscribe.Request(filter: filter, options: SubscriptionOptions(qos: purpose.qos))
        let subscribe = Subscribe(packetID: 1, requests: [request])
        PacketEncoder.encode(.subscribe(subscribe), version: target.version, into: &outgoing)
    }

    private func becomeReady() {
        state = .ready
        owner.isReady(self)
    }

    private func delivered(_ packet: ScannedPacket) throws(BenchError) {
        delivered += 1
        counts.delivered += 1
        let qos = packet.head >> 1 & 3
        guard qos > 0 || counts.latency != nil else { return }
        var offset = 2 + Int(packet.number)
        guard offset + 2 <= packet.body.count || qos == 0 else { throw .badPacket }
        if qos > 0 {
            let packetID = UInt16(packet.body[offset]) << 8 | UInt16(packet.body[offset + 1])
            answer(qos == 1 ? 0x40 : 0x50, packetID)
            offset += 2
        }
        guard counts.latency != nil else { return }
        // Ours have no properties, and a broker adds none that would make their length longer than a byte.
        if target.version == .v5, offset < packet.body.count { offset += 1 + Int(packet.body[offset]) }
        guard offset + 8 <= packet.body.count else { throw .badPacket }
        let due = packet.body.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        counts.latency?.record(dueNanoseconds: UInt64(bigEndian: due))
    }

    private func answer(_ head: UInt8, _ packetID: UInt16) {
        outgoing.writeMultipleIntegers(head, UInt8(2), packetID)
    }
}
