import Broker
import MQTT
import NIOCore
import NIOPosix
import NIOSSL
import SiteServer
import Synchronization

/// What all simulated devices have done.
final class FleetCounters: Sendable {
    /// Messages that were sent.
    let published = Atomic<UInt64>(0)
    /// Messages that the site has acknowledged: from here on they are its responsibility.
    let acknowledged = Atomic<UInt64>(0)
    /// Connections that are up.
    let connected = Atomic<UInt64>(0)
    /// Connections that broke or were refused.
    let failures = Atomic<UInt64>(0)
}

/// One simulated device: an MQTT 3.1.1 client over mutual TLS that plays a script with QoS 1. Confined to its loop.
final class DeviceClient: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let inflightMax = 16

    private var script: any DeviceScript
    private var random: DemoRandom
    private let speed: Double
    private let counters: FleetCounters
    private let isStopped: @Sendable () -> Bool
    private var decoder = PacketDecoder(version: .v3_1_1, role: .client)
    private var inbound = ByteBuffer()
    private var waiting: [DeviceMessage] = []
    private var inflight: Set<UInt16> = []
    private var nextPacketID: UInt16 = 1

    init(
        script: any DeviceScript,
        seed: UInt64,
        speed: Double,
        counters: FleetCounters,
        isStopped: @escaping @Sendable () -> Bool
    ) {
        self.script = script
        self.random = DemoRandom(state: seed)
        self.speed = speed
        self.counters = counters
        self.isStopped = isStopped
    }

    func channelActive(context: ChannelHandlerContext) {
        write(.connect(Connect(version: .v3_1_1, clientID: script.name, keepAliveSeconds: 60)), context)
        context.flush()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        inbound.writeBuffer(&bytes)
        do throws(MQTTError) {
            while let packet = try decoder.next(&inbound) { received(packet, context) }
        } catch {
            context.close(promise: nil)
        }
        inbound.discardReadBytes()
    }

    func channelInactive(context: ChannelHandlerContext) {
        counters.connected.subtract(1, ordering: .relaxed)
        if !isStopped() { counters.failures.add(1, ordering: .relaxed) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func received(_ packet: Packet, _ context: ChannelHandlerContext) {
        switch packet {
        case .connack(let connack):
            guard connack.reason == .success else {
                context.close(promise: nil)
                return
            }
            counters.connected.add(1, ordering: .relaxed)
            scheduleNext(context)
        case .puback(let answer):
            guard inflight.remove(answer.packetID) != nil else { return }
            counters.acknowledged.add(1, ordering: .relaxed)
            sendWaiting(context)
        default: break
        }
    }

    private func scheduleNext(_ context: ChannelHandlerContext) {
        let seconds = script.pause(&random) / speed
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .microseconds(Int64(seconds * 1e6))) {
            let (device, context) = bound.value
            device.play(context)
        }
    }

    private func play(_ context: ChannelHandlerContext) {
        guard context.channel.isActive, !isStopped() else { return }
        // What cannot be sent yet must not pile up: a real device measures anew instead.
        if waiting.isEmpty {
            waiting = script.next(nowMilliseconds: BrokerTime.now().wallMilliseconds, &random)
            sendWaiting(context)
        }
        scheduleNext(context)
    }

    private func sendWaiting(_ context: ChannelHandlerContext) {
        var hasSent = false
        while !waiting.isEmpty, inflight.count < Self.inflightMax {
            let message = waiting.removeFirst()
            while nextPacketID == 0 || inflight.contains(nextPacketID) { nextPacketID &+= 1 }
            inflight.insert(nextPacketID)
            let publish = Publish(
                topic: TopicName(uncheckedBytes: ByteBuffer(string: message.topic)),
                payload: ByteBuffer(string: message.payload),
                qos: .atLeastOnce,
                packetID: nextPacketID
            )
            nextPacketID &+= 1
            counters.published.add(1, ordering: .relaxed)
            write(.publish(publish), context)
            hasSent = true
        }
        if hasSent { context.flush() }
    }

    private func write(_ packet: Packet, _ context: ChannelHandlerContext) {
        var bytes = context.channel.allocator.buffer(capacity: 256)
        PacketEncoder.encode(packet, version: .v3_1_1, into: &bytes)
        context.write(wrapOutboundOut(bytes), promise: nil)
    }
}
