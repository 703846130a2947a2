import CMosquitto
import Foundation
import MosquittoClient
import MosquittoFixture
import Testing

/// PUBLISH QoS 1, packet identifier 5, topic "t", payload "x"; MQTT 5.0 and 3.1.1.
private let publishV5: [UInt8] = [0x32, 7, 0, 1, 0x74, 0, 5, 0, 0x78]
private let publishV311: [UInt8] = [0x32, 6, 0, 1, 0x74, 0, 5, 0x78]

@Suite("Inbound QoS 1", .serialized)
struct AcknowledgeTests {
    @Test("is acknowledged only after the gate has said yes", arguments: [MosquittoProtocol.v5, .v311])
    func gated(version: MosquittoProtocol) throws {
        let server = try FakeServer()
        var configuration = MosquittoConfiguration.loopback(server.port)
        configuration.protocolVersion = version
        let inGate = DispatchSemaphore(value: 0)
        let mayGoOn = DispatchSemaphore(value: 0)
        let (connection, log) = try MosquittoConnection.started(configuration) {
            inGate.signal()
            mayGoOn.wait()
            return true
        }
        try server.acceptSession(properties: version == .v5 ? [] : nil)
        _ = try log.connected()
        server.send(version == .v5 ? publishV5 : publishV311)
        #expect(inGate.wait(timeout: .now() + 10) == .success)
        #expect(log.messages.count == 1)
        #expect(!server.isReadable(seconds: 0.3), "nothing may be written while the message is being kept")
        mayGoOn.signal()
        let ack = try #require(server.readPacket())
        #expect(ack[0] == 0x40)
        #expect(Array(ack[2...3]) == [0, 5])
        connection.abandon()
    }

    @Test("is not acknowledged when the gate says no: the connection closes")
    func refused() throws {
        let server = try FakeServer()
        let (connection, log) = try MosquittoConnection.started(.loopback(server.port)) { false }
        try server.acceptSession()
        _ = try log.connected()
        server.send(publishV5)
        #expect(server.readPacket() == nil)
        #expect(try log.disconnected()?.code == .notAcknowledged)
        connection.stop()
    }

    @Test("is delivered again by mosquitto after the gate said no")
    func redelivered() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            var configuration = MosquittoConfiguration.loopback(broker.port, "keeper")
            configuration.cleanStart = false
            configuration.sessionExpirySeconds = 600
            let (first, firstLog) = try MosquittoConnection.started(configuration) { false }
            _ = try firstLog.connected()
            try first.subscribe(["t"], qos: 1)
            _ = try firstLog.wait("subscribed") { if case .subscribed = $0 { true } else { nil } }
            try run(
                "/usr/bin/mosquitto_pub",
                ["-h", "127.0.0.1", "-p", "\(broker.port)", "-q", "1", "-t", "t", "-m", "once"],
                in: folder
            )
            _ = try firstLog.disconnected()
            first.stop()
            let (second, secondLog) = try MosquittoConnection.started(configuration) { true }
            #expect(try secondLog.connected().sessionPresent)
            let message = try secondLog.wait("message") { if case .message(let message) = $0 { message } else { nil } }
            #expect(message.payload == Array("once".utf8))
            second.stop()
        }
    }

    /// What this class protects from, measured: the library by itself, not told that it lives among threads.
    @Test("would be acknowledged by libmosquitto itself before its callback has returned")
    func libraryAlone() throws {
        try #require(MosquittoConnection.libraryVersion.hasPrefix("2.0."))
        _ = mosquitto_lib_init()
        let server = try FakeServer()
        let inCallback = DispatchSemaphore(value: 0)
        let mayReturn = DispatchSemaphore(value: 0)
        let context = Unmanaged.passRetained(Semaphores(inCallback: inCallback, mayReturn: mayReturn))
        defer { context.release() }
        let handle = try #require(mosquitto_new("alone", true, context.toOpaque()))
        let box = UncheckedBox(handle)
        let port = server.port
        mosquitto_message_callback_set(handle) { _, context, _ in
            guard let context else { return }
            let semaphores = Unmanaged<Semaphores>.fromOpaque(context).takeUnretainedValue()
            semaphores.inCallback.signal()
            semaphores.mayReturn.wait()
        }
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            if mosquitto_connect(box.value, "127.0.0.1", Int32(port), 60) == 0 {
                while mosquitto_loop(box.value, 100, 1) == 0 {}
            }
            ended.signal()
        }
        try server.acceptSession(properties: nil)
        server.send(publishV311)
        #expect(inCallback.wait(timeout: .now() + 10) == .success)
        #expect(server.isReadable(seconds: 5), "the PUBACK is out while the application still handles the message")
        #expect(server.readPacket()?.first == 0x40)
        mayReturn.signal()
        server.hangUp()
        #expect(ended.wait(timeout: .now() + 10) == .success)
        mosquitto_destroy(handle)
    }
}

private final class Semaphores: Sendable {
    let inCallback: DispatchSemaphore
    let mayReturn: DispatchSemaphore
    init(inCallback: DispatchSemaphore, mayReturn: DispatchSemaphore) {
        self.inCallback = inCallback
        self.mayReturn = mayReturn
    }
}

private struct UncheckedBox: @unchecked Sendable {
    // SAFETY: the thread uses it until it signals its end, the test only before and after.
    let value: OpaquePointer
    init(_ value: OpaquePointer) { self.value = value }
}
