import Broker
import Foundation
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("With a journal", .serialized) struct DurableTests {
    private let persistent: Properties = [.sessionExpiryInterval(3_600)]

    @Test(
        "A message acknowledged for a persistent session is there after a restart, with and without a checkpoint",
        arguments: [64 << 10, 64 << 20]
    )
    func restart(checkpointBytes: Int) async throws {
        let folder = try TemporaryFolder()
        var limits = SiteServerLimits()
        limits.checkpointBytes = checkpointBytes
        let count = 2_000
        try await TestServer.with(limits: limits, journal: folder.path("journal")) { server in
            let subscriber = try RawClient(port: server.port)
            try subscriber.connect("nurse", cleanStart: false, properties: persistent)
            try subscriber.subscribe("ward/#", .atLeastOnce)
            try subscriber.send(.disconnect(.init()))
            let publisher = try server.client("device")
            for number in 1...count {
                try publisher.publish("ward/1", "\(number)", .atLeastOnce, packetID: UInt16(number))
                if number % 50 == 0 {
                    for _ in 0..<50 { guard case .puback = try publisher.next() else { throw Unexpected() } }
                }
            }
            if checkpointBytes < 1 << 20 {
                try eventually("a checkpoint") { server.server.metrics.checkpoints > 0 }
            }
        }
        try await TestServer.with(limits: limits, journal: folder.path("journal")) { server in
            let subscriber = try RawClient(port: server.port)
            #expect(try subscriber.connect("nurse", cleanStart: false, properties: persistent).sessionPresent)
            for number in 1...count {
                let message = try subscriber.nextPublish()
                #expect(String(buffer: message.payload) == "\(number)")
                try subscriber.send(.puback(Acknowledgement(packetID: message.packetID)))
            }
            #expect(try subscriber.isAlive())
        }
    }

    @Test("Reading halts while the journal is behind, goes on after, and nothing is lost or answered twice")
    func journalBehind() async throws {
        let folder = try TemporaryFolder()
        var limits = SiteServerLimits()
        limits.journalPendingBytesMax = 64 << 10
        try await TestServer.with(limits: limits, journal: folder.path("journal")) { server in
            try await server.server.withCore { core, _, _ in
                core.addDurableReader(name: "bridge", filters: (try? TopicFilter("#")).map { [$0] } ?? [])
            }
            let publisher = try server.client("device")
            let payload = String(repeating: "x", count: 8_000)
            let window = 200
            for _ in 0..<10 {
                let batch = (1...window).flatMap {
                    publisher.encoded(.publish(publisher.publication("t", payload, .atLeastOnce, packetID: UInt16($0))))
                }
                try publisher.send(bytes: batch)
                for expected in 1...window {
                    guard case .puback(let answer) = try publisher.next() else { throw Unexpected() }
                    #expect(answer.packetID == UInt16(expected))
                }
            }
            #expect(server.server.metrics.readingPauses > 0)
            #expect(try publisher.isAlive())
        }
    }

    @Test("Commits of a handler are one batch, and their outputs are delivered")
    func handlerCommits() async throws {
        let folder = try TemporaryFolder()
        try await TestServer.with(journal: folder.path("journal")) { server in
            let subscriber = try server.client("till")
            try subscriber.subscribe("coupon/#", .atLeastOnce)
            let commits = (1...3).map { number in
                HandlerCommit(
                    handler: "welcome",
                    position: MessageReference(record: UInt64(number), index: 0),
                    key: "k",
                    state: ByteBuffer(string: "\(number)"),
                    outputs: [
                        .init(
                            topic: "coupon/k",
                            payload: ByteBuffer(string: "\(number)"),
                            qos: .atLeastOnce,
                            retain: false,
                            properties: []
                        )
                    ],
                    decision: nil
                )
            }
            server.server.submit(commits)
            for number in 1...3 { #expect(String(buffer: try subscriber.nextPublish().payload) == "\(number)") }
        }
    }
}
