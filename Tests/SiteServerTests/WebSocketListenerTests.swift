import Foundation
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("WebSocket listener", .serialized) struct WebSocketListenerTests {
    private static func listener(
        _ options: SiteServerConfiguration.WebSockets = .init()
    ) -> SiteServerConfiguration.Listener {
        var listener = TestServer.plain
        listener.transport = .webSockets(options)
        return listener
    }

    private func open(_ server: TestServer, with bytes: [UInt8] = []) throws -> RawClient {
        let client = try RawClient(port: server.port)
        try client.send(bytes: Array(WebSocketRequestTests.text(WebSocketRequestTests.good).utf8) + bytes)
        let head = try readHead(client)
        #expect(head.hasPrefix("HTTP/1.1 101 "), "\(head)")
        return client
    }

    private func readHead(_ client: RawClient) throws -> String {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) { head += try client.receive(exactly: 1) }
        return String(decoding: head, as: UTF8.self)
    }

    /// The next frame of the server, which is never masked.
    private func frame(_ client: RawClient) throws -> (opcode: UInt8, payload: [UInt8]) {
        let head = try client.receive(exactly: 2)
        #expect(head[1] & 0x80 == 0)
        var count = Int(head[1])
        if count == 126 { count = try client.receive(exactly: 2).reduce(0) { $0 << 8 | Int($1) } }
        if count == 127 { count = try client.receive(exactly: 8).reduce(0) { $0 << 8 | Int($1) } }
        return (head[0], try client.receive(exactly: count))
    }

    private func binary(_ bytes: [UInt8], isFinal: Bool = true) -> [UInt8] {
        WebSocketFrameTests.frame(2, bytes, isFinal: isFinal)
    }

    @Test("MQTT passes in binary frames, however they are cut [MQTT-6.0.0-2]")
    func frames() async throws {
        try await TestServer.with([Self.listener(), TestServer.plain]) { server in
            let plain = try RawClient(port: server.listeners[1].port)
            try plain.connect("plain")
            try plain.subscribe("#")
            let shape = try RawClient(port: server.listeners[1].port)
            let connect = shape.encoded(.connect(.init(clientID: "ws")))
            let publish = shape.encoded(.publish(shape.publication("a", String(repeating: "x", count: 70_000))))
            // CONNECT with the request, PUBLISH in one frame, in frames of one byte with a ping between, in fragments.
            let client = try open(server, with: binary(connect))
            #expect(try frame(client).payload.first == 0x20)
            try client.send(bytes: binary(publish))
            #expect(try plain.nextPublish().payload.readableBytes == 70_000)
            let small = shape.encoded(.publish(shape.publication("b", "small")))
            try client.send(bytes: small.flatMap { binary([$0]) + WebSocketFrameTests.frame(9, [7]) })
            #expect(String(buffer: try plain.nextPublish().payload) == "small")
            for _ in small { #expect(try frame(client) == (0x8A, [7])) }
            var fragments = binary(Array(small[..<2]), isFinal: false)
            fragments += WebSocketFrameTests.frame(0, Array(small[2...]) + small, isFinal: true)
            for byte in fragments { try client.send(bytes: [byte]) }
            for _ in 0..<2 { #expect(String(buffer: try plain.nextPublish().payload) == "small") }
        }
    }

    @Test("What the broker sends comes in binary frames, small and large")
    func outbound() async throws {
        try await TestServer.with([Self.listener(), TestServer.plain]) { server in
            let plain = try RawClient(port: server.listeners[1].port)
            try plain.connect("plain")
            let subscribe = Packet.subscribe(
                Subscribe(packetID: 1, requests: [.init(filter: "a", options: .init(qos: .atMostOnce))])
            )
            let client = try open(server, with: binary(plain.encoded(.connect(.init(clientID: "ws")))))
            #expect(try frame(client).opcode == 0x82)
            try client.send(bytes: binary(plain.encoded(subscribe)))
            #expect(try frame(client).payload.first == 0x90)
            for count in [10, 1_000, 20_000, 100_000] {
                let packet = plain.encoded(.publish(plain.publication("a", String(repeating: "y", count: count))))
                try plain.send(bytes: packet)
                #expect(try frame(client) == (0x82, packet))
            }
        }
    }

    @Test("A close is answered, and the session's end is that of a broken connection")
    func close() async throws {
        try await TestServer.with([Self.listener()]) { server in
            let shape = try RawClient(port: server.port)
            let client = try open(server, with: binary(shape.encoded(.connect(.init(clientID: "ws")))))
            _ = try frame(client)
            try client.send(bytes: WebSocketFrameTests.frame(8, [0x03, 0xE8]))
            #expect(try frame(client) == (0x88, [0x03, 0xE8]))
            #expect(try client.receiveAll().isEmpty)
        }
    }

    @Test("DISCONNECT of the client is answered with a close frame")
    func disconnect() async throws {
        try await TestServer.with([Self.listener()]) { server in
            let shape = try RawClient(port: server.port)
            let client = try open(server, with: binary(shape.encoded(.connect(.init(clientID: "ws")))))
            _ = try frame(client)
            try client.send(bytes: binary([0xE0, 0x00]))
            #expect(try frame(client) == (0x88, [0x03, 0xE8]))
            #expect(try client.receiveAll().isEmpty)
        }
    }

    @Test(
        "Frames that break the rules are answered with their code, before and after CONNECT [MQTT-6.0.0-1]",
        arguments: [
            (WebSocketFrameTests.frame(1, [0x61]), 1003), ([0x82, 0x00], 1002), ([0xC2, 0x80, 0, 0, 0, 0], 1002),
            ([0x82, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0], 1009),
        ] as [([UInt8], Int)]
    )
    func violations(bytes: [UInt8], code: Int) async throws {
        try await TestServer.with([Self.listener()]) { server in
            let expected = [UInt8(code >> 8), UInt8(code & 0xFF)]
            let early = try open(server, with: bytes)
            #expect(try frame(early) == (0x88, expected))
            #expect(try early.receiveAll().isEmpty)
            let shape = try RawClient(port: server.port)
            let late = try open(server, with: binary(shape.encoded(.connect(.init(clientID: "ws")))))
            _ = try frame(late)
            try late.send(bytes: bytes)
            #expect(try frame(late) == (0x88, expected))
            #expect(try late.receiveAll().isEmpty)
            #expect(server.server.metrics.handshakeFailures == 2)
        }
    }

    @Test("Requests that are refused get their answer, then the end")
    func refusals() async throws {
        var limits = SiteServerLimits()
        limits.handshakeSeconds = 1
        let listener = Self.listener(.init(origins: ["https://till.example.com"], paths: ["/mqtt"]))
        try await TestServer.with([listener], limits: limits) { server in
            let good = WebSocketRequestTests.good
            for (request, status) in [
                (WebSocketRequestTests.text(["GET / HTTP/1.1", "Host: a"]), 404),
                (WebSocketRequestTests.text(["GET /mqtt HTTP/1.1", "Host: a"]), 426),
                (WebSocketRequestTests.text(good + ["Origin: https://evil.example"]), 403),
                ("GET /mqtt HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 100_000), 431), ("\u{10}\u{0C}", 400),
            ] {
                let client = try RawClient(port: server.port)
                // The server may have closed before all of a long request was sent.
                try? client.send(bytes: Array(request.utf8))
                let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
            }
            let silent = try RawClient(port: server.port)
            try silent.send(bytes: Array("GET /mq".utf8))
            #expect(try silent.receiveAll().isEmpty)
            #expect(server.server.metrics.handshakeTimeouts == 1)
            #expect(server.server.metrics.handshakeFailures == 5)
            try eventually("all are gone") { server.server.metrics.connectionsOpen == 0 }
        }
    }

    @Test("Packets in frames have the limit of packets")
    func packetLimit() async throws {
        var limits = SiteServerLimits()
        limits.decoder.maxPacketBytes = 1_000
        try await TestServer.with([Self.listener()], limits: limits) { server in
            let shape = try RawClient(port: server.port)
            let client = try open(server, with: binary(shape.encoded(.connect(.init(clientID: "ws")))))
            _ = try frame(client)
            try client.send(bytes: binary([0x30, 0x80, 0x80, 0x04]))
            let answer = try frame(client)
            #expect(answer.opcode == 0x82)
            #expect(Array(answer.payload.prefix(3)).first == 0xE0)
            #expect(answer.payload.contains(0x95))
        }
    }
}
