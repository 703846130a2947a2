import Broker
import Foundation
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("Limits", .serialized) struct LimitTests {
    @Test("Plain TCP beyond loopback is refused unless it is meant")
    func plaintext() async throws {
        var listener = TestServer.plain
        listener.host = "0.0.0.0"
        let open = listener
        let error = await #expect(throws: SiteServerError.self) { try await TestServer.with([open]) { _ in } }
        #expect(error?.code == .plaintextBeyondLoopback)
        #expect(error?.message.contains("insecure: true") == true)
        listener.insecure = true
        try await TestServer.with([listener]) { server in
            let isAlive = try server.client("meant").isAlive()
            #expect(isAlive)
        }
    }

    @Test("A port in use is an error that names it, and none of the listeners stays")
    func portInUse() async throws {
        try await TestServer.with { server in
            var taken = TestServer.plain
            taken.port = server.port
            let listeners = [TestServer.plain, taken]
            let error = await #expect(throws: SiteServerError.self) { try await TestServer.with(listeners) { _ in } }
            #expect(error?.code == .bind)
            #expect(error?.message.contains("\(server.port)") == true)
        }
    }

    @Test("IPv6 works where the machine has it")
    func version6() async throws {
        var listener = TestServer.plain
        listener.host = "::1"
        do {
            try await TestServer.with([listener]) { server in
                let result = try Tool.run("mosquitto_pub", ["-h", "::1", "-p", "\(server.port)", "-t", "a", "-m", "b"])
                #expect(result.status == 0, "\(result.text)")
            }
        } catch let error as SiteServerError where error.code == .bind {
            // This machine has no IPv6.
        }
    }

    @Test("A thousand connections come and go; slots and memory are used again")
    func churn() async throws {
        try await TestServer.with { server in
            for round in 0..<10 {
                let clients = try (0..<100).map { number in
                    let client = try RawClient(port: server.port)
                    try client.connect("client-\(round)-\(number)")
                    return client
                }
                for (number, client) in clients.enumerated() where number % 2 == 0 {
                    try client.send(.disconnect(.init()))
                }
                let last = try #require(clients.last)
                #expect(try last.isAlive())
            }
            try eventually("all connections are gone") { server.server.metrics.connectionsOpen == 0 }
            #expect(server.server.metrics.connectionsAccepted == 1_000)
            let statistics = try await server.server.withCore { core, _, _ in core.statistics }
            #expect(statistics.clientsConnected == 0)
            #expect(statistics.sessions == 0)
        }
    }

    @Test("Connections beyond the maximum are closed at once, and let in when there is room again")
    func maximum() async throws {
        var limits = SiteServerLimits()
        limits.connectionsMax = 3
        try await TestServer.with(limits: limits) { server in
            var clients = try (0..<3).map { try server.client("client-\($0)") }
            let refused = try RawClient(port: server.port)
            #expect(try refused.untilClosed().isEmpty)
            #expect(server.server.metrics.connectionsRefused == 1)
            clients.removeLast()
            try eventually("a free slot") { server.server.metrics.connectionsOpen == 2 }
            #expect(try server.client("late").isAlive())
            for client in clients { #expect(try client.isAlive()) }
        }
    }

    @Test("One address cannot take every slot")
    func perAddress() async throws {
        var limits = SiteServerLimits()
        limits.connectionsPerAddressMax = 2
        try await TestServer.with(limits: limits) { server in
            let clients = try (0..<2).map { try server.client("client-\($0)") }
            #expect(try RawClient(port: server.port).untilClosed().isEmpty)
            for client in clients { #expect(try client.isAlive()) }
        }
    }

    @Test("Whoever sends no CONNECT is closed when the time is over")
    func connectDeadline() async throws {
        var broker = BrokerConfiguration()
        broker.connectSeconds = 1
        try await TestServer.with(broker: broker) { server in
            let silent = try RawClient(port: server.port)
            let drip = try RawClient(port: server.port)
            try drip.send(bytes: [0x10])
            #expect(try silent.untilClosed().isEmpty)
            #expect(try drip.untilClosed().isEmpty)
        }
    }

    @Test("Half CONNECTs of many connections together stay within their budget")
    func preConnectBudget() async throws {
        var limits = SiteServerLimits()
        limits.preConnectBytesMax = 80 << 10
        try await TestServer.with(limits: limits) { server in
            let witness = try server.client("witness")
            // Each announces 60,000 bytes and sends 20,000, for which 37 KiB are held: the third is beyond 80 KiB.
            // Whoever says all of CONNECT at once gets in.
            let part =
                [0x10, 0xE0, 0xD4, 0x03, 0x00, 0x04] + Array("MQTT".utf8) + [0x05, 0x02, 0x00, 0x3C, 0x00, 0xFF, 0xF0]
            let clients = try (0..<3).map { _ in
                let client = try RawClient(port: server.port)
                try client.send(bytes: part + [UInt8](repeating: 0x61, count: 20_000 - part.count))
                return client
            }
            try eventually("one is refused") { server.server.metrics.connectionsRefused == 1 }
            #expect(server.server.metrics.connectionsOpen == 3)
            #expect(try witness.isAlive())
            #expect(try server.client("late").isAlive())
            withExtendedLifetime(clients) {}
        }
    }

    @Test("A subscriber that does not read is bounded, loses QoS 0 alone, and stalls nobody")
    func slowSubscriber() async throws {
        var limits = SiteServerLimits()
        limits.outboundBytesMax = 128 << 10
        limits.outboundResumeBytes = 64 << 10
        try await TestServer.with(limits: limits) { server in
            let slow = try RawClient(port: server.port, receiveBufferBytes: 4_096)
            try slow.connect("slow")
            try slow.subscribe("feed/#")
            let quick = try server.client("quick")
            try quick.subscribe("feed/#")
            let publisher = try server.client("publisher")
            let payload = String(repeating: "x", count: 1_000)
            let batch = (0..<100).flatMap { _ in publisher.encoded(.publish(publisher.publication("feed/a", payload))) }
            let count = 20_000
            for _ in 0..<(count / 100) {
                try publisher.send(bytes: batch)
                for _ in 0..<100 { _ = try quick.nextPublish() }
            }
            let statistics = try await server.server.withCore { core, _, _ in core.statistics }
            let dropped = statistics.dropped.values.reduce(0, +)
            #expect(dropped > 0)
            // What the slow one can have got is bounded by the limit and the kernel's buffers.
            #expect(dropped > UInt64(count) / 2, "\(statistics.dropped)")
            #expect(server.server.metrics.outboundOverflows == 0)
            #expect(try quick.isAlive())
            // It reads again: what was on its way comes, then it is served again.
            try slow.send(.pingreq)
            var packet = try slow.next()
            while packet != .pingresp { packet = try slow.next() }
            try publisher.publish("feed/a", "again")
            #expect(String(buffer: try slow.nextPublish().payload) == "again")
        }
    }

    @Test("Whoever sends and never reads the answers is not read from any more, and goes on when it does read")
    func neverReads() async throws {
        var limits = SiteServerLimits()
        limits.outboundBytesMax = 32 << 10
        limits.outboundResumeBytes = 16 << 10
        limits.slowClientBytesMax = 16 << 10
        try await TestServer.with(limits: limits) { server in
            let client = try RawClient(port: server.port, receiveBufferBytes: 4_096)
            try client.connect("flood")
            try client.subscribe("feed")
            let publisher = try server.client("publisher")
            let payload = String(repeating: "x", count: 60_000)
            var dropped: UInt64 = 0
            for _ in 0..<1_000 where dropped == 0 {
                try publisher.publish("feed", payload)
                #expect(try publisher.isAlive())
                dropped = try await server.server.withCore { core, _, _ in core.statistics.dropped.values.reduce(0, +) }
            }
            #expect(dropped > 0, "the client is full")
            let pings = (0..<(64 << 10)).map { UInt8($0 % 2 == 0 ? 0xC0 : 0x00) }
            var sent = 0
            try eventually("reading halts") {
                sent += client.sendWithoutWaiting(bytes: Array(pings[(sent % 2)...]))
                return server.server.metrics.readingPauses > 0
            }
            #expect(try server.client("witness").isAlive())
            // Every whole PINGREQ gets its answer once the client reads.
            var answers = 0
            while answers < sent / 2 { if case .pingresp = try client.next() { answers += 1 } }
        }
    }
}
