import MQTT
import NIOCore
import Testing

/// Which reason codes a packet of a client may hold: every value of the byte, packet by packet.
@Suite struct ReasonCodeTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let firstByte: UInt8
        let before: [UInt8]
        let after: [UInt8]
        let allowed: Set<UInt8>
        let statement: String
    }

    /// Tables of sections 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.14.2.1 (what a client may send) and 3.15.2.1.
    static let cases: [Case] = {
        let received: Set<UInt8> = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
        let left: Set<UInt8> = [
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
        ]
        func answer(_ name: String, _ firstByte: UInt8, _ allowed: Set<UInt8>, _ statement: String) -> Case {
            Case(
                testDescription: name,
                firstByte: firstByte,
                before: [0, 1],
                after: [],
                allowed: allowed,
                statement: statement
            )
        }
        return [
            answer("PUBACK", 0x40, received, "MQTT-3.4.2-1"),
            answer("PUBREC", 0x50, received, "MQTT-3.5.2-1"),
            answer("PUBREL", 0x62, [0x00, 0x92], "MQTT-3.6.2-1"),
            answer("PUBCOMP", 0x70, [0x00, 0x92], "MQTT-3.7.2-1"),
            Case(
                testDescription: "DISCONNECT",
                firstByte: 0xE0,
                before: [],
                after: [],
                allowed: left,
                statement: "MQTT-3.14.2-1"
            ),
            Case(
                testDescription: "AUTH",
                firstByte: 0xF0,
                before: [],
                // Its method, without which it would be refused for another reason.
                after: [4, 0x15, 0, 1, 0x6D],
                allowed: [0x00, 0x18, 0x19],
                statement: "MQTT-3.15.2-1"
            ),
        ]
    }()

    private func error(_ packet: Case, _ code: UInt8, after: [UInt8]) -> MQTTError? {
        let body = packet.before + [code] + after
        var buffer = ByteBuffer(bytes: [packet.firstByte, UInt8(body.count)] + body)
        var decoder = PacketDecoder(version: .v5, role: .server)
        do {
            #expect(try decoder.next(&buffer) != nil)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "A packet holds one of its own reason codes; every other one is refused",
        arguments: cases
    )
    func table(_ packet: Case) {
        // With nothing behind the code, and with properties.
        let rests = packet.after.isEmpty ? [[], [0], [4, 0x1F, 0, 1, 0x6D]] : [packet.after]
        for rest in rests {
            for code in UInt8.min ... .max {
                let error = error(packet, code, after: rest)
                guard packet.allowed.contains(code) else {
                    #expect(error?.reason == .protocolError, "0x\(String(code, radix: 16))")
                    #expect(error?.statement == packet.statement)
                    continue
                }
                #expect(error == nil, "0x\(String(code, radix: 16))")
            }
        }
    }
}
