import Foundation
import MQTT
import MosquittoClient
import MosquittoFixture
import NIOCore
import Testing

@testable import Bridge

/// The relay's bytes towards the other broker, with the test as that broker and as the core.
@Suite(.serialized)
struct RelayWireTests {
    private static let both2 = [RelayTopic(pattern: "bridge/#", direction: .both, qos: .exactlyOnce)]
    private static let out1 = [RelayTopic(pattern: "bridge/#", direction: .out, qos: .atLeastOnce)]

    /// Takes the relay on both sides, with one line that goes both ways.
    private func takeUp(_ core: CoreSide, _ remote: PacketServer, subscribeID: UInt16 = 1) throws {
        try remote.accept()
        #expect(try remote.next() == .subscribe(Self.subscribe(subscribeID, remote.version)))
        try core.answerSubscribe()
    }

    /// Both sides of a relay with one line that goes both ways, taken up. It runs for as long as `bench` is held.
    private func started(
        _ version: ProtocolVersion
    ) throws -> (core: CoreSide, remote: PacketServer, bench: RelayBench) {
        let core = try CoreSide()
        let remote = try PacketServer(version: version)
        let line = RelayTopic(pattern: "bridge/#", direction: .both, qos: currentQoS.value)
        let bench = try RelayBench(.sample(remote.port, [line], version: version), localPort: core.port)
        try core.accept()
        try takeUp(core, remote)
        return (core, remote, bench)
    }

    private static func subscribe(_ id: UInt16, _ version: ProtocolVersion, qos: QoS? = nil) -> Subscribe {
        let options = SubscriptionOptions(
            qos: qos ?? currentQoS.wrapped,
            noLocal: version == .v5,
            retainAsPublished: version == .v5
        )
        return Subscribe(packetID: id, requests: [.init(filter: "bridge/#", options: options)])
    }

    /// The QoS of the line of the running test.
    private enum currentQoS {
        @TaskLocal static var value = QoS.atLeastOnce
        static var wrapped: QoS { value }
    }

    @Test("CONNECT is Mosquitto's: bit 7 of the protocol level on 3.1 and 3.1.1, its properties on 5.0")
    func connectBytes() throws {
        let id: [UInt8] = [0, 11] + Array("host.sample".utf8)
        let cases: [(ProtocolVersion, Bool, [UInt8])] = [
            (.v3_1_1, true, [0x10, 23, 0, 4, 77, 81, 84, 84, 0x84, 0, 0, 60] + id),
            (.v3_1_1, false, [0x10, 23, 0, 4, 77, 81, 84, 84, 0x04, 0, 0, 60] + id),
            (.v3_1, true, [0x10, 25, 0, 6, 77, 81, 73, 115, 100, 112, 0x83, 0, 0, 60] + id),
            (.v5, true, [0x10, 30, 0, 4, 77, 81, 84, 84, 5, 0, 0, 60, 6, 0x22, 0, 10, 0x21, 0, 20] + id),
        ]
        for (version, triesPrivate, bytes) in cases {
            let core = try CoreSide()
            let remote = try PacketServer(version: version)
            let bench = try RelayBench(
                .sample(remote.port, Self.out1, version: version) { $0.triesPrivate = triesPrivate },
                localPort: core.port
            )
            try core.accept()
            try remote.server.accept()
            _ = try remote.expectConnect()
            #expect(remote.lastBytes == bytes)
            withExtendedLifetime(bench) {}
        }
    }

