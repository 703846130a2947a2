import Access
import Broker
import Foundation
import Glibc
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("Clients inside the process", .serialized) struct LocalAttachmentTests {
    private let nobody = [RuleAuthorizer.Rule(users: ["nobody"], publish: ["#"])]

    @Test("An attached client speaks MQTT with everybody, and no authorizer is asked about it")
    func attached() async throws {
        let rules = [RuleAuthorizer.Rule(clients: ["device"], publish: ["#"], subscribe: ["#"])]
        try await TestServer.with(rules: rules) { server in
            let bridge = RawClient(descriptor: try await server.server.attachLocal(.init(name: "cloud")))
            try bridge.connect("local.host.cloud", username: "somebody", password: "else")
            #expect(try bridge.subscribe("#", .atLeastOnce) == [.grantedQoS1])
            let device = try server.client("device")
            try device.subscribe("down/#")
            try device.publish("up/1", "a")
            #expect(String(buffer: try bridge.nextPublish().payload) == "a")
            try bridge.publish("down/1", "b")
            #expect(String(buffer: try device.nextPublish().payload) == "b")
            #expect(server.server.metrics.connectionsOpen == 2)
        }
    }

    @Test("An attached client may say its state below $SYS; one that is asked about may not")
    func reserved() async throws {
        try await TestServer.with { server in
            let watcher = try server.client("watcher")
            try watcher.subscribe("$SYS/broker/connection/#")
            for (name, bypasses) in [("asked", false), ("cloud", true)] {
                let attachment = LocalAttachment(name: name, bypassesAccess: bypasses)
                let bridge = RawClient(descriptor: try await server.server.attachLocal(attachment))
                try bridge.connect("bridge-\(name)")
                try bridge.publish("$SYS/broker/connection/\(name)/state", "1", .atLeastOnce, packetID: 1)
                guard case .puback(let answer) = try bridge.next() else { throw DeadlinePassed(description: "PUBACK") }
                #expect(answer.reason.isError == !bypasses)
            }
            let state = try watcher.nextPublish()
            #expect(String(buffer: state.topic.bytes) == "$SYS/broker/connection/cloud/state")
        }
    }

    @Test("A client of the network with the same client identifier does not take over an attached one's session")
    func identity() async throws {
        try await TestServer.with { server in
            let bridge = RawClient(descriptor: try await server.server.attachLocal(.init(name: "cloud")))
            try bridge.connect("local.host.cloud")
            try bridge.subscribe("a")
            let other = try RawClient(port: server.port)
            let answer = try other.connect("local.host.cloud")
            #expect(!answer.sessionPresent)
            #expect(try bridge.isAlive())
        }
    }

    @Test("Attached clients have their own limit, and their end is the end of their connection")
    func limit() async throws {
        var limits = SiteServerLimits()
        limits.localAttachmentsMax = 1
        limits.connectionsPerAddressMax = 1
        try await TestServer.with(limits: limits) { server in
            for round in 0..<3 {
                var first: RawClient? = RawClient(
                    descriptor: try await server.server.attachLocal(.init(name: "cloud-\(round)"))
                )
                try first?.connect("one")
                let second = RawClient(descriptor: try await server.server.attachLocal(.init(name: "second")))
                #expect(try second.untilClosed().isEmpty)
                first = nil
                try eventually("the first is gone") { server.server.metrics.connectionsOpen == 0 }
            }
            #expect(try server.client("network").isAlive())
        }
    }

    @Test("The socket of an attached client is not inherited by other programs")
    func closeOnExec() async throws {
        try await TestServer.with { server in
            let descriptor = try await server.server.attachLocal(.init(name: "cloud"))
            #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
            close(descriptor)
        }
    }
}
