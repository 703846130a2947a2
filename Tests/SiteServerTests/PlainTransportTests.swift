import Foundation
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("Plain TCP", .serialized) struct PlainTransportTests {
    @Test(
        "Publish and subscribe work at every quality of service in every version",
        arguments: ProtocolVersion.allCases,
        QoS.allCases
    )
    func allVersionsAndQualities(version: ProtocolVersion, qos: QoS) async throws {
        try await TestServer.with { server in
            let subscriber = try RawClient(port: server.port, version: version)
            #expect(try subscriber.connect("subscriber").reason == .success)
            #expect(try subscriber.subscribe("ward/+/cgm", qos) == [ReasonCode(rawValue: qos.rawValue)])
            let publisher = try RawClient(port: server.port, version: version)
            try publisher.connect("publisher")
            try publisher.publish("ward/3/cgm", "117", qos, packetID: qos == .atMostOnce ? 0 : 7)
            switch qos {
            case .atMostOnce: break
            case .atLeastOnce:
                guard case .puback(let answer) = try publisher.next() else { throw Unexpected() }
                #expect(answer.packetID == 7)
            case .exactlyOnce:
                guard case .pubrec(let answer) = try publisher.next() else { throw Unexpected() }
                #expect(answer.packetID == 7)
                try publisher.send(.pubrel(Acknowledgement(packetID: 7)))
                guard case .pubcomp = try publisher.next() else { throw Unexpected() }
            }
            let message = try subscriber.nextPublish()
            #expect(message.topic.string == "ward/3/cgm")
            #expect(String(buffer: message.payload) == "117")
            #expect(message.qos == qos)
            if qos == .exactlyOnce {
                try subscriber.send(.pubrec(Acknowledgement(packetID: message.packetID)))
                guard case .pubrel = try subscriber.next() else { throw Unexpected() }
                try subscriber.send(.pubcomp(Acknowledgement(packetID: message.packetID)))
            }
            #expect(try subscriber.isAlive())
        }
    }

    @Test("mosquitto_pub and mosquitto_sub work at every quality of service", arguments: 0...2)
    func mosquittoTools(qos: Int) async throws {
        try await TestServer.with { server in
            let arguments = ["-h", "127.0.0.1", "-p", "\(server.port)", "-q", "\(qos)"]
            let subscriber = try Tool(
                "mosquitto_sub",
                arguments + ["-t", "pos/#", "-v", "-C", "3", "-W", "15"]
            )
            try await server.subscriptions(1)
            for version in ["mqttv31", "mqttv311", "mqttv5"] {
                let result = try Tool.run(
                    "mosquitto_pub",
                    arguments + ["-t", "pos/\(version)", "-m", "sale \(version)", "-V", version]
                )
                #expect(result.status == 0, "\(result.text)")
            }
            #expect(try subscriber.wait() == 0)
            for version in ["mqttv31", "mqttv311", "mqttv5"] {
                #expect(subscriber.text.contains("pos/\(version) sale \(version)"))
            }
        }
    }

    @Test("Packets that come byte by byte are put together")
    func byteByByte() async throws {
        try await TestServer.with { server in
            let subscriber = try server.client("subscriber")
            try subscriber.subscribe("a/b", .atLeastOnce)
            let publisher = try RawClient(port: server.port)
            let connect = publisher.encoded(.connect(Connect(clientID: "drip")))
            for byte in connect { try publisher.send(bytes: [byte]) }
            guard case .connack(let connack) = try publisher.next() else { throw Unexpected() }
            #expect(connack.reason == .success)
            let publish = publisher.encoded(.publish(publisher.publication("a/b", "slow", .atLeastOnce, packetID: 1)))
            for byte in publish { try publisher.send(bytes: [byte]) }
            guard case .puback = try publisher.next() else { throw Unexpected() }
            #expect(String(buffer: try subscriber.nextPublish().payload) == "slow")
        }
    }

    @Test("Many packets in one write, cut at every place, arrive whole and in order")
    func anyCut() async throws {
        try await TestServer.with { server in
            let subscriber = try server.client("subscriber")
            try subscriber.subscribe("n")
            let publisher = try server.client("publisher")
            var seed = SystemRandomNumberGenerator()
            let count = 2_000
            var stream: [UInt8] = []
            for number in 0..<count { stream += publisher.encoded(.publish(publisher.publication("n", "\(number)"))) }
            var position = 0
            while position < stream.count {
                let end = min(stream.count, position + Int.random(in: 1...97, using: &seed))
                try publisher.send(bytes: Array(stream[position..<end]))
                position = end
            }
            for number in 0..<count { #expect(String(buffer: try subscriber.nextPublish().payload) == "\(number)") }
        }
    }

    @Test("A payload larger than every buffer on the way arrives unharmed")
    func largePayload() async throws {
        try await TestServer.with { server in
            let subscriber = try server.client("subscriber")
            try subscriber.subscribe("camera", .atLeastOnce)
            let publisher = try server.client("publisher")
            let picture = (0..<1_900_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 9)) }
            try publisher.send(
                .publish(
                    Publish(topic: "camera", payload: ByteBuffer(bytes: picture), qos: .atLeastOnce, packetID: 1)
                )
            )
            let received = try subscriber.nextPublish()
            #expect(Array(received.payload.readableBytesView) == picture)
        }
    }

    @Test("A malformed packet closes its own connection, with the reason, and no other")
    func malformed() async throws {
        try await TestServer.with { server in
            let witness = try server.client("witness")
            let culprit = try server.client("culprit")
            // PUBLISH with QoS 3 [MQTT-3.3.1-4].
            try culprit.send(bytes: [0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01])
            guard case .disconnect(let farewell) = try culprit.next() else { throw Unexpected() }
            #expect(farewell.reason == .malformedPacket)
            #expect(try culprit.untilClosed().isEmpty)
            #expect(try witness.isAlive())
            #expect(server.server.metrics.protocolErrors == 1)
            #expect(server.log.messages("A connection was closed by the broker").count == 1)
        }
    }

    @Test(
        "What is not CONNECT at first, or not MQTT at all, closes the connection",
        arguments: [
            [0xC0, 0x00], Array("GET / HTTP/1.1\r\n\r\n".utf8), [0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x00, 0x00],
        ]
    )
    func notMQTT(bytes: [UInt8]) async throws {
        try await TestServer.with { server in
            let culprit = try RawClient(port: server.port)
            try culprit.send(bytes: bytes)
            #expect(try culprit.untilClosed().isEmpty)
            #expect(try server.client("next").isAlive())
        }
    }

    @Test("A packet beyond the limit is refused from its header with 0x95, which arrives although more is being sent")
    func oversize() async throws {
        var limits = SiteServerLimits()
        limits.decoder = DecoderLimits(maxPacketBytes: 10_000)
        try await TestServer.with(limits: limits) { server in
            let culprit = try server.client("culprit")
            let packet = culprit.encoded(.publish(culprit.publication("a", String(repeating: "x", count: 400_000))))
            // The server may close while this is being sent; what counts is that the reason arrives.
            try? culprit.send(bytes: packet)
            guard case .disconnect(let farewell) = try culprit.next() else { throw Unexpected() }
            #expect(farewell.reason == .packetTooLarge)
            #expect(try server.client("next").isAlive())
        }
    }

    @Test("A half-closed connection is closed, and its will goes out")
    func halfClosed() async throws {
        try await TestServer.with { server in
            let witness = try server.client("witness")
            try witness.subscribe("gone")
            let client = try RawClient(port: server.port)
            let will = Will(topic: "gone", payload: ByteBuffer(string: "till"), qos: .atMostOnce, retain: false)
            try client.send(.connect(Connect(clientID: "till", will: will)))
            guard case .connack = try client.next() else { throw Unexpected() }
            client.shutDownSending()
            #expect(String(buffer: try witness.nextPublish().payload) == "till")
            #expect(try client.untilClosed().isEmpty)
        }
    }

    @Test("CONNECT, SUBSCRIBE and PUBLISH in one write need not wait for CONNACK [MQTT-3.1.4-5]")
    func pipelined() async throws {
        try await TestServer.with { server in
            let client = try RawClient(port: server.port)
            try client.send(
                bytes: client.encoded(.connect(Connect(clientID: "eager")))
                    + client.encoded(.subscribe(Subscribe(packetID: 1, requests: [.init(filter: "echo")])))
                    + client.encoded(.publish(client.publication("echo", "at once")))
            )
            guard case .connack = try client.next(), case .suback = try client.next() else { throw Unexpected() }
            #expect(String(buffer: try client.nextPublish().payload) == "at once")
        }
    }

    @Test("A second connection with the same identity takes over, and the first is told 0x8E")
    func takeOver() async throws {
        try await TestServer.with { server in
            let first = try server.client("twin")
            let second = try server.client("twin")
            guard case .disconnect(let farewell) = try first.next() else { throw Unexpected() }
            #expect(farewell.reason == .sessionTakenOver)
            #expect(try second.isAlive())
        }
    }

    @Test("Shutting down tells 5.0 clients and ends their connections")
    func shutDown() async throws {
        let (client, metrics) = try await TestServer.with { server in
            let client = try server.client("client")
            await server.server.shutDown(gracePeriod: .seconds(5))
            return (client, server.server.metrics)
        }
        guard case .disconnect(let farewell) = try client.next() else { throw Unexpected() }
        #expect(farewell.reason == .serverShuttingDown)
        #expect(try client.untilClosed().isEmpty)
        #expect(metrics.connectionsAccepted == 1)
    }
}

struct Unexpected: Error {}
