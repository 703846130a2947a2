import MQTT
import NIOCore
import Testing

@testable import Broker

/// PUBLISH: section 3.3 of both standards.
@Suite struct PublishStatements {
    /// A 5.0 and a 3.1.1 subscriber in the slots 1 and 2, a 5.0 publisher in slot 9.
    private func site(_ filter: String = "t/#", _ options: SubscriptionOptions = .init(qos: .exactlyOnce)) throws
        -> SimulatedSite
    {
        let site = try SimulatedSite()
        try site.connect(1, .v5("five", clean: false, expiry: 600))
        try site.connect(2, .v3("three", clean: false))
        for slot: UInt32 in [1, 2] {
            let request = Subscribe.Request(filter: filter, options: options)
            try site.send(slot, .subscribe(Subscribe(packetID: 1, requests: [request])))
            _ = site.take(slot)
        }
        try site.connect(9, .v5("pub"))
        return site
    }

    @Test("[MQTT-3.3.1-1] [MQTT-3.3.1-3] DUP is set where a PUBLISH is sent again, and nowhere else")
    func duplicate() throws {
        let site = try site()
        try site.send(9, .publish("t/1", "a", .atLeastOnce, id: 1, duplicate: true))
        for slot: UInt32 in [1, 2] {
            #expect(site.publishes(slot).map(\.duplicate) == [false], "the publisher's flag does not go on")
            try site.drop(slot)
        }
        try site.connect(1, .v5("five", clean: false, expiry: 600))
        try site.connect(2, .v3("three", clean: false))
        for slot: UInt32 in [1, 2] { #expect(site.publishes(slot).map(\.duplicate) == [true]) }
    }

    @Test("[MQTT-3.3.1-2] [MQTT-4.3.1-1] a QoS 0 PUBLISH never has the DUP flag, and one that has it is malformed")
    func duplicateQoS0() throws {
        let site = try site()
        try site.send(9, .publish("t/1", "a"))
        #expect(site.publishes(1).map(\.duplicate) == [false])
        try site.send(9, bytes: [0x38, 4, 0, 1, 0x74, 0], version: .v5)
        #expect(site.closed[9]?.reason == .malformedPacket)
    }

    @Test("[MQTT-3.3.1-4] QoS 3 is malformed and ends the connection")
    func qos3() throws {
        let site = try site()
        try site.send(9, bytes: [0x36, 6, 0, 1, 0x74, 0, 1, 0], version: .v5)
        #expect(site.closed[9]?.reason == .malformedPacket)
        try site.connect(8, .v3("old"))
        try site.send(8, bytes: [0x36, 5, 0, 1, 0x74, 0, 1], version: .v3_1_1)
        #expect(site.closed[8]?.reason == .malformedPacket)
    }

    @Test("[MQTT-3.3.1-5] a retained message takes the place of the one before, and later subscribers are given it")
    func retainReplaces() throws {
        let site = try site()
        try site.send(9, .publish("t/r", "first", .atLeastOnce, id: 1, retain: true))
        try site.send(9, .publish("t/r", "second", .exactlyOnce, id: 2, retain: true))
        try site.connect(3, .v3("late"))
        try site.send(3, .subscribe("t/r", .exactlyOnce))
        let got = site.publishes(3)
        #expect(got.map(\.text) == ["second"])
        #expect(got.map(\.retain) == [true], "[MQTT-3.3.1-8]")
        #expect(got.map(\.qos) == [.exactlyOnce], "with its own QoS")
        try site.send(9, .publish("t/r", "third", .atMostOnce, retain: true))
        try site.connect(4, .v3("later"))
        try site.send(4, .subscribe("t/r", .exactlyOnce))
        #expect(site.publishes(4).map(\.text) == ["third"], "[MQTT-3.3.1-7] of 3.1.1: QoS 0 discards it too")
    }

    @Test("[MQTT-3.3.1-6] [MQTT-3.3.1-7] an empty retained message removes the old one, is delivered, and is not kept")
    func retainRemoves() throws {
        let site = try site()
        try site.send(9, .publish("t/r", "kept", .atLeastOnce, id: 1, retain: true))
        #expect(site.core.statistics.retainedMessages == 1)
        _ = (site.take(1), site.take(2))
        try site.send(9, .publish("t/r", "", .atLeastOnce, id: 2, retain: true))
        for slot: UInt32 in [1, 2] { #expect(site.publishes(slot).map(\.text) == [""]) }
        #expect(site.core.statistics.retainedMessages == 0)
        try site.crash()
        try site.connect(3, .v3("late"))
        try site.send(3, .subscribe("t/r", .exactlyOnce))
        #expect(site.publishes(3).isEmpty)
    }

    @Test("[MQTT-3.3.1-8] [MQTT-3.3.1-12] a message without the flag neither sets nor removes what is retained")
    func notRetained() throws {
        let site = try site()
        try site.send(9, .publish("t/r", "kept", .atLeastOnce, id: 1, retain: true))
        try site.send(9, .publish("t/r", "passing", .atLeastOnce, id: 2), .publish("t/r", "", .atLeastOnce, id: 3))
        try site.connect(3, .v3("late"))
        try site.send(3, .subscribe("t/r", .atMostOnce))
        #expect(site.publishes(3).map(\.text) == ["kept"])
    }

    @Test(
        "[MQTT-3.3.1-9] [MQTT-3.3.1-12] [MQTT-3.3.1-13] the flag goes to subscribers as retain as published says",
        arguments: [(false, [false, false]), (true, [true, false])]
    )
    func retainAsPublished(asPublished: Bool, flags: [Bool]) throws {
        let site = try site("t/#", .init(qos: .atLeastOnce, retainAsPublished: asPublished))
        try site.send(9, .publish("t/1", "a", .atLeastOnce, id: 1, retain: true), .publish("t/1", "b"))
        #expect(site.publishes(1).map(\.retain) == flags)
    }

    @Test("[MQTT-3.3.1-9] of 3.1.1: a subscription that is there already is given the message without the flag")
    func establishedSubscription() throws {
        let site = try site()
        try site.send(9, .publish("t/1", "a", .atMostOnce, retain: true))
        #expect(site.publishes(2).map(\.retain) == [false])
    }

    @Test(
        "[MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.0-1] a topic that is missing, ill-formed or has wildcards ends the connection",
        arguments: [
            [0x30, 0], [0x30, 1, 0], [0x30, 3, 0, 5, 0x61], [0x30, 4, 0, 2, 0xC3, 0x28],
            [0x30, 3, 0, 1, 0x23], [0x30, 3, 0, 1, 0x2B], [0x30, 5, 0, 3, 0x61, 0x2F, 0x23], [0x30, 3, 0, 1, 0],
            [0x30, 2, 0, 0],
        ] as [[UInt8]]
    )
    func topicNames(bytes: [UInt8]) throws {
        let site = try site()
        try site.connect(8, .v3("old"))
        try site.send(8, bytes: bytes, version: .v3_1_1)
        #expect(site.closed[8]?.reason.isError == true)
        #expect(site.publishes(1).isEmpty)
    }

    @Test("[MQTT-3.3.2-3] what a subscriber is given matches its filter")
    func matches() throws {
        let site = try site("t/+/x")
        try site.send(
            9,
            .publish("t/1/x", "a"),
            .publish("t/1/y", "b"),
            .publish("t/1/x/z", "c"),
            .publish("T/1/x", "d")
        )
        #expect(site.publishes(1).map(\.text) == ["a"])
    }

    @Test(
        "[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] properties go on as they came",
        arguments: ["live", "queued", "retained", "after a restart"]
    )
    func propertiesUnaltered(how: String) throws {
        let properties: [Property] = [
            .payloadFormatIndicator(1), .userProperty(name: "b", value: "1"), .contentType("text/plain"),
            .userProperty(name: "a", value: "2"), .responseTopic("answer/here"), .userProperty(name: "b", value: "1"),
            .correlationData(ByteBuffer(bytes: [0, 255, 7])), .userProperty(name: "", value: "ä"),
        ]
        let site = try site("t/#", .init(qos: .atLeastOnce))
        if how != "live" { try site.drop(1) }
        let packet = Packet.publish("t/1", "x", .atLeastOnce, id: 1, retain: how == "retained", Properties(properties))
        try site.send(9, packet)
        if how == "after a restart" { try site.crash() }
        if how == "retained" {
            try site.connect(1, .v5("late"))
            try site.send(1, .subscribe("t/1", .atLeastOnce))
        } else if how != "live" {
            try site.connect(1, .v5("five", clean: false, expiry: 600))
        }
        #expect(site.publishes(1).map(\.properties.values) == [properties])
        if how == "live" { #expect(site.publishes(2).map(\.properties.values) == [[]], "3.1.1 has none") }
    }

    @Test(
        "[MQTT-3.3.2-5] [MQTT-3.3.2-6] a message that waits too long is deleted; the others say what is left of theirs"
    )
    func expiry() throws {
        let site = try site("t/#", .init(qos: .atLeastOnce))
        try site.drop(1)
        try site.send(9, .publish("t/1", "short", .atLeastOnce, id: 1, [.messageExpiryInterval(10)]))
        try site.send(9, .publish("t/2", "long", .atLeastOnce, id: 2, retain: true, [.messageExpiryInterval(100)]))
        try site.send(9, .publish("t/3", "for ever", .atLeastOnce, id: 3))
        try site.pass(seconds: 30)
        try site.connect(1, .v5("five", clean: false, expiry: 600))
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["long", "for ever"])
        #expect(got.map(\.properties.values) == [[.messageExpiryInterval(70)], []])
        try site.connect(3, .v5("late"))
        try site.send(3, .subscribe("t/2", .atMostOnce))
        #expect(site.publishes(3).map(\.properties.values) == [[.messageExpiryInterval(70)]], "retained too")
        try site.pass(seconds: 80)
        try site.send(3, .subscribe("t/2", .atMostOnce))
        #expect(site.publishes(3).isEmpty)
    }

    @Test("[MQTT-3.3.2-8] topic alias 0 ends the connection: 0x94")
    func aliasZero() throws {
        let site = try site()
        try site.send(9, bytes: [0x30, 8, 0, 1, 0x74, 3, 0x23, 0, 0, 0x78], version: .v5)
        #expect(site.closed[9]?.reason == .topicAliasInvalid)
    }

    @Test(
        "[MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19] a response topic or content type that may not be ends the connection",
        arguments: [
            [0x08, 0, 1, 0x23], [0x08, 0, 1, 0x2B], [0x08, 0, 2, 0xC3, 0x28], [0x03, 0, 2, 0xC3, 0x28], [0x08, 0, 0],
        ] as [[UInt8]]
    )
    func textProperties(property: [UInt8]) throws {
        let site = try site()
        let body: [UInt8] = [0, 1, 0x74, UInt8(property.count)] + property
        try site.send(9, bytes: [0x30, UInt8(body.count)] + body, version: .v5)
        #expect(site.closed[9]?.reason.isError == true)
    }

    @Test("[MQTT-3.3.4-1] a PUBLISH is answered as its QoS says", arguments: [ProtocolVersion.v3_1, .v3_1_1, .v5])
    func answers(version: ProtocolVersion) throws {
        let site = try site()
        try site.connect(9, Connect(version: version, clientID: "pub"))
        try site.send(9, .publish("t/1", "0"), .publish("t/1", "1", .atLeastOnce, id: 7))
        try site.send(9, .publish("t/1", "2", .exactlyOnce, id: 8))
        try site.send(9, .pubrel(8))
        #expect(site.take(9) == [.puback(7), .pubrec(8), .pubcomp(8)])
    }

    @Test(
        "[MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] overlapping subscriptions: one copy, the highest QoS, every identifier"
    )
    func overlap() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub"))
        try site.send(1, .subscribe("t/+", .atMostOnce, id: 1, [.subscriptionIdentifier(1)]))
        try site.send(1, .subscribe("t/#", .exactlyOnce, id: 2, [.subscriptionIdentifier(268_435_455)]))
        try site.send(1, .subscribe("#", .atLeastOnce, id: 3))
        _ = site.take(1)
        try site.connect(2, .v3("three"))
        try site.send(2, .subscribe("t/+", .atMostOnce), .subscribe("t/#", .atLeastOnce, id: 2))
        _ = site.take(2)
        try site.connect(9, .v5("pub"))
        try site.send(9, .publish("t/1", "x", .exactlyOnce, id: 1))
        let got = site.publishes(1)
        #expect(got.map(\.qos) == [.exactlyOnce])
        let identifiers = got.flatMap { publish in
            publish.properties.values.compactMap { property -> UInt32? in
                if case .subscriptionIdentifier(let value) = property { value } else { nil }
            }
        }
        #expect(identifiers.sorted() == [1, 268_435_455])
        #expect(site.publishes(2).map(\.qos) == [.atLeastOnce], "[MQTT-3.3.5-1]")
    }

    @Test("[MQTT-3.3.4-6] a subscription identifier in a client's PUBLISH ends the connection")
    func identifierFromClient() throws {
        let site = try site()
        try site.send(9, bytes: [0x30, 7, 0, 1, 0x74, 2, 0x0B, 5, 0x78], version: .v5)
        #expect(site.closed[9]?.reason == .protocolError)
        #expect(site.publishes(1).isEmpty)
    }

    @Test("[MQTT-3.3.4-7] a client that has more on the way than Receive Maximum is told 0x93 and closed")
    func inboundWindow() throws {
        var configuration = BrokerConfiguration()
        configuration.receiveMaximum = 3
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("pub"))
        for id: UInt16 in 1...3 { try site.send(1, .publish("t", "x", .exactlyOnce, id: id)) }
        #expect(site.closed[1] == nil)
        try site.send(1, .pubrel(1), .publish("t", "x", .exactlyOnce, id: 4), .publish("t", "x"))
        #expect(site.closed[1] == nil, "PUBCOMP made room, and QoS 0 needs none")
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 5))
        #expect(site.closed[1]?.reason == .receiveMaximumExceeded)
    }

    @Test("[MQTT-3.3.5-2] what a client may not publish is acknowledged to 3.1.1 and passed to nobody")
    func unauthorised3() throws {
        struct Nobody: Authorizer {
            func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { false }
            func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
            func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
            func allowsEverything(_ identity: Identity) -> Bool { false }
        }
        let site = try SimulatedSite(authorizer: Nobody())
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("#", .atMostOnce))
        _ = site.take(1)
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("t", "1", .atLeastOnce, id: 1), .publish("t", "2", .exactlyOnce, id: 2), .pubrel(2))
        #expect(site.take(2) == [.puback(1), .pubrec(2), .pubcomp(2)])
        #expect(site.publishes(1).isEmpty)
    }

    @Test("[MQTT-2.2.1-2] [MQTT-2.2.1-3] a QoS 0 PUBLISH has no packet identifier, the others have one that is not 0")
    func packetIdentifiers() throws {
        let site = try site()
        try site.send(9, .publish("t/1", "0"))
        #expect(site.publishes(1).map(\.packetID) == [0])
        try site.send(9, .publish("t/1", "1", .atLeastOnce, id: 1), .publish("t/1", "2", .exactlyOnce, id: 2))
        let identifiers = site.publishes(1).map(\.packetID)
        #expect(!identifiers.contains(0))
        #expect(Set(identifiers).count == 2)
        try site.send(9, bytes: [0x32, 6, 0, 1, 0x74, 0, 0, 0], version: .v5)
        #expect(site.closed[9]?.reason.isError == true)
    }

    @Test("[MQTT-2.2.1-4] a packet identifier is used again only when its exchange is over")
    func identifiersWrap() {
        var table = InflightTable()
        table.reserve(20)
        func insert() -> UInt16 {
            table.insert(
                message: nil,
                reference: nil,
                qos: .atLeastOnce,
                retain: false,
                subscriptionIDs: [],
                state: .sent
            )
        }
        var held = Set((0..<20).map { _ in insert() })
        for round in 0..<200_000 {
            let packetID = insert()
            #expect(packetID != 0 && !held.contains(packetID), "round \(round)")
            // Now and then one stays open and an old one ends.
            if round % 1_000 == 0, let old = held.randomElement() {
                held.insert(packetID)
                held.remove(old)
                _ = table.remove(old)
            } else {
                _ = table.remove(packetID)
            }
            guard table.count == held.count else {
                Issue.record("an exchange was lost at round \(round)")
                return
            }
        }
    }
}
