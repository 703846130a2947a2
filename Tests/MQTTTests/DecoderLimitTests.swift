import MQTT
import NIOCore
import Testing

@Suite("Limits of the decoder")
struct DecoderLimitTests {
    private func error(_ bytes: [UInt8], _ decoder: PacketDecoder) -> MQTTError? {
        var decoder = decoder
        var buffer = ByteBuffer(bytes: bytes)
        do {
            _ = try decoder.next(&buffer)
            return nil
        } catch {
            return error
        }
    }

    private func publish(payloadBytes: Int) -> [UInt8] {
        var buffer = ByteBuffer()
        PacketEncoder.encode(
            .publish(Publish(topic: "a", payload: ByteBuffer(repeating: 0, count: payloadBytes))),
            version: .v3_1_1,
            into: &buffer
        )
        return buffer.array
    }

    @Test("The largest packet passes and one byte more is too large, whole or only announced")
    func packetBytes() {
        let decoder = PacketDecoder(limits: DecoderLimits(maxPacketBytes: 100), version: .v3_1_1)
        #expect(error(publish(payloadBytes: 95), decoder) == nil)
        #expect(error(publish(payloadBytes: 96), decoder)?.reason == .packetTooLarge)
        #expect(error([0x30, 99], decoder)?.reason == .packetTooLarge)
        #expect(error([0x30, 98], decoder) == nil, "incomplete")
    }

    @Test("CONNECT has a limit of its own, and never a larger one than other packets")
    func connectBytes() {
        #expect(error([0x10, 0xFE, 0xFF, 0x03], PacketDecoder())?.reason == .packetTooLarge)
        #expect(error([0x10, 0xFC, 0xFF, 0x03], PacketDecoder()) == nil, "incomplete")
        let decoder = PacketDecoder(limits: DecoderLimits(maxPacketBytes: 20))
        #expect(error([0x10, 19], decoder)?.reason == .packetTooLarge)
    }

    @Test("A topic may have as many levels and bytes as configured, and never more than the hard limit")
    func topicLevels() {
        func decode(levels: Int, max: Int) -> MQTTError? {
            let topic = String(repeating: "/", count: levels - 1)
            var buffer = ByteBuffer()
            let publish = Publish(topic: TopicName(stringLiteral: topic.isEmpty ? "a" : topic), payload: ByteBuffer())
            PacketEncoder.encode(.publish(publish), version: .v3_1_1, into: &buffer)
            return error(buffer.array, PacketDecoder(limits: DecoderLimits(maxTopicLevels: max), version: .v3_1_1))
        }
        #expect(decode(levels: 5, max: 5) == nil)
        #expect(decode(levels: 6, max: 5)?.reason == .topicNameInvalid)
        #expect(decode(levels: 201, max: 65_535) == nil)
        #expect(decode(levels: 202, max: 65_535)?.reason == .topicNameInvalid)
        #expect(decode(levels: 65_535, max: 65_535)?.reason == .topicNameInvalid)
        let bytes = DecoderLimits(maxTopicBytes: 2)
        #expect(
            error([0x30, 5, 0, 3, 0x61, 0x61, 0x61], PacketDecoder(limits: bytes, version: .v5))?.reason
                == .topicNameInvalid
        )
    }

    @Test("A packet may have as many properties and filters as configured")
    func counts() {
        func acknowledgement(_ count: Int) -> [UInt8] {
            let properties = Properties(Array(repeating: .userProperty(name: "", value: ""), count: count))
            var buffer = ByteBuffer()
            let answer = Acknowledgement(packetID: 1, properties: properties)
            PacketEncoder.encode(.puback(answer), version: .v5, into: &buffer)
            return buffer.array
        }
        let decoder = PacketDecoder(version: .v5)
        #expect(error(acknowledgement(64), decoder) == nil)
        #expect(error(acknowledgement(65), decoder)?.reason == .quotaExceeded)
        func filters(_ count: Int) -> [UInt8] {
            var buffer = ByteBuffer()
            let unsubscribe = Unsubscribe(packetID: 1, filters: Array(repeating: "a", count: count))
            PacketEncoder.encode(.unsubscribe(unsubscribe), version: .v3_1_1, into: &buffer)
            return buffer.array
        }
        let plain = PacketDecoder(version: .v3_1_1)
        #expect(error(filters(4_096), plain) == nil)
        #expect(error(filters(4_097), plain)?.reason == .quotaExceeded)
    }

    @Test("The version is known even where the rest of CONNECT is wrong, so that the answer can be written in it")
    func versionOfBadConnect() {
        var decoder = PacketDecoder()
        var buffer = ByteBuffer(bytes: [0x10, 13, 0, 4] + Array("MQTT".utf8) + [5, 3, 0, 60, 0, 0, 0])
        #expect(throws: MQTTError.self) { try decoder.next(&buffer) }
        #expect(decoder.version == .v5)
    }

    @Test("A good packet behind a bad one is never looked at")
    func staysFailed() throws {
        var decoder = PacketDecoder(version: .v3_1_1)
        var buffer = ByteBuffer(bytes: [0xC0, 0, 0x36, 0, 0xC0, 0])
        #expect(try decoder.next(&buffer) == .pingreq)
        #expect(throws: MQTTError.self) { try decoder.next(&buffer) }
        buffer.moveReaderIndex(forwardBy: 2)
        #expect(throws: MQTTError.self) { try decoder.next(&buffer) }
    }

    @Test("A payload is a slice of what was read, not a copy")
    func slices() throws {
        var decoder = PacketDecoder(version: .v3_1_1)
        var buffer = ByteBuffer(bytes: publish(payloadBytes: 1_000))
        let base = buffer.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        guard case .publish(let publish) = try decoder.next(&buffer) else {
            Issue.record("no PUBLISH")
            return
        }
        #expect(publish.topic.bytes.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } == base + 5)
        #expect(publish.payload.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } == base + 6)
    }
}
