import MQTT
import NIOCore
import Testing

/// Properties: MQTT 5.0 section 2.2.2 and table 2-4.
@Suite struct PropertyStatements {
    /// One value of each property, as its bytes.
    private static let values: [UInt8: [UInt8]] = [
        0x01: [1], 0x02: [0, 0, 0, 9], 0x03: [0, 1, 0x61], 0x08: [0, 1, 0x61], 0x09: [0, 1, 0xFF], 0x0B: [7],
        0x11: [0, 0, 0, 9], 0x12: [0, 1, 0x61], 0x13: [0, 9], 0x15: [0, 1, 0x61], 0x16: [0, 1, 0xFF], 0x17: [1],
        0x18: [0, 0, 0, 9], 0x19: [1], 0x1A: [0, 1, 0x61], 0x1C: [0, 1, 0x61], 0x1F: [0, 1, 0x61], 0x21: [0, 9],
        0x22: [0, 9], 0x23: [0, 9], 0x24: [1], 0x25: [1], 0x26: [0, 1, 0x61, 0, 1, 0x62], 0x27: [0, 0, 0, 9],
        0x28: [1], 0x29: [1], 0x2A: [1],
    ]

    /// A packet with properties, and which of them it may have.
    struct Carrier: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let role: PacketDecoder.Role
        let first: UInt8
        let before: [UInt8]
        let after: [UInt8]
        let allowed: Set<UInt8>

