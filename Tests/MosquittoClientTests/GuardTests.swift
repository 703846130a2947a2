import Foundation
import MosquittoClient
import MosquittoFixture
import Testing

/// A server that means ill: what libmosquitto 2.0.11 answers with an assertion must cost the connection, never the
/// process (ADR 0014). Every test here would end the whole test run without the guard.
@Suite("A hostile server", .serialized)
struct GuardTests {
    private static let goodConnack = "20 03 00 00 00"

    /// What a server sends after CONNECT, in MQTT 5.0, that the library cannot read.
    private static let unreadable = [
        // CONNACK: a property block without end, then one that ends within a property.
        "20 07 00 00 ff ff ff 7f 00",
        "20 07 00 00 7f 21 00 05 00",
        // CONNACK with properties 0x00 and 0x7f, alone.
        "20 05 00 00 02 00 00",
        "20 05 00 00 02 7f 00",
        // SUBACK, PUBLISH of QoS 0 and 1, PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK, DISCONNECT and AUTH with property
        // 0.
        goodConnack + "90 07 00 01 ff ff ff 7f 00",
        goodConnack + "30 07 00 01 61 02 00 00 78",
        goodConnack + "32 09 00 01 61 00 01 02 00 00 78",
        goodConnack + "40 06 00 01 00 02 00 00",
        goodConnack + "50 06 00 01 00 02 00 00",
        goodConnack + "62 06 00 01 00 02 00 00",
        goodConnack + "70 06 00 01 00 02 00 00",
        goodConnack + "b0 06 00 01 02 00 00 00",
        goodConnack + "e0 04 80 02 00 00",
        goodConnack + "f0 04 18 02 00 00",
    ]

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private static func lastEvent(_ log: EventLog) throws -> MosquittoError? {
        try log.wait("the end") { event -> MosquittoError?? in
            switch event {
            case .connectFailed(let error): .some(error)
            case .disconnected(let error): .some(error)
            default: nil
            }
        }
    }

    @Test("finds our function where the library looks for the one of a failed assertion")
    func stands() {
        #expect(MosquittoConnection.isGuarded)
    }

    @Test("that sends a property which MQTT does not know has broken the protocol", arguments: unreadable)
    func unreadableProperty(hex: String) throws {
        let server = try FakeServer()
        let before = MosquittoConnection.guardedAssertions
        let (connection, log) = try MosquittoConnection.started(.loopback(server.port))
        defer { connection.stop() }
        try server.accept()
        #expect(server.readPacket()?.first == 0x10)
        server.send(Self.bytes(hex))
        let error = try Self.lastEvent(log)
        #expect(error?.code == .protocolViolation)
        #expect(MosquittoConnection.guardedAssertions == before + 1, "the library has not asserted")

        // And the next connection of the same process is as good as any.
        let (next, nextLog) = try MosquittoConnection.started(.loopback(server.port, "next"))
        try server.acceptSession()
        _ = try nextLog.connected()
        #expect(next.stop())
    }

    /// The control: the library of this machine, in a program that has no guard.
    @Test("ends a client of the same library that has no guard")
    func withoutGuard() throws {
        let server = try FakeServer()
        let client = Process()
        client.executableURL = URL(fileURLWithPath: "/usr/bin/mosquitto_sub")
        client.arguments = ["-h", "127.0.0.1", "-p", "\(server.port)", "-V", "mqttv5", "-t", "a"]
        client.standardError = FileHandle.nullDevice
        try client.run()
        defer { if client.isRunning { client.terminate() } }
        try server.accept()
        #expect(server.readPacket()?.first == 0x10)
        server.send(Self.bytes(Self.unreadable[0]))
        try eventually("mosquitto_sub ends") { !client.isRunning }
        #expect(client.terminationReason == .uncaughtSignal)
        #expect(client.terminationStatus == SIGABRT)
    }

    /// The library's own check of the size forgets one byte of a QoS 1 PUBLISH; its second one asserts. No ill will is
    /// needed for this one, only a message of the wrong size.
    @Test(
        "that takes packets of a certain size is not sent one that is larger by a byte",
        arguments: [0, 1, 2] as [UInt8]
    )
    func oversize(qos: UInt8) throws {
        let server = try FakeServer()
        let (connection, log) = try MosquittoConnection.started(.loopback(server.port))
        defer { connection.stop() }
        // Maximum Packet Size, 64.
        try server.acceptSession(properties: [0x27, 0, 0, 0, 64])
        #expect(try log.connected().maximumPacketBytes == 64)
        for count in 40...80 {
            var refusal: MosquittoError?
            do throws(MosquittoError) {
                try connection.publish(topic: "t", payload: [UInt8](repeating: 0, count: count), qos: qos)
            } catch {
                refusal = error
            }
            // Fixed header 2, topic 3, identifier 2 beyond QoS 0, property length 1.
            let size = 2 + 3 + (qos > 0 ? 2 : 0) + 1 + count
            // The library counts a byte too few or too many at the edge, but refuses with an error.
            if size > 65 { #expect(refusal?.code == .tooLarge, "\(size) bytes") }
            if size < 64 { #expect(refusal == nil, "\(size) bytes") }
        }
    }

    @Test("that sends a second CONNACK has broken the protocol [MQTT-3.2.0-2]")
    func secondConnack() throws {
        let server = try FakeServer()
        let (connection, log) = try MosquittoConnection.started(.loopback(server.port))
        defer { connection.stop() }
        try server.acceptSession()
        _ = try log.connected()
        // An unanswered message would be sent again at once, and is too large for the new limit.
        try connection.publish(topic: "t", payload: [UInt8](repeating: 0, count: 100), qos: 1)
        #expect(server.readPacket()?.first == 0x32)
        server.send(Self.bytes("20 08 00 00 05 27 00 00 00 10"))
        #expect(try log.disconnected()?.code == .protocolViolation)
        let connects = log.all.filter { if case .connected = $0 { true } else { false } }
        #expect(connects.count == 1)
    }
}
