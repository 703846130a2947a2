import MQTT
import NIOCore
import Testing

/// What is judged without being taken apart against what the decoder makes of it.
@Suite struct PlainPacketTests {
    @Test("a packet that is judged plain is the packet that the decoder gives, whatever the bytes are")
    func plainIsAPart() {
        var random = SeededGenerator(seed: .random(in: 0 ... .max))
        var plain = 0
        for _ in 0..<20_000 {
            let version = random.pick([ProtocolVersion.v3_1, .v3_1_1, .v5])
            var limits = DecoderLimits()
            limits.maxPacketBytes = 20_000
            limits.maxTopicLevels = 4
            limits.maxTopicBytes = 200
            let decoder = PacketDecoder(limits: limits, version: version)
            var bytes = Self.packet(version, &random)
            if random.oneIn(3) {
                let index = bytes.readerIndex + random.int(0...min(12, bytes.readableBytes - 1))
                bytes.setInteger(UInt8(random.int(0...255)), at: index)
            }
            if random.oneIn(8) { bytes = bytes.getSlice(at: 0, length: random.int(0...bytes.readableBytes)) ?? bytes }
            guard let judged = bytes.withUnsafeReadableBytes({ decoder.plainPacket(in: $0, at: 0) }) else { continue }
            plain += 1
            var whole = decoder
            var rest = bytes
            let packet = try? whole.next(&rest)
            #expect(Self.isSame(judged, packet, bytes, end: rest.readerIndex), "seed \(random.seed)")
        }
        #expect(plain > 2_000, "seed \(random.seed)")
    }

    @Test("a topic that repeats is told from one that only is as long")
    func sameTopic() throws {
        var bytes = ByteBuffer()
        for topic in ["a/b", "a/b", "a/c"] as [TopicName] {
            PacketEncoder.encodePublish(
                topic: topic,
                payload: ByteBuffer(),
                qos: .atMostOnce,
                retain: false,
                packetID: 0,
                version: .v3_1_1,
                into: &bytes
            )
        }
        let decoder = PacketDecoder(version: .v3_1_1)
        var found: [Bool] = []
        bytes.withUnsafeReadableBytes { bytes in
            var previous: Range<Int>?
            var offset = 0
            while case .publish(let publish)? = decoder.plainPacket(in: bytes, at: offset, previous: previous) {
                found.append(publish.hasSameTopic)
                previous = publish.topic
                offset = publish.end
            }
        }
        #expect(found == [false, true, false])
    }

    private static func packet(_ version: ProtocolVersion, _ random: inout SeededGenerator) -> ByteBuffer {
        var bytes = ByteBuffer()
        guard !random.oneIn(4) else {
            let answer = Acknowledgement(packetID: UInt16(random.int(1...65_535)))
            PacketEncoder.encode(.puback(answer), version: version, into: &bytes)
            return bytes
        }
        let qos = random.pick([QoS.atMostOnce, .atLeastOnce, .exactlyOnce])
        PacketEncoder.encodePublish(
            topic: random.pick(["a", "a/b/c", "ä/€", "a/b/c/d/e", "with\u{1}control", "a/+", "", "\u{FFFE}"]),
            payload: ByteBuffer(repeating: 7, count: random.pick([0, 1, 100, 120, 130, 16_380, 17_000])),
            qos: qos,
            retain: random.oneIn(6),
            duplicate: qos != .atMostOnce && random.oneIn(6),
            packetID: qos == .atMostOnce ? 0 : UInt16(random.int(0...3)),
            properties: random.oneIn(4) ? [.contentType("x")] : [],
            version: version,
            into: &bytes
        )
        return bytes
    }

    private static func isSame(_ judged: PlainPacket, _ packet: Packet?, _ bytes: ByteBuffer, end: Int) -> Bool {
        switch (judged, packet) {
        case (.puback(let packetID, let start), .puback(let answer)?):
            return start == 0 && end == 4 && answer == Acknowledgement(packetID: packetID)
        case (.publish(let plain), .publish(let publish)?):
            return plain.start == 0 && plain.end == end && plain.qos == publish.qos
                && plain.packetID == publish.packetID
                && bytes.getSlice(at: plain.topic.lowerBound, length: plain.topic.count) == publish.topic.bytes
                && bytes.getSlice(at: plain.payloadStart, length: plain.payloadBytes) == publish.payload
                && !publish.retain && !publish.duplicate && publish.properties.isEmpty
        default: return false
        }
    }
}