        func bytes(_ properties: [UInt8]) -> [UInt8] {
            let body = before + [UInt8(properties.count)] + properties + after
            return [first, UInt8(body.count)] + body
        }
    }

    private static let acknowledgement: Set<UInt8> = [0x1F, 0x26]
    private static let carriers = [
        Carrier(
            testDescription: "CONNECT",
            role: .server,
            first: 0x10,
            before: [0, 4] + Array("MQTT".utf8) + [5, 2, 0, 60],
            after: [0, 1, 0x63],
            allowed: [0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]
        ),
        Carrier(
            testDescription: "CONNECT, will",
            role: .server,
            first: 0x10,
            before: [0, 4] + Array("MQTT".utf8) + [5, 6, 0, 60, 0, 0, 1, 0x63],
            after: [0, 1, 0x77, 0, 0],
            allowed: [0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]
        ),
        Carrier(
            testDescription: "CONNACK",
            role: .client,
            first: 0x20,
            before: [0, 0],
            after: [],
            allowed: [
                0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A,
            ]
        ),
        Carrier(
            testDescription: "PUBLISH to a server",
            role: .server,
            first: 0x30,
            before: [0, 1, 0x74],
            after: [],
            allowed: [0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26]
        ),
        Carrier(
            testDescription: "PUBLISH to a client",
            role: .client,
            first: 0x30,
            before: [0, 1, 0x74],
            after: [],
            allowed: [0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26]
        ),
        Carrier(
            testDescription: "PUBACK",
            role: .server,
            first: 0x40,
            before: [0, 1, 0],
            after: [],
            allowed: acknowledgement
        ),
        Carrier(
            testDescription: "PUBREC",
            role: .server,
            first: 0x50,
            before: [0, 1, 0],
            after: [],
            allowed: acknowledgement
        ),
        Carrier(
            testDescription: "PUBREL",
            role: .server,
            first: 0x62,
            before: [0, 1, 0],
            after: [],
            allowed: acknowledgement
        ),
        Carrier(
            testDescription: "PUBCOMP",
            role: .server,
            first: 0x70,
            before: [0, 1, 0],
            after: [],
            allowed: acknowledgement
        ),
        Carrier(
            testDescription: "SUBSCRIBE",
            role: .server,
            first: 0x82,
            before: [0, 1],
            after: [0, 1, 0x61, 0],
            allowed: [0x0B, 0x26]
        ),
        Carrier(
            testDescription: "SUBACK",
            role: .client,
            first: 0x90,
            before: [0, 1],
            after: [0],
            allowed: acknowledgement
        ),
        Carrier(
            testDescription: "UNSUBSCRIBE",
            role: .server,
            first: 0xA2,
            before: [0, 1],
            after: [0, 1, 0x61],
            allowed: [0x26]
        ),
        Carrier(
            testDescription: "UNSUBACK",
            role: .client,
            first: 0xB0,
            before: [0, 1],
            after: [0],
            allowed: acknowledgement
        ),
        Carrier(
            testDescription: "DISCONNECT of a client",
            role: .server,
            first: 0xE0,
            before: [0],
            after: [],
            allowed: [0x11, 0x1F, 0x26]
        ),
        Carrier(
            testDescription: "DISCONNECT of a server",
            role: .client,
            first: 0xE0,
            before: [0],
            after: [],
            allowed: [0x1C, 0x1F, 0x26]
        ),
        Carrier(
            testDescription: "AUTH",
            role: .server,
            first: 0xF0,
            before: [0x18],
            after: [],
            allowed: [0x15, 0x16, 0x1F, 0x26]
        ),
    ]

    private func decode(_ bytes: [UInt8], _ role: PacketDecoder.Role) -> Result<Packet?, MQTTError> {
        let isConnect = bytes.first == 0x10
        var decoder = PacketDecoder(version: isConnect ? nil : .v5, role: role)
        var buffer = ByteBuffer(bytes: bytes)
        return Result { () throws(MQTTError) in try decoder.next(&buffer) }
    }

    private func error(_ result: Result<Packet?, MQTTError>) -> MQTTError? {
        if case .failure(let error) = result { error } else { nil }
    }

    /// The authentication method, where the packet or the property that is looked at needs one.
    private func needed(_ carrier: Carrier, without property: UInt8) -> [UInt8] {
        let isNeeded = carrier.first == 0xF0 || (carrier.allowed.contains(0x16) && property == 0x16)
        return isNeeded && property != 0x15 ? [0x15, 0, 1, 0x61] : []
    }

    @Test("table 2-4: a packet has the properties of its kind and no other", arguments: carriers)
    func foreign(carrier: Carrier) {
        for (property, value) in Self.values {
            let properties = needed(carrier, without: property) + [property] + value
            let result = decode(carrier.bytes(properties), carrier.role)
            if carrier.allowed.contains(property) {
                #expect(error(result) == nil, "property \(property)")
            } else {
                #expect([.protocolError, .malformedPacket].contains(error(result)?.reason), "property \(property)")
            }
        }
        for unknown: UInt8 in [0x00, 0x04, 0x0A, 0x10, 0x14, 0x1B, 0x20, 0x2B, 0x7F] {
            #expect(error(decode(carrier.bytes([unknown, 0]), carrier.role)) != nil, "property \(unknown)")
        }
    }

    @Test("section 2.2.2.2: a property that may come once and comes twice is a protocol error", arguments: carriers)
    func once(carrier: Carrier) {
        for property in carrier.allowed {
            guard let value = Self.values[property] else { continue }
            let twice = needed(carrier, without: property) + [property] + value + [property] + value
            let reason = error(decode(carrier.bytes(twice), carrier.role))?.reason
            let mayRepeat = property == 0x26 || (property == 0x0B && carrier.role == .client)
            #expect(reason == (mayRepeat ? nil : .protocolError), "property \(property)")
        }
    }

    @Test(
        "table 2-4: a value beyond its range ends the connection",
        arguments: [
            ("CONNECT", [0x17, 2]), ("CONNECT", [0x19, 2]), ("CONNECT", [0x21, 0, 0]), ("CONNECT", [0x27, 0, 0, 0, 0]),
            ("CONNACK", [0x24, 2]), ("CONNACK", [0x25, 2]), ("CONNACK", [0x28, 2]), ("CONNACK", [0x29, 2]),
            ("CONNACK", [0x2A, 2]), ("CONNACK", [0x21, 0, 0]), ("CONNACK", [0x27, 0, 0, 0, 0]),
            ("PUBLISH to a server", [0x01, 2]), ("PUBLISH to a server", [0x23, 0, 0]), ("SUBSCRIBE", [0x0B, 0]),
            ("SUBSCRIBE", [0x0B, 0xFF, 0xFF, 0xFF, 0xFF]), ("PUBLISH to a server", [0x02, 0, 0]),
            ("PUBLISH to a server", [0x03, 0, 9, 0x61]), ("PUBACK", [0x1F]),
        ] as [(String, [UInt8])]
    )
    func ranges(name: String, properties: [UInt8]) throws {
        let carrier = try #require(Self.carriers.first { $0.testDescription == name })
        #expect(error(decode(carrier.bytes(properties), carrier.role))?.reason.isError == true)
    }

    @Test("[MQTT-1.5.7-1] both strings of a user property are UTF-8, in every packet", arguments: carriers)
    func pairs(carrier: Carrier) {
        for bad: [UInt8] in [[0, 2, 0xC3, 0x28, 0, 0], [0, 0, 0, 2, 0xC3, 0x28], [0, 1, 0, 0, 0]] {
            let properties = needed(carrier, without: 0x26) + [0x26] + bad
            #expect(error(decode(carrier.bytes(properties), carrier.role))?.reason == .malformedPacket)
        }
    }

    @Test("[MQTT-3.1.3-11] a will topic that is not UTF-8 ends the connection")
    func willTopic() {
        let head: [UInt8] = [0, 4] + Array("MQTT".utf8) + [5, 6, 0, 60, 0, 0, 1, 0x63, 0]
        for topic: [UInt8] in [[0xC3, 0x28], [0xED, 0xA0, 0x80], [0x61, 0]] {
            let body = head + [0, UInt8(topic.count)] + topic + [0, 0]
            let reason = error(decode([0x10, UInt8(body.count)] + body, .server))?.reason
            #expect(reason == .malformedPacket)
        }
    }
}
