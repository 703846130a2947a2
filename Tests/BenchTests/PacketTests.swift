import MQTT
import NIOCore
import Testing

@testable import Bench

@Suite struct PublishTemplateTests {
    private func packets(_ buffer: ByteBuffer, version: ProtocolVersion) throws -> [Publish] {
        var buffer = buffer
        var decoder = PacketDecoder(version: version, role: .server)
        var found: [Publish] = []
        while let packet = try decoder.next(&buffer) {
            if case .publish(let publish) = packet { found.append(publish) }
        }
        #expect(buffer.readableBytes == 0)
        return found
    }

    @Test("copies decode as the packets they were made of, with identifiers that skip 0", arguments: QoS.allCases)
    func copies(qos: QoS) throws {
        for version in [ProtocolVersion.v3_1_1, .v5] {
            let template = try #require(PublishTemplate(topic: "a/b", payloadBytes: 300, qos: qos, version: version))
            var buffer = ByteBuffer()
            var packetID = UInt16.max - 2
            template.append(5, to: &buffer, packetID: &packetID)
            #expect(buffer.readableBytes == 5 * template.byteCount)
            let found = try packets(buffer, version: version)
            #expect(found.count == 5)
            #expect(found.allSatisfy { $0.topic == "a/b" && $0.qos == qos && $0.payload.readableBytes == 300 })
            if qos > .atMostOnce {
                #expect(found.map(\.packetID) == [65_534, 65_535, 1, 2, 3])
                #expect(packetID == 3)
            }
        }
    }

    @Test func `a stamp stands at the front of the payload`() throws {
        let template = try #require(PublishTemplate(topic: "t", payloadBytes: 16, qos: .atLeastOnce, version: .v5))
        var buffer = ByteBuffer()
        var packetID: UInt16 = 0
        template.append(1, to: &buffer, packetID: &packetID)
        template.append(stampedWith: 0x0102_0304_0506_0708, to: &buffer, packetID: &packetID)
        let found = try packets(buffer, version: .v5)
        #expect(found.count == 2)
        #expect(found[1].payload.getInteger(at: found[1].payload.readerIndex) == UInt64(0x0102_0304_0506_0708))
        #expect(found[0].payload == ByteBuffer(repeating: UInt8(ascii: "x"), count: 16))
    }

    @Test func `a payload beyond what MQTT can hold makes no template`() {
        #expect(PublishTemplate(topic: "t", payloadBytes: 268_435_456, qos: .atMostOnce, version: .v5) == nil)
    }
}

@Suite struct PacketScannerTests {
    private let stream: ByteBuffer = {
        var buffer = ByteBuffer()
        PacketEncoder.encode(.pingresp, version: .v5, into: &buffer)
        for size in [0, 1, 120, 130, 20_000] {
            PacketEncoder.encodePublish(
                topic: "a/b",
                payload: ByteBuffer(repeating: 7, count: size),
                qos: .atLeastOnce,
                retain: false,
                packetID: UInt16(size + 1),
                version: .v3_1_1,
                into: &buffer
            )
        }
        PacketEncoder.encode(.puback(Acknowledgement(packetID: 513)), version: .v3_1_1, into: &buffer)
        return buffer
    }()

    private func scan(_ pieces: [ByteBuffer]) throws -> [String] {
        var scanner = PacketScanner()
        var found: [String] = []
        for piece in pieces {
            try scanner.scan(piece) { packet in found.append("\(packet.type) \(packet.body.count) \(packet.number)") }
        }
        return found
    }

    @Test func `packets are found wherever the stream is cut`() throws {
        let whole = try scan([stream])
        #expect(whole.count == 7)
        #expect(whole.last == "4 2 513")
        let bytes = stream.readableBytes
        for cut in Set(0...min(400, bytes)).union([bytes - 1, bytes - 3, bytes - 5]) {
            let front = try #require(stream.getSlice(at: 0, length: cut))
            let back = try #require(stream.getSlice(at: cut, length: bytes - cut))
            #expect(try scan([front, back]) == whole, "cut at \(cut)")
        }
    }

    @Test func `packets are found when every byte comes alone`() throws {
        let front = try #require(stream.getSlice(at: 0, length: 300))
        let single = front.readableBytesView.map { ByteBuffer(bytes: [$0]) }
        #expect(try scan(single) == scan([front]))
    }

    @Test func `a length of five bytes is no packet`() {
        #expect(throws: BenchError.badPacket) {
            _ = try scan([ByteBuffer(bytes: [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01])])
        }
    }
}
