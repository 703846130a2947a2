import MQTT
import NIOCore
import Testing

@testable import Broker

/// PINGREQ, DISCONNECT and errors: sections 3.12, 3.14 and 4.13 (4.8 of 3.1.1).
@Suite struct DisconnectStatements {
    private func watched(_ connect: Connect) throws -> SimulatedSite {
        let site = try SimulatedSite()
        try site.connect(9, .v3("watcher"))
        try site.send(9, .subscribe("will", .atMostOnce))
        _ = site.take(9)
        var connect = connect
        connect.will = Will(topic: "will", payload: ByteBuffer(string: "gone"), qos: .atMostOnce, retain: false)
        try site.connect(1, connect)
        return site
    }

    @Test("[MQTT-3.12.4-1] PINGREQ is answered by PINGRESP", arguments: [ProtocolVersion.v3_1, .v3_1_1, .v5])
    func ping(version: ProtocolVersion) throws {
        let site = try SimulatedSite()
        try site.connect(1, Connect(version: version, clientID: "c"))
        try site.send(1, .pingreq, .pingreq)
        #expect(site.take(1) == [.pingresp, .pingresp])
    }

    @Test(
        "[MQTT-3.14.1-1] a DISCONNECT with other flags than 0 is malformed",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func flags(version: ProtocolVersion) throws {
        for flags: UInt8 in 1..<16 {
            let site = try watched(Connect(version: version, clientID: "c"))
            try site.send(1, bytes: [0xE0 | flags, 0], version: version)
            #expect(site.closed[1]?.reason == .malformedPacket)
            #expect(site.publishes(9).map(\.text) == ["gone"], "it is no goodbye")
        }
    }

    @Test("[MQTT-3.14.4-3] [MQTT-3.1.2-10] a DISCONNECT with 0x00 discards the will for good")
    func discardsWill() throws {
        for connect in [Connect.v3("c", clean: false), .v5("c", clean: false, expiry: 600)] {
            let site = try watched(connect)
            try site.send(1, .disconnect(Disconnect()))
            #expect(site.closed[1]?.reason == .success)
            try site.pass(seconds: 10)
            try site.crash()
            try site.connect(9, .v3("watcher"))
            try site.send(9, .subscribe("will", .atMostOnce))
            try site.pass(seconds: 200)
            #expect(site.publishes(9).isEmpty)
        }
    }

    @Test(
        "[MQTT-3.14.2-1] any other reason than 0x00 leaves the will due",
        arguments: [0x04, 0x80, 0x81, 0x83, 0x93, 0x97] as [UInt8]
    )
    func otherReasons(reason: UInt8) throws {
        let site = try watched(.v5("c"))
        try site.send(1, .disconnect(Disconnect(reason: ReasonCode(rawValue: reason))))
        #expect(site.publishes(9).map(\.text) == ["gone"])
        #expect(site.closed[1] != nil)
    }

    @Test(
        "[MQTT-3.14.4-1] [MQTT-3.14.4-2] what comes behind a DISCONNECT is thrown away, nothing is sent, it is closed"
    )
    func nothingAfter() throws {
        let site = try watched(.v5("c"))
        site.closesAtOnce = false
        try site.send(1, .subscribe("t", .atMostOnce))
        _ = site.take(1)
        try site.send(1, .disconnect(Disconnect()), .publish("will", "late"), .pingreq, .subscribe("t2", .atMostOnce))
        try site.send(9, .publish("t", "x"))
        #expect(site.take(1).isEmpty)
        #expect(site.publishes(9).isEmpty)
        #expect(site.closed[1]?.reason == .success)
    }

    @Test("section 3.14.2.2.2: DISCONNECT may change the session's expiry, but not revive one of 0")
    func expiryChanges() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("a", clean: false, expiry: 600))
        try site.send(1, .disconnect(Disconnect(reason: .success, properties: [.sessionExpiryInterval(0)])))
        #expect(site.core.statistics.sessions == 0)
        try site.connect(1, .v5("b", clean: false, expiry: 5))
        try site.send(1, .disconnect(Disconnect(reason: .success, properties: [.sessionExpiryInterval(100)])))
        try site.pass(seconds: 50)
        #expect(site.core.statistics.sessions == 1)
        try site.connect(2, .v5("c", clean: true, expiry: 0))
        try site.send(2, .disconnect(Disconnect(reason: .success, properties: [.sessionExpiryInterval(100)])))
        #expect(site.closed[2]?.reason == .protocolError)
        #expect(site.core.statistics.sessions == 1)
    }

    @Test("[MQTT-3.14.0-1] a client that is refused, or breaks a rule before CONNACK, is never sent DISCONNECT")
    func noDisconnectBeforeConnack() throws {
        let site = try SimulatedSite()
        site.authenticate = { _ in .refused(.banned) }
        try site.connect(1, .v5("c"))
        #expect(site.take(1).isEmpty)
        for bytes: [UInt8] in [[0xC0, 0], [0x10, 0], [0x10, 11, 0, 4, 0x4D, 0x51, 0x54, 0x54, 5, 1, 0, 0, 0]] {
            site.open(1)
            site.listen(1, .v5)
            try site.send(1, bytes: bytes)
            #expect(!site.take(1).contains { if case .disconnect = $0 { true } else { false } })
            #expect(site.closed[1] != nil)
        }
    }

    @Test("[MQTT-3.14.2-2] a server's DISCONNECT has no session expiry interval and one of the standard's reasons")
    func serverDisconnect() throws {
        let allowed: Set<UInt8> = [
            0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
            0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ]
        let wrongs: [[UInt8]] = [
            [0xF1, 0], [0xC1, 0], [0x36, 3, 0, 1, 0x61], [0x30, 4, 0, 1, 0x23, 0], [0x20, 2, 0, 0], [0x82, 3, 0, 1, 0],
            [0x30, 7, 0, 1, 0x74, 3, 0x23, 0, 99], [0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, 0x61, 0], [0xF0, 1, 0x18],
            [0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9],
        ]
        for bytes in wrongs {
            let site = try SimulatedSite()
            try site.connect(1, .v5("c"))
            try site.send(1, bytes: bytes, version: .v5)
            guard case .disconnect(let disconnect)? = site.take(1).last else {
                Issue.record("no DISCONNECT for \(bytes)")
                continue
            }
            #expect(allowed.contains(disconnect.reason.rawValue), "\(bytes)")
            #expect(disconnect.properties.sessionExpirySeconds == nil)
        }
    }

    @Test(
        "[MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-4.8.0-1] an error ends its connection, as a failure: the will goes out, others go on"
    )
    func errorsClose() throws {
        let wrongs: [[UInt8]] = [[0xC1, 0], [0x30, 3, 0, 1, 0x23], [0x20, 2, 0, 0], [0xC0, 0xFF, 0xFF, 0xFF, 0xFF]]
        for connect in [Connect.v3("c"), .v5("c")] {
            for bytes in wrongs {
                let site = try watched(connect)
                try site.send(1, bytes: bytes, version: connect.version)
                #expect(site.closed[1]?.reason.isError == true)
                #expect(site.publishes(9).map(\.text) == ["gone"])
                if connect.version != .v5 { #expect(site.take(1).isEmpty) }
                try site.send(9, .pingreq)
                #expect(site.take(9) == [.pingresp])
            }
        }
    }

    @Test("[MQTT-3.2.2-8] every refusal of CONNACK is one of its reason codes, and one of the return codes before 5.0")
    func connackReasons() throws {
        let allowed: Set<UInt8> = [
            0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
            0x9C, 0x9D, 0x9F,
        ]
        var configuration = BrokerConfiguration()
        configuration.sessionsMax = 1
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(9, .v5("only"))
        var method = Connect.v5("c")
        method.properties.values.append(.authenticationMethod("NONE"))
        var will = Connect.v5("c")
        will.will = Will(topic: "$SYS/x", payload: ByteBuffer(), qos: .atMostOnce, retain: false)
        for connect in [Connect.v5("c"), .v3("c"), method, will, .v3("", clean: false)] {
            let reason = try site.connect(1, connect).reason
            #expect(allowed.contains(reason.rawValue), "\(reason)")
            #expect(site.closed[1] != nil)
        }
    }

    @Test(
        "section 2.1.2: a packet that only a server sends ends the connection",
        arguments: [
            Packet.connack(Connack()), .suback(Suback(packetID: 1, reasons: [.success])), .pingresp,
            .unsuback(Unsuback(packetID: 1, reasons: [.success])),
        ]
    )
    func serverPackets(packet: Packet) throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c"))
        try site.send(1, packet)
        #expect(site.closed[1]?.reason == .protocolError)
    }

    @Test("[MQTT-3.15.1-1] AUTH with other flags than 0 is malformed; before 5.0 there is no AUTH")
    func authFlags() throws {
        for flags: UInt8 in 1..<16 {
            let site = try SimulatedSite()
            try site.connect(1, .v5("c"))
            try site.send(1, bytes: [0xF0 | flags, 0], version: .v5)
            #expect(site.closed[1]?.reason == .malformedPacket)
        }
        let site = try SimulatedSite()
        try site.connect(1, .v3("c"))
        try site.send(1, bytes: [0xF0, 0], version: .v3_1_1)
        #expect(site.closed[1]?.reason == .malformedPacket)
    }

    @Test(
        "[MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] acknowledgements carry reasons of their own kind alone"
    )
    func acknowledgementReasons() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c"))
        try site.send(1, .publish("$SYS/no", "x", .atLeastOnce, id: 1), .publish("none", "x", .atLeastOnce, id: 2))
        try site.send(1, .publish("$SYS/no", "x", .exactlyOnce, id: 3), .publish("none", "x", .exactlyOnce, id: 4))
        try site.send(1, .pubrel(4), .pubrel(5), .pubrec(6))
        let published: Set<UInt8> = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
        for packet in site.take(1) {
            switch packet {
            case .puback(let answer), .pubrec(let answer): #expect(published.contains(answer.reason.rawValue))
            case .pubrel(let answer), .pubcomp(let answer): #expect([0x00, 0x92].contains(answer.reason.rawValue))
            default: Issue.record("another packet came: \(packet)")
            }
        }
    }
}