    @Test("On this side the relay is a 5.0 client that keeps its session and takes nothing of its own back")
    func localSession() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(.sample(remote.port, Self.both2), localPort: core.port)
        core.packets.version = .v5
        let connect = try core.packets.accept()
        #expect(connect.clientID == "local.host.sample")
        #expect(!connect.cleanStart)
        #expect(connect.properties == [.sessionExpiryInterval(.max), .receiveMaximum(20)])
        let subscribe = try core.answerSubscribe()
        let request = try #require(subscribe.requests.first)
        #expect(request.filter == "bridge/#")
        #expect(request.options.noLocal && request.options.retainAsPublished)
        #expect(request.options.retainHandling == .doNotSend)
        try remote.accept()
        _ = try remote.next()
        // Retained messages come with the connection.
        #expect(try core.answerSubscribe().requests.first?.options.retainHandling == .sendAtSubscribe)
        withExtendedLifetime(bench) {}
    }

    @Test(
        "A QoS 1 message of the other broker is acknowledged after the core has",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func incomingQoS1(version: ProtocolVersion) throws {
        let (core, remote, bench) = try started(version)
        remote.send(.publish(.text("bridge/disconnect/test", "m", qos: .atLeastOnce, id: 3)))
        let publish = try core.packets.next()
        #expect(publish == .publish(.text("bridge/disconnect/test", "m", qos: .atLeastOnce, id: 3)))
        // Nobody has it on a disk yet.
        #expect(remote.isSilent())
        core.packets.send(.puback(Acknowledgement(packetID: 3, reason: .noMatchingSubscribers)))
        #expect(try remote.next() == .puback(.id(3)))
        #expect(remote.lastBytes == [0x40, 2, 0, 3])
        withExtendedLifetime(bench) {}
    }

    @Test(
        "C13: PUBREC goes to the other broker after the core's, and the exchange goes on over three connections",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func incomingQoS2(version: ProtocolVersion) throws {
        try currentQoS.$value.withValue(.exactlyOnce) {
            let (core, remote, bench) = try started(version)
            let message = Publish.text("bridge/disconnect/test", "m", qos: .exactlyOnce, id: 5)
            var repeated = message
            repeated.duplicate = true
            remote.send(.publish(message))
            #expect(try core.packets.next() == .publish(message))
            #expect(remote.isSilent())
            core.packets.send(.pubrec(.id(5)))
            #expect(try remote.next() == .pubrec(.id(5)))
            remote.hangUp()
            // The other broker has not seen it, and says it again.
            try remote.accept(sessionPresent: true)
            #expect(try remote.next() == .subscribe(Self.subscribe(2, version)))
            try core.answerSubscribe()
            remote.send(.publish(repeated))
            #expect(try remote.next() == .pubrec(.id(5)))
            remote.send(.pubrel(.id(5)))
            #expect(try core.packets.next() == .pubrel(.id(5)))
            remote.hangUp()
            core.packets.send(.pubcomp(.id(5)))
            // PUBCOMP was lost: PUBREL comes again, and the core, which knows nothing more of it, says so.
            try remote.accept(sessionPresent: true)
            #expect(try remote.next() == .subscribe(Self.subscribe(3, version)))
            try core.answerSubscribe()
            remote.send(.pubrel(.id(5)))
            #expect(try core.packets.next() == .pubrel(.id(5)))
            core.packets.send(.pubcomp(Acknowledgement(packetID: 5, reason: .packetIdentifierNotFound)))
            #expect(try remote.next() == .pubcomp(.id(5)))
            withExtendedLifetime(bench) {}
        }
    }

    @Test(
        "A QoS 1 message is sent again with DUP under its identifier after SUBSCRIBE",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func outgoingQoS1(version: ProtocolVersion) throws {
        let (core, remote, bench) = try started(version)
        core.packets.send(.publish(.text("bridge/t", "m", qos: .atLeastOnce, id: 41)))
        #expect(try remote.next() == .publish(.text("bridge/t", "m", qos: .atLeastOnce, id: 2)))
        #expect(core.packets.isSilent())
        remote.hangUp()
        try takeUp(core, remote, subscribeID: 3)
        #expect(try remote.next() == .publish(.text("bridge/t", "m", qos: .atLeastOnce, id: 2, duplicate: true)))
        remote.send(.puback(.id(2)))
        #expect(try core.packets.next() == .puback(.id(41)))
        withExtendedLifetime(bench) {}
    }

    @Test(
        "A QoS 2 message goes on where it was: PUBLISH with DUP, then PUBREL, under one identifier",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func outgoingQoS2(version: ProtocolVersion) throws {
        try currentQoS.$value.withValue(.exactlyOnce) {
            let (core, remote, bench) = try started(version)
            core.packets.send(.publish(.text("bridge/t", "m", qos: .exactlyOnce, id: 7)))
            #expect(try remote.next() == .publish(.text("bridge/t", "m", qos: .exactlyOnce, id: 2)))
            remote.hangUp()
            try takeUp(core, remote, subscribeID: 3)
            #expect(try remote.next() == .publish(.text("bridge/t", "m", qos: .exactlyOnce, id: 2, duplicate: true)))
            remote.send(.pubrec(.id(2)))
            #expect(try core.packets.next() == .pubrec(.id(7)))
            core.packets.send(.pubrel(.id(7)))
            #expect(try remote.next() == .pubrel(.id(2)))
            remote.hangUp()
            try takeUp(core, remote, subscribeID: 4)
            #expect(try remote.next() == .pubrel(.id(2)))
            #expect(core.packets.isSilent())
            remote.send(.pubcomp(.id(2)))
            #expect(try core.packets.next() == .pubcomp(.id(7)))
            withExtendedLifetime(bench) {}
        }
    }

    @Test("C12: the connection is cut between PUBREC and PUBREL for each of 100 messages, and all complete")
    func cutBetweenPubrecAndPubrel() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let topics = [RelayTopic(pattern: "#", direction: .out, qos: .exactlyOnce)]
        let bench = try RelayBench(
            .sample(remote.port, topics) {
                $0.attemptsUnsubscribe = false
                $0.restart = .constant(milliseconds: 1)
            },
            localPort: core.port
        )
        try core.accept()
        try remote.accept()
        try core.answerSubscribe()
        for number in 1...UInt16(100) {
            core.packets.send(.publish(.text("t", "\(number)", qos: .exactlyOnce, id: number)))
            #expect(try remote.next() == .publish(.text("t", "\(number)", qos: .exactlyOnce, id: number)))
            remote.send(.pubrec(.id(number)))
            #expect(try core.packets.next() == .pubrec(.id(number)))
            remote.hangUp()
            core.packets.send(.pubrel(.id(number)))
            try remote.accept(sessionPresent: true)
            try core.answerSubscribe()
            #expect(try remote.next() == .pubrel(.id(number)))
            remote.send(.pubcomp(.id(number)))
            #expect(try core.packets.next() == .pubcomp(.id(number)))
        }
        try eventually("all are acknowledged") { bench.relay.health.acknowledgedTotal == 100 }
        let lastAck = try #require(bench.relay.health.lastAckMilliseconds)
        #expect(abs(MonotonicClock.wallMilliseconds() - lastAck) < 60_000)
    }

    @Test("What comes late finds what waited: CONNECT, then the message under identifier 1")
    func lateConnection() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(
            .sample(remote.port, Self.out1) { $0.attemptsUnsubscribe = false },
            localPort: core.port
        )
        try core.accept()
        try remote.server.accept()
        core.packets.send(.publish(.text("bridge/test", "message", qos: .atLeastOnce, id: 1)))
        _ = try remote.expectConnect()
        remote.send(.connack(Connack()))
        #expect(try remote.next() == .publish(.text("bridge/test", "message", qos: .atLeastOnce, id: 1)))
        #expect(remote.isSilent())
        withExtendedLifetime(bench) {}
    }

    @Test("Acknowledgements of nothing are answered as Mosquitto answers them, and the connection goes on")
    func unknownAcknowledgements() throws {
        for version in [ProtocolVersion.v3_1_1, .v5] {
            let core = try CoreSide()
            let remote = try PacketServer(version: version)
            let bench = try RelayBench(
                .sample(remote.port, [RelayTopic(pattern: "bridge/#")], version: version) {
                    $0.isRemoteSessionClean = true
                },
                localPort: core.port
            )
            try core.accept(subscribes: false)
            let connect = try remote.accept()
            #expect(connect.cleanStart)
            try core.answerSubscribe()
            #expect(try remote.next() == .unsubscribe(Unsubscribe(packetID: 1, filters: ["bridge/#"])))
            remote.send(.unsuback(Unsuback(packetID: 1, reasons: [.success])))
            remote.send(.puback(.id(2_000)))
            remote.send(.pubrec(.id(2_001)))
            #expect(try remote.next() == .pubrel(.id(2_001)))
            remote.send(.pubrel(.id(2_002)))
            #expect(try core.packets.next() == .pubrel(.id(2_002)))
            core.packets.send(.pubcomp(Acknowledgement(packetID: 2_002, reason: .packetIdentifierNotFound)))
            #expect(try remote.next() == .pubcomp(.id(2_002)))
            remote.send(.pubcomp(.id(2_003)))
            // A broker's PINGREQ, which Mosquitto's bridges answer.
            remote.server.send([0xC0, 0])
            #expect(remote.server.readPacket() == [0xD0, 0])
            // Nobody asked for it: it is acknowledged, so that it does not come again, and goes nowhere.
            remote.send(.publish(.text("bridge/unknown", "bridge-message", qos: .atLeastOnce, id: 180)))
            #expect(try remote.next() == .puback(.id(180)))
            #expect(core.packets.isSilent())
            #expect(bench.relay.health.dropped["unsolicited"] == 1)
        }
    }
}
