import Broker
import MQTT
import NIOCore

/// One hot path: prepared once, then done over and over.
struct HotPath {
    let name: String
    /// Messages that one call of the operation handles, by which its allocations are divided.
    let messages: Int
    let operation: () -> Void
}

enum HotPaths {
    private static let payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: 64)

    /// The paths that every message takes.
    static var all: [() -> HotPath] {
        [decode, encode, routeNobody, deliverOne, deliverMany, deliverQoS1, commitQoS1]
    }

    private static func publish(_ topic: String, qos: QoS = .atMostOnce) -> ByteBuffer {
        var buffer = ByteBuffer()
        PacketEncoder.encodePublish(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: topic)),
            payload: payload,
            qos: qos,
            retain: false,
            packetID: 7,
            version: .v3_1_1,
            into: &buffer
        )
        return buffer
    }

    /// The packet of some bytes, as the server decodes it: its topic and payload are slices of what was read.
    private static func packet(_ bytes: ByteBuffer) -> Packet {
        var (decoder, bytes) = (PacketDecoder(version: .v3_1_1), bytes)
        guard let packet = try? decoder.next(&bytes) else { preconditionFailure("our own packet does not decode") }
        return packet
    }

    /// 100 packets of one read.
    private static func decode() -> HotPath {
        var read = ByteBuffer()
        for _ in 0..<100 { read.writeImmutableBuffer(publish("site/line/1")) }
        return HotPath(name: "decode a PUBLISH", messages: 100) {
            var (decoder, bytes) = (PacketDecoder(version: .v3_1_1), read)
            while (try? decoder.next(&bytes)) != nil {}
        }
    }

    private static func routeNobody() -> HotPath {
        let site = HotSite()
        let sender = site.connect(0)
        let packet = packet(publish("site/line/1"))
        return HotPath(name: "route QoS 0 to nobody", messages: 1) { site.receive(packet, from: sender) }
    }

    private static func deliverOne() -> HotPath {
        let site = HotSite()
        let sender = site.connect(0)
        _ = site.connect(1, filter: "site/line/1")
        let packet = packet(publish("site/line/1"))
        return HotPath(name: "route, deliver and encode QoS 0, 1 to 1", messages: 1) {
            site.receive(packet, from: sender)
        }
    }

    private static func deliverMany() -> HotPath {
        let site = HotSite()
        let sender = site.connect(0)
        for slot in 1...50 as ClosedRange<UInt32> { _ = site.connect(slot, filter: "site/line/+") }
        let packet = packet(publish("site/line/1"))
        return HotPath(name: "route, deliver and encode QoS 0, 1 to 50, for each", messages: 50) {
            site.receive(packet, from: sender)
        }
    }

    private static func deliverQoS1() -> HotPath {
        let site = HotSite()
        let sender = site.connect(0)
        _ = site.connect(1, filter: "site/line/1", qos: .atLeastOnce)
        let packet = packet(publish("site/line/1", qos: .atLeastOnce))
        return HotPath(name: "QoS 1 between clean sessions, with both acknowledgements", messages: 1) {
            site.receive(packet, from: sender)
            site.acknowledgeAll()
        }
    }

    private static func commitQoS1() -> HotPath {
        let site = HotSite()
        let sender = site.connect(0)
        _ = site.connect(1, cleanStart: false, filter: "site/line/1", qos: .atLeastOnce)
        let packet = packet(publish("site/line/1", qos: .atLeastOnce))
        return HotPath(name: "QoS 1 through the journal: record, commit, both acknowledgements", messages: 1) {
            site.receive(packet, from: sender)
            site.acknowledgeAll()
        }
    }

    private static func encode() -> HotPath {
        var output = ByteBuffer()
        output.reserveCapacity(1 << 16)
        let topic = TopicName(uncheckedBytes: ByteBuffer(string: "site/line/1"))
        return HotPath(name: "encode a PUBLISH", messages: 100) {
            for packetID in 1...100 as ClosedRange<UInt16> {
                PacketEncoder.encodePublish(
                    topic: topic,
                    payload: payload,
                    qos: .atLeastOnce,
                    retain: false,
                    packetID: packetID,
                    version: .v3_1_1,
                    into: &output
                )
            }
            output.clear()
        }
    }
}
