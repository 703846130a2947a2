import Foundation
import MQTT
import MosquittoFixture
import NIOCore
import Testing

@testable import Bridge

/// A relay's life: states, sessions, addresses, start types, reloads, peers that misbehave.
@Suite(.serialized)
struct RelayRuntimeTests {
    private static let out = [RelayTopic(pattern: "bridge/#", direction: .out, qos: .atLeastOnce)]
    private static let into = [RelayTopic(pattern: "bridge/#", direction: .in, qos: .atLeastOnce)]

    @Test("The connection's state is published on both sides, retained, and stands in the will there")
    func states() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(
            .sample(remote.port, Self.into) { $0.publishesState = true },
            localPort: core.port
        )
        let topic = "$SYS/broker/connection/host.sample/state"
        func state(_ text: String, _ id: UInt16) -> Packet {
            .publish(.text(topic, text, qos: .atLeastOnce, id: id, retain: true))
        }
        try core.accept(subscribes: false)
        // At the start nobody knows better than that it is down.
        #expect(try core.packets.next() == state("0", 65_535))
        core.packets.send(.puback(.id(65_535)))
        let connect = try remote.accept()
        let will = try #require(connect.will)
        #expect(will.topic.string == topic && will.retain && will.qos == .atLeastOnce)
        #expect(String(buffer: will.payload) == "0")
        #expect(try remote.next() == state("1", 1))
        #expect(try core.packets.next() == state("1", 65_535))
        core.packets.send(.puback(.id(65_535)))
        guard case .subscribe = try remote.next() else { throw DeadlinePassed(description: "no SUBSCRIBE came") }
        remote.hangUp()
        #expect(try core.packets.next() == state("0", 65_535))
        withExtendedLifetime(bench) {}
    }

    @Test("With notifications_local_only the other broker hears nothing of it, and the topic can be chosen")
    func localStates() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(
            .sample(remote.port, Self.into) {
                $0.publishesState = true
                $0.publishesStateLocallyOnly = true
                $0.stateTopic = "bridge_state"
            },
            localPort: core.port
        )
        try core.accept(subscribes: false)
        _ = try core.packets.next()
        #expect(try remote.accept().will == nil)
        guard case .subscribe = try remote.next() else { throw DeadlinePassed(description: "no SUBSCRIBE came") }
        guard case .publish(let up) = try core.packets.next() else { throw DeadlinePassed(description: "no state") }
        #expect(up.topic.string == "bridge_state" && String(buffer: up.payload) == "1")
        withExtendedLifetime(bench) {}
    }

    @Test("bridge_outgoing_retain false takes the flag off, as a broker without retained messages does")
    func outgoingRetain() throws {
        for (keeps, properties, expected) in [
            (true, Properties(), true), (false, [], false), (true, [.retainAvailable(0)], false),
        ] as [(Bool, Properties, Bool)] {
            let core = try CoreSide()
            let remote = try PacketServer(version: .v5)
            let bench = try RelayBench(
                .sample(remote.port, Self.out, version: .v5) {
                    $0.keepsOutgoingRetain = keeps
                    $0.attemptsUnsubscribe = false
                },
                localPort: core.port
            )
            try core.accept()
            try remote.accept(properties: properties)
            try core.answerSubscribe()
            core.packets.send(.publish(.text("bridge/r", "m", retain: true)))
            #expect(try remote.next() == .publish(.text("bridge/r", "m", retain: expected)))
            withExtendedLifetime(bench) {}
        }
    }

    @Test("What CONNACK grants is kept to: window, packet size, quality of service")
    func grants() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v5)
        let topics = [RelayTopic(pattern: "#", direction: .out, qos: .exactlyOnce)]
        let bench = try RelayBench(
            .sample(remote.port, topics, version: .v5) { $0.attemptsUnsubscribe = false },
            localPort: core.port
        )
        try core.accept()
        try remote.accept(properties: [.receiveMaximum(1), .maximumPacketSize(64), .maximumQoS(1)])
        try core.answerSubscribe()
        let large = String(repeating: "x", count: 100)
        core.packets.send(.publish(.text("a", large, qos: .atLeastOnce, id: 1)))
        core.packets.send(.publish(.text("b", "1", qos: .exactlyOnce, id: 2)))
        core.packets.send(.publish(.text("c", "2", qos: .atLeastOnce, id: 3)))
        // Nobody there will ever take the large one.
        #expect(try core.packets.next() == .puback(.id(1)))
        #expect(try remote.next() == .publish(.text("b", "1", qos: .atLeastOnce, id: 1)))
        #expect(remote.isSilent())
        remote.send(.puback(.id(1)))
        #expect(try core.packets.next() == .pubrec(.id(2)))
        #expect(try remote.next() == .publish(.text("c", "2", qos: .atLeastOnce, id: 2)))
        core.packets.send(.pubrel(.id(2)))
        #expect(try core.packets.next() == .pubcomp(.id(2)))
        #expect(bench.relay.health.dropped["oversize"] == 1)
    }

    @Test("Properties go along, topic aliases and subscription identifiers end with their connection")
    func properties() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v5)
        let both = [RelayTopic(pattern: "#", direction: .both, qos: .atLeastOnce)]
        let bench = try RelayBench(.sample(remote.port, both, version: .v5), localPort: core.port)
        try core.accept()
        try remote.accept()
        _ = try remote.next()
        try core.answerSubscribe()
        let kept: Properties = [
            .contentType("t"), .userProperty(name: "b", value: "1"), .userProperty(name: "a", value: "2"),
            .responseTopic("r"), .messageExpiryInterval(60),
        ]
        var sent = kept
        sent.values.append(.subscriptionIdentifier(7))
        core.packets.send(.publish(.text("x", "m", properties: sent)))
        #expect(try remote.next() == .publish(.text("x", "m", properties: kept)))
        var aliased = kept
        aliased.values.append(.topicAlias(3))
        remote.send(.publish(.text("y", "m", properties: aliased)))
        remote.send(.publish(.text("", "n", properties: [.topicAlias(3)])))
        #expect(try core.packets.next() == .publish(.text("y", "m", properties: kept)))
        #expect(try core.packets.next() == .publish(.text("y", "n")))
        withExtendedLifetime(bench) {}
    }

    @Test("cleansession and local_cleansession decide what waits on which side")
    func cleanSessions() throws {
        for (remoteClean, localClean, keeps) in [
            (false, nil, true), (false, true, false), (true, nil, false), (true, false, true),
        ] as [(Bool, Bool?, Bool)] {
            let core = try CoreSide()
            let remote = try PacketServer(version: .v3_1_1)
            let bench = try RelayBench(
                .sample(remote.port, Self.out) {
                    $0.isRemoteSessionClean = remoteClean
                    $0.isLocalSessionClean = localClean
                    $0.attemptsUnsubscribe = false
                },
                localPort: core.port
            )
            try core.accept(subscribes: keeps)
            #expect(core.connect?.cleanStart == !keeps)
            #expect(try remote.accept().cleanStart == remoteClean)
            try core.answerSubscribe()
            core.packets.send(.publish(.text("bridge/1", "1", qos: .atLeastOnce, id: 1)))
            #expect(try remote.next() == .publish(.text("bridge/1", "1", qos: .atLeastOnce, id: 1)))
            remote.hangUp()
            if keeps {
                try remote.accept()
                try core.answerSubscribe()
                let repeated = Publish.text("bridge/1", "1", qos: .atLeastOnce, id: 1, duplicate: true)
                #expect(try remote.next() == .publish(repeated))
            } else {
                guard case .unsubscribe = try core.packets.next() else {
                    throw DeadlinePassed(description: "no UNSUBSCRIBE came")
                }
                #expect(try core.packets.next() == .puback(.id(1)))
                try remote.accept()
                try core.answerSubscribe()
                #expect(remote.isSilent())
            }
            withExtendedLifetime(bench) {}
        }
    }

    @Test("A broker that refuses bit 7 is asked without it, one without 5.0 in 3.1.1")
    func fallbacks() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(.sample(remote.port, Self.into), localPort: core.port)
        try core.accept(subscribes: false)
        try remote.server.accept()
        #expect(try remote.expectConnect().isBridge)
        remote.server.send([0x20, 2, 0, 1])
        try remote.server.accept()
        #expect(try !remote.expectConnect().isBridge)
        withExtendedLifetime(bench) {}

        let otherCore = try CoreSide()
        let old = try PacketServer(version: .v5)
        let other = try RelayBench(.sample(old.port, Self.into, version: .v5), localPort: otherCore.port)
        try otherCore.accept(subscribes: false)
        try old.server.accept()
        #expect(try old.expectConnect().version == .v5)
        old.server.send([0x20, 2, 0, 1])
        try old.server.accept()
        let connect = try old.expectConnect()
        #expect(connect.version == .v3_1_1 && connect.isBridge)
        withExtendedLifetime(other) {}
    }

    @Test("B4, B5: whatever the other broker says, this side goes on and the relay comes back", arguments: 0..<40)
    func hostileBroker(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let core = try CoreSide()
        let version: ProtocolVersion = seed % 2 == 0 ? .v3_1_1 : .v5
        let remote = try PacketServer(version: version)
        let bench = try RelayBench(
            .sample(remote.port, Self.into, version: version) { $0.restart = .constant(milliseconds: 1) },
            localPort: core.port
        )
        try core.accept(subscribes: false)
        let crafted: [[UInt8]] = [
            [0x20, 0], [0x20, 2, 0], [0x20, 2, 2, 0], [0x20, 3, 0, 0, 0x80], [0x90, 2, 0, 1], [0x90, 0],
            [0xB0, 2, 0, 9], [0x30, 0], [0x30, 2, 0xFF, 0xFF], [0x32, 12, 0, 6, 43, 43, 43, 43, 43, 43, 0, 4, 0, 51],
            [0x36, 5, 0, 1, 97, 0, 0], [0x3E, 5, 0, 1, 97, 0, 1], [0x40, 2, 0, 0], [0x62, 2, 0, 0],
            [0xE0, 0], [0xF0, 0], [0x10, 0], [0x82, 5, 0, 1, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            [0x30, 0xFF, 0xFF, 0xFF, 0x7F], [0x30, 7, 0, 1, 97, 2, 0x23, 0, 0],
        ]
        for round in 0..<6 {
            try remote.server.accept()
            _ = try remote.expectConnect()
            if round % 2 == 0 { remote.send(.connack(Connack())) }
            if Bool.random(using: &random), let bytes = crafted.randomElement(using: &random) {
                remote.server.send(bytes)
            } else {
                remote.server.send((0..<64).map { _ in UInt8.random(in: 0...255, using: &random) })
            }
            remote.hangUp()
        }
        // It still works, and nothing of all that reached the core.
        try remote.accept()
        guard case .subscribe = try remote.next() else { throw DeadlinePassed(description: "no SUBSCRIBE came") }
        remote.send(.publish(.text("bridge/x", "m")))
        #expect(try core.packets.next() == .publish(.text("bridge/x", "m")), "seed \(seed)")
        withExtendedLifetime(bench) {}
    }

    @Test("When the core ends the session, the other broker's connection goes too and gives back what was under way")
    func localLoss() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(
            .sample(remote.port, [RelayTopic(pattern: "#", direction: .both, qos: .atLeastOnce)]),
            localPort: core.port
        )
        try core.accept()
        try remote.accept()
        _ = try remote.next()
        try core.answerSubscribe()
        core.packets.send(.publish(.text("a", "1", qos: .atLeastOnce, id: 9)))
        #expect(try remote.next() == .publish(.text("a", "1", qos: .atLeastOnce, id: 2)))
        core.packets.hangUp()
        #expect(remote.server.readPacket() == nil)
        remote.hangUp()
        try core.accept(sessionPresent: true)
        // The core says again what was not acknowledged; it is one message there.
        core.packets.send(.publish(.text("a", "1", qos: .atLeastOnce, id: 9, duplicate: true)))
        try remote.accept(sessionPresent: true)
        _ = try remote.next()
        #expect(try remote.next() == .publish(.text("a", "1", qos: .atLeastOnce, id: 2, duplicate: true)))
        #expect(remote.isSilent())
        withExtendedLifetime(bench) {}
    }

    @Test("QoS 2 goes on after a restart of the process under the identifier that the other broker knows")
    func restartWithinQoS2() throws {
        try withTemporaryFolder { folder in
            let core = try CoreSide()
            let remote = try PacketServer(version: .v3_1_1)
            let topics = [RelayTopic(pattern: "#", direction: .out, qos: .exactlyOnce)]
            let settings = RelaySettings.sample(remote.port, topics) {
                $0.attemptsUnsubscribe = false
                $0.stateDirectory = folder.path
            }
            func start() throws -> RelayBench {
                let bench = try RelayBench(settings, localPort: core.port)
                try core.accept(sessionPresent: true)
                try remote.accept(sessionPresent: true)
                try core.answerSubscribe()
                return bench
            }
            let first = try start()
            core.packets.send(.publish(.text("a", "0", qos: .atLeastOnce, id: 1)))
            core.packets.send(.publish(.text("a", "1", qos: .exactlyOnce, id: 8)))
            core.packets.send(.publish(.text("a", "2", qos: .exactlyOnce, id: 9)))
            _ = try remote.next()
            #expect(try remote.next() == .publish(.text("a", "1", qos: .exactlyOnce, id: 2)))
            #expect(try remote.next() == .publish(.text("a", "2", qos: .exactlyOnce, id: 3)))
            remote.send(.pubrec(.id(3)))
            #expect(try core.packets.next() == .pubrec(.id(9)))
            first.relay.stop()
            remote.hangUp()
            core.packets.hangUp()
            let second = try start()
            core.packets.send(.publish(.text("a", "1", qos: .exactlyOnce, id: 8, duplicate: true)))
            core.packets.send(.pubrel(.id(9)))
            #expect(try remote.next() == .publish(.text("a", "1", qos: .exactlyOnce, id: 2, duplicate: true)))
            #expect(try remote.next() == .pubrel(.id(3)))
            // An identifier that the core uses for another message is not mistaken for the old one.
            core.packets.send(.publish(.text("a", "3", qos: .exactlyOnce, id: 10)))
            #expect(try remote.next() == .publish(.text("a", "3", qos: .exactlyOnce, id: 4)))
            second.relay.stop()
        }
    }

    @Test("The second address serves while the first is away, and the first is gone back to")
    func failover() throws {
        let core = try CoreSide()
        let second = try PacketServer(version: .v3_1_1)
        let firstPort = try freePort()
        let bench = try RelayBench(
            .sample(firstPort, Self.into) { $0.addresses.append(.init(host: "127.0.0.1", port: second.port)) },
            localPort: core.port
        )
        try core.accept(subscribes: false)
        try second.accept()
        guard case .subscribe = try second.next() else { throw DeadlinePassed(description: "no SUBSCRIBE came") }
        #expect(bench.relay.health.addressIndex == 1)
        let first = try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder, port: firstPort)
            try broker.start()
            try eventually("the relay is at its first address") {
                bench.relay.health.addressIndex == 0 && bench.relay.health.state == .live
            }
            return broker
        }
        #expect(bench.relay.health.reconnects["primary"] == 1)
        first.kill()
    }

    @Test("Lazy: it connects when enough waits and goes when nothing does; once: it never comes back")
    func startTypes() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let bench = try RelayBench(
            .sample(remote.port, Self.out) {
                $0.startType = .lazy(threshold: 3, idleTimeoutSeconds: 1)
                $0.attemptsUnsubscribe = false
            },
            localPort: core.port
        )
        try core.accept()
        core.packets.send(.publish(.text("bridge/1", qos: .atLeastOnce, id: 1)))
        core.packets.send(.publish(.text("bridge/2")))
        try eventually("two wait") { bench.relay.health.waiting == 2 }
        core.packets.send(.publish(.text("bridge/3", qos: .atLeastOnce, id: 2)))
        try remote.accept()
        try core.answerSubscribe()
        var topics: Set<String> = []
        for _ in 0..<3 {
            guard case .publish(let publish) = try remote.next() else { break }
            topics.insert(publish.topic.string)
            if publish.packetID > 0 { remote.send(.puback(.id(publish.packetID))) }
        }
        #expect(topics == ["bridge/1", "bridge/2", "bridge/3"])
        try eventually("it goes when nothing is left to do") { bench.relay.health.reconnects["idle"] == 1 }
        #expect(bench.relay.health.state == .waiting)
        bench.relay.stop()

        let other = try PacketServer(version: .v3_1_1)
        let otherCore = try CoreSide()
        let once = try RelayBench(
            .sample(other.port, Self.into) { $0.startType = .once },
            localPort: otherCore.port
        )
        try otherCore.accept(subscribes: false)
        try other.accept()
        other.hangUp()
        try eventually("it is done") { once.relay.health.state == .disabled }
        #expect(other.isSilent(seconds: 0.3))
    }

    @Test("A broker that answers no PINGREQ is left")
    func keepAlive() throws {
        var clock = RelayClock()
        clock.opened(now: 0, keepAliveSeconds: 5)
        clock.connected(now: 0)
        let second: UInt64 = 1_000_000_000
        #expect(clock.due(now: 4 * second) == .nothing)
        #expect(clock.due(now: 5 * second) == .ping)
        #expect(clock.due(now: 6 * second) == .nothing)
        clock.pongReceived()
        clock.received(now: 6 * second)
        // Something came, but nothing went for a keep alive: a PINGREQ is due all the same [MQTT-3.1.2-20].
        #expect(clock.due(now: 10 * second) == .ping)
        #expect(clock.due(now: 15 * second) == .dead)
    }

    @Test("The restart time is constant, or random between base and cap and new after a stable connection")
    func restarts() {
        let second: UInt64 = 1_000_000_000
        var constant = RelayAttempts(
            .sample(1, Self.out) { $0.restart = .constant(milliseconds: 5_000) },
            now: 0,
            seed: 1
        )
        for round in 0..<10 as Range<UInt64> {
            constant.ended(now: round * second, connectedNanoseconds: nil)
            #expect(constant.nextNanoseconds == (round + 5) * second)
        }
        let settings = RelaySettings.sample(1, Self.out) {
            $0.restart = .backoff(baseMilliseconds: 5_000, capMilliseconds: 30_000, stableMilliseconds: 10_000)
        }
        var backoff = RelayAttempts(settings, now: 0, seed: 7)
        var pauses: Set<UInt64> = []
        for _ in 0..<100 {
            backoff.ended(now: 0, connectedNanoseconds: nil)
            pauses.insert(backoff.nextNanoseconds ?? 0)
        }
        #expect(pauses.allSatisfy { $0 >= 5 * second && $0 <= 30 * second })
        #expect(pauses.count > 50)
        backoff.ended(now: 20 * second, connectedNanoseconds: 5 * second)
        #expect(backoff.nextNanoseconds == 25 * second)
    }
}
