import MQTT
import NIOCore
import Repeatable
import Testing

@Suite("Random packets")
struct RoundTripTests {
    static let sides: [(ProtocolVersion, PacketDecoder.Role)] = ProtocolVersion.allCases.flatMap { version in
        [(version, .server), (version, .client)]
    }

    @Test("A stream of random packets decodes to the same packets however it is cut", arguments: sides)
    func stream(_ version: ProtocolVersion, _ role: PacketDecoder.Role) throws {
        let seed = UInt64.random(in: 0 ... .max)
        var source = RandomPacket(version: version, role: role, generator: SeededRandom(seed: seed))
        let packets = (0..<500).map { _ in source.next() }
        var stream = ByteBuffer()
        for packet in packets { #expect(PacketEncoder.encode(packet, version: version, into: &stream)) }
        var decoder = PacketDecoder(version: version, role: role)
        var decoded: [Packet] = []
        var buffer = ByteBuffer()
        while stream.readableBytes > 0 {
            let length = min(stream.readableBytes, source.generator.int(1...3_000))
            let slice = stream.readSlice(length: length)
            buffer.writeImmutableBuffer(try #require(slice))
            while let packet = try decoder.next(&buffer) { decoded.append(packet) }
            if source.generator.oneIn(3) { buffer.discardReadBytes() }
        }
        #expect(decoded == packets, "seed \(seed)")
        #expect(buffer.readableBytes == 0, "seed \(seed)")
    }

    @Test("A random CONNECT decodes to itself", arguments: ProtocolVersion.allCases)
    func connect(_ version: ProtocolVersion) throws {
        let seed = UInt64.random(in: 0 ... .max)
        var source = RandomPacket(version: version, role: .server, generator: SeededRandom(seed: seed))
        for _ in 0..<500 {
            let packet = Packet.connect(source.connect())
            var buffer = ByteBuffer()
            PacketEncoder.encode(packet, version: version, into: &buffer)
            var decoder = PacketDecoder()
            #expect(try decoder.next(&buffer) == packet, "seed \(seed)")
            #expect(decoder.version == version)
        }
    }

    @Test("The layout of a PUBLISH says its length and where its packet identifier is")
    func layout() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var source = RandomPacket(version: .v5, role: .client, generator: SeededRandom(seed: seed))
        var seen = 0
        while seen < 300 {
            guard case .publish(let publish) = source.next() else { continue }
            seen += 1
            var buffer = ByteBuffer(string: "before")
            let written = PacketEncoder.encodePublish(
                topic: publish.topic,
                payload: publish.payload,
                qos: publish.qos,
                retain: publish.retain,
                duplicate: publish.duplicate,
                packetID: 1,
                properties: publish.properties,
                version: .v5,
                into: &buffer
            )
            let layout = try #require(written)
            #expect(buffer.readableBytes == 6 + layout.byteCount, "seed \(seed)")
            #expect((layout.packetIDOffset == nil) == (publish.qos == .atMostOnce))
            if let offset = layout.packetIDOffset {
                PacketEncoder.patch(packetID: publish.packetID, at: 6 + offset, in: &buffer)
            }
            buffer.moveReaderIndex(forwardBy: 6)
            var decoder = PacketDecoder(version: .v5, role: .client)
            #expect(try decoder.next(&buffer) == .publish(publish), "seed \(seed)")
        }
    }
}

@Suite("Encoding in each version")
struct EncoderTests {
    private func encoded(_ packet: Packet, _ version: ProtocolVersion) -> [UInt8] {
        var buffer = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &buffer)
        return buffer.array
    }

    @Test("Every SUBACK error is 0x80 before 5.0 [MQTT-3.9.3-2]", arguments: [ProtocolVersion.v3_1, .v3_1_1])
    func subackErrors(_ version: ProtocolVersion) {
        let reasons: [ReasonCode] = [.success, .grantedQoS2, .notAuthorized, .topicFilterInvalid, .quotaExceeded]
        let bytes = encoded(.suback(Suback(packetID: 1, reasons: reasons, properties: [.reasonString("no")])), version)
        #expect(bytes == [0x90, 7, 0, 1, 0, 2, 0x80, 0x80, 0x80])
    }

    @Test("CONNACK errors become the nearest return code before 5.0, and no refusal becomes a welcome")
    func connackErrors() {
        let expected: [ReasonCode: UInt8] = [
            .success: 0, .unsupportedProtocolVersion: 1, .clientIdentifierNotValid: 2, .serverUnavailable: 3,
            .serverBusy: 3, .quotaExceeded: 3, .badUserNameOrPassword: 4, .notAuthorized: 5, .banned: 5,
        ]
        for (reason, code) in expected {
            #expect(encoded(.connack(Connack(reason: reason)), .v3_1_1) == [0x20, 2, 0, code])
        }
        for raw in UInt8(0x80) ... .max { #expect((1...5).contains(ReasonCode(rawValue: raw).connectReturnCode)) }
        for code in UInt8(0)...5 { #expect(ReasonCode(connectReturnCode: code)?.connectReturnCode == code) }
    }

    @Test("3.1 has no session present flag")
    func sessionPresent() {
        #expect(encoded(.connack(Connack(sessionPresent: true)), .v3_1) == [0x20, 2, 0, 0])
        #expect(encoded(.connack(Connack(sessionPresent: true)), .v3_1_1) == [0x20, 2, 1, 0])
    }

    @Test("What a version does not have is left out")
    func leftOut() {
        let user = Properties([.userProperty(name: "a", value: "b")])
        #expect(
            encoded(.puback(.init(packetID: 1, reason: .notAuthorized, properties: user)), .v3_1_1) == [0x40, 2, 0, 1]
        )
        #expect(encoded(.disconnect(.init(reason: .serverBusy, properties: user)), .v3_1_1) == [0xE0, 0])
        #expect(
            encoded(.unsuback(.init(packetID: 1, reasons: [.success], properties: user)), .v3_1_1) == [0xB0, 2, 0, 1]
        )
        #expect(encoded(.auth(.init(reason: .reauthenticate)), .v3_1_1) == [])
    }

    @Test("Text and binary fields that are too long are cut, and the packet stays whole")
    func tooLong() throws {
        let long = String(repeating: "é", count: 40_000)
        let connect = Connect(
            clientID: "x" + long,
            username: long,
            password: ByteBuffer(repeating: 1, count: 70_000),
            properties: [.userProperty(name: long, value: "v")]
        )
        var buffer = ByteBuffer()
        #expect(PacketEncoder.encode(.connect(connect), version: .v5, into: &buffer))
        var decoder = PacketDecoder(limits: DecoderLimits(maxConnectBytes: 1_000_000))
        guard case .connect(let decoded) = try decoder.next(&buffer) else {
            Issue.record("no CONNECT")
            return
        }
        #expect(decoded.clientID.utf8.count == 65_535)
        #expect(decoded.username?.utf8.count == 65_534, "no half character")
        #expect(decoded.password?.readableBytes == 65_535)
    }

    @Test("A packet that is too large for MQTT writes nothing")
    func tooLarge() {
        let layout = PacketEncoder.publishLayout(
            topicBytes: 1,
            payloadBytes: 268_435_453,
            qos: .atMostOnce,
            version: .v5
        )
        #expect(layout == nil)
        let largest = PacketEncoder.publishLayout(
            topicBytes: 1,
            payloadBytes: 268_435_452,
            qos: .atMostOnce,
            version: .v3_1_1
        )
        #expect(largest?.byteCount == 268_435_460)
    }
}
