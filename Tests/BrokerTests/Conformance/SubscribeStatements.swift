import MQTT
import NIOCore
import Testing

@testable import Broker

/// SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK: sections 3.8 to 3.11.
@Suite struct SubscribeStatements {
    private static let versions: [ProtocolVersion] = [.v3_1, .v3_1_1, .v5]

    private func site(_ version: ProtocolVersion = .v5) throws -> SimulatedSite {
        let site = try SimulatedSite()
        try site.connect(1, Connect(version: version, clientID: "sub"))
        try site.connect(9, .v5("pub"))
        return site
    }

    @Test(
        "[MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.6.1-1] [MQTT-2.2.2-2] other flags of the fixed header than the standard's end the connection",
        arguments: [0x82, 0xA2, 0x62, 0xC0, 0xE0, 0x40] as [UInt8],
        [ProtocolVersion.v3_1_1, .v5]
    )
    func headerFlags(first: UInt8, version: ProtocolVersion) throws {
        let bodies: [UInt8: [UInt8]] = [
            0x82: [0, 1] + (version == .v5 ? [0] : []) + [0, 1, 0x61, 0],
            0xA2: [0, 1] + (version == .v5 ? [0] : []) + [0, 1, 0x61], 0x62: [0, 1], 0x40: [0, 1],
        ]
        let body = bodies[first] ?? []
        for flags: UInt8 in 0..<16 where first & 0x0F != flags {
            let site = try site(version)
            try site.send(1, bytes: [first & 0xF0 | flags, UInt8(body.count)] + body, version: version)
            #expect(site.closed[1]?.reason == .malformedPacket, "flags \(flags)")
        }
    }

    @Test("[MQTT-3.8.3-1] [MQTT-3.10.3-1] a filter that is not UTF-8 ends the connection")
    func illFormedFilters() throws {
        for bytes: [UInt8] in [
            [0x82, 8, 0, 1, 0, 0, 2, 0xC3, 0x28, 0], [0xA2, 7, 0, 1, 0, 0, 2, 0xC3, 0x28],
            [0x82, 7, 0, 1, 0, 0, 1, 0, 0],
        ] {
            let site = try site()
            try site.send(1, bytes: bytes, version: .v5)
            #expect(site.closed[1]?.reason == .malformedPacket)
        }
    }

    @Test(
        "[MQTT-3.8.3-2] [MQTT-3.8.3-3] [MQTT-3.10.3-2] a SUBSCRIBE or UNSUBSCRIBE without a filter ends the connection"
    )
    func noFilters() throws {
        for (bytes, version): ([UInt8], ProtocolVersion) in [
            ([0x82, 3, 0, 1, 0], .v5), ([0x82, 2, 0, 1], .v3_1_1), ([0xA2, 3, 0, 1, 0], .v5),
            ([0xA2, 2, 0, 1], .v3_1_1),
        ] {
            let site = try site(version)
            try site.send(1, bytes: bytes, version: version)
            #expect(site.closed[1]?.reason == .protocolError)
        }
    }

    @Test(
        "[MQTT-3.8.3-5] [MQTT-3.8.3-4] reserved bits of the subscription options end the connection",
        arguments: [
            (0x40, ProtocolVersion.v5), (0x80, .v5), (0x03, .v5), (0x30, .v5), (0x04, .v3_1_1), (0x80, .v3_1_1),
            (0x03, .v3_1_1),
        ] as [(UInt8, ProtocolVersion)]
    )
    func reservedOptions(options: UInt8, version: ProtocolVersion) throws {
        let site = try site(version)
        let properties: [UInt8] = version == .v5 ? [0] : []
        let body: [UInt8] = [0, 1] + properties + [0, 1, 0x61, options]
        try site.send(1, bytes: [0x82, UInt8(body.count)] + body, version: version)
        #expect(site.closed[1]?.reason.isError == true)
        #expect(site.core.statistics.subscriptions == 0)
    }

    @Test("[MQTT-3.8.3-3] no local: the publisher's own client identifier is given nothing, live or retained")
    func noLocal() throws {
        let site = try site()
        let own = Subscribe.Request(filter: "t", options: .init(qos: .atLeastOnce, noLocal: true))
        try site.send(1, .subscribe(Subscribe(packetID: 1, requests: [own])))
        _ = site.take(1)
        try site.send(1, .publish("t", "mine", .atLeastOnce, id: 1))
        try site.send(9, .publish("t", "theirs", .atLeastOnce, id: 1))
        #expect(site.publishes(1).map(\.text) == ["theirs"])
        try site.send(1, .publish("t", "kept", .atLeastOnce, id: 2, retain: true))
        try site.send(1, .subscribe(Subscribe(packetID: 2, requests: [own])))
        #expect(site.publishes(1).isEmpty)
    }

    @Test("[MQTT-3.8.3-4] no local on a shared subscription is a protocol error")
    func noLocalShared() throws {
        let site = try site()
        let request = Subscribe.Request(filter: "$share/g/t", options: .init(qos: .atMostOnce, noLocal: true))
        try site.send(1, .subscribe(Subscribe(packetID: 1, requests: [request])))
        #expect(site.closed[1]?.reason == .protocolError)
    }

    @Test(
        "[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] one SUBACK answers every filter in order",
        arguments: versions
    )
    func suback(version: ProtocolVersion) throws {
        let site = try site(version)
        let requests: [Subscribe.Request] = [
            .init(filter: "a", options: .init(qos: .exactlyOnce)), .init(filter: "a/#/b"),
            .init(filter: "b/+", options: .init(qos: .atLeastOnce)), .init(filter: "+x"), .init(filter: "#"),
        ]
        try site.send(1, .subscribe(Subscribe(packetID: 513, requests: requests)))
        let failed: ReasonCode = version == .v5 ? .topicFilterInvalid : .unspecifiedError
        let suback = Suback(packetID: 513, reasons: [.grantedQoS2, failed, .grantedQoS1, failed, .success])
        #expect(site.take(1) == [.suback(suback)], "[MQTT-3.9.3-2]")
        try site.send(9, .publish("a", "x"), .publish("b/1", "y"), .publish("c", "z"))
        #expect(site.publishes(1).map(\.text) == ["x", "y", "z"], "as if there had been five packets")
    }

    @Test(
        "[MQTT-3.8.4-3] [MQTT-3.8.4-4] an equal filter takes the place of the subscription before; retained come again"
    )
    func replaces() throws {
        for version in Self.versions {
            let site = try site(version)
            try site.send(9, .publish("t", "kept", .exactlyOnce, id: 1, retain: true), .pubrel(1))
            for qos in [QoS.exactlyOnce, .atMostOnce, .atLeastOnce] {
                try site.send(1, .subscribe("t", qos))
                #expect(site.publishes(1).map(\.qos) == [qos])
                try site.send(9, .publish("t", "live", .exactlyOnce, id: 2), .pubrel(2))
                #expect(site.publishes(1).map(\.qos) == [qos], "one copy, with the QoS of the last")
            }
            #expect(site.core.statistics.subscriptions == 1)
        }
    }

    @Test("[MQTT-3.8.4-4] no message is lost while a subscription is replaced")
    func replacesWithoutLoss() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub", clean: false, expiry: 60))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(9, .v5("pub"))
        site.commitsAtOnce = false
        for id: UInt16 in 1...4 {
            try site.send(9, .publish("t", "\(id)", .atLeastOnce, id: id))
            try site.send(1, .subscribe("t", id % 2 == 0 ? .atLeastOnce : .exactlyOnce, id: id))
        }
        try site.commit()
        #expect(Set(site.publishes(1).map(\.text)) == ["1", "2", "3", "4"])
    }

    @Test(
        "[MQTT-3.8.4-8] [MQTT-3.8.4-6] a message goes with the lower of its own QoS and the granted one",
        arguments: QoS.allCases,
        QoS.allCases
    )
    func lowerQoS(published: QoS, granted: QoS) throws {
        let site = try site()
        try site.send(1, .subscribe("t", granted))
        _ = site.take(1)
        try site.send(9, .publish("t", "x", published, id: published == .atMostOnce ? 0 : 1))
        #expect(site.publishes(1).map(\.qos) == [min(published, granted)])
    }

    @Test(
        "[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] retain handling 0, 1 and 2, for a new subscription and one that is there",
        arguments: [(RetainHandling.sendAtSubscribe, 1, 1), (.sendIfNew, 1, 0), (.doNotSend, 0, 0)]
    )
    func retainHandling(handling: RetainHandling, atFirst: Int, again: Int) throws {
        let site = try site()
        try site.send(9, .publish("t", "kept", .atLeastOnce, id: 1, retain: true))
        let request = Subscribe.Request(filter: "t", options: .init(qos: .atLeastOnce, retainHandling: handling))
        try site.send(1, .subscribe(Subscribe(packetID: 1, requests: [request])))
        #expect(site.publishes(1).count == atFirst)
        try site.send(1, .subscribe(Subscribe(packetID: 2, requests: [request])))
        #expect(site.publishes(1).count == again)
    }

    @Test("section 3.8.4: SUBACK comes before the retained messages of its subscriptions")
    func subackFirst() throws {
        let site = try site()
        try site.send(
            9,
            .publish("t/1", "a", .atLeastOnce, id: 1, retain: true),
            .publish("t/2", "b", .atMostOnce, retain: true)
        )
        try site.send(1, .subscribe("t/#", .atLeastOnce))
        let packets = site.take(1)
        #expect(packets.first == .suback(Suback(packetID: 1, reasons: [.grantedQoS1])))
        #expect(packets.count == 3)
    }

    @Test("[MQTT-3.10.4-1] [MQTT-3.10.4-2] only a filter of the very same characters ends a subscription")
    func unsubscribeCompares() throws {
        let site = try site()
        try site.send(1, .subscribe("caf\u{E9}/+", .atMostOnce))
        _ = site.take(1)
        let others = ["cafe\u{301}/+", "caf\u{E9}/#", "CAF\u{C9}/+", "caf\u{E9}/", "caf\u{E9}/1", "#"]
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 2, filters: others)))
        try site.send(9, .publish("caf\u{E9}/1", "x"))
        #expect(site.publishes(1).map(\.text) == ["x"])
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 3, filters: ["caf\u{E9}/+"])))
        try site.send(9, .publish("caf\u{E9}/1", "y"))
        #expect(site.publishes(1).isEmpty)
    }

    @Test("[MQTT-3.10.4-3] what was begun before UNSUBSCRIBE is completed after it")
    func unsubscribeCompletes() throws {
        let site = try site()
        try site.send(1, .subscribe("t", .exactlyOnce))
        _ = site.take(1)
        try site.send(9, .publish("t", "x", .exactlyOnce, id: 1))
        let packetID = try #require(site.publishes(1).first).packetID
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 3, filters: ["t"])))
        _ = site.take(1)
        try site.send(1, .pubrec(packetID))
        #expect(site.take(1) == [.pubrel(packetID)])
        try site.send(1, .pubcomp(packetID))
        #expect(site.core.statistics.inflightMessages == 0)
    }

    @Test(
        "[MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] one UNSUBACK answers every filter in order, also if none was there",
        arguments: versions
    )
    func unsuback(version: ProtocolVersion) throws {
        let site = try site(version)
        try site.send(1, .subscribe("a", .atMostOnce), .subscribe("b", .atMostOnce, id: 2))
        _ = site.take(1)
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 770, filters: ["gone", "a", "a", "+x", "b"])))
        let reasons: [ReasonCode] = [
            .noSubscriptionExisted, .success, .noSubscriptionExisted, .topicFilterInvalid, .success,
        ]
        let unsuback = Unsuback(packetID: 770, reasons: version == .v5 ? reasons : [])
        #expect(site.take(1) == [.unsuback(unsuback)], "[MQTT-3.11.3-2]")
        #expect(site.core.statistics.subscriptions == 0)
    }

    @Test("[MQTT-2.2.1-6] [MQTT-2.3.1-7] SUBACK and UNSUBACK carry the identifier that they answer, which is never 0")
    func identifiers() throws {
        for packetID: UInt16 in [1, 255, 256, 65_535] {
            let site = try site()
            try site.send(
                1,
                .subscribe("t", .atMostOnce, id: packetID),
                .unsubscribe(Unsubscribe(packetID: packetID, filters: ["t"]))
            )
            #expect(
                site.take(1) == [
                    .suback(Suback(packetID: packetID, reasons: [.success])),
                    .unsuback(Unsuback(packetID: packetID, reasons: [.success])),
                ]
            )
        }
        let site = try site()
        try site.send(1, bytes: [0x82, 7, 0, 0, 0, 0, 1, 0x61, 0], version: .v5)
        #expect(site.closed[1]?.reason.isError == true)
    }

    @Test("[MQTT-4.7.2-1] a filter that begins with a wildcard matches no topic that begins with $")
    func dollarTopics() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub"))
        for (id, filter) in ["#", "+/broker/load", "+/#", "$SYS/#", "$SYS/+/load"].enumerated() {
            try site.send(
                1,
                .subscribe(filter, .atMostOnce, id: UInt16(id + 1), [.subscriptionIdentifier(UInt32(id + 1))])
            )
        }
        _ = site.take(1)
        try site.publish("$SYS/broker/load", "1")
        let identifiers = site.publishes(1).flatMap { publish in
            publish.properties.values.compactMap { property -> UInt32? in
                if case .subscriptionIdentifier(let value) = property { value } else { nil }
            }
        }
        #expect(identifiers.sorted() == [4, 5])
    }

    @Test("[MQTT-4.7.3-4] topics and filters are compared byte by byte, without any normalisation")
    func noNormalisation() throws {
        let site = try site()
        try site.send(1, .subscribe("A\u{30A}/t", .atMostOnce), .subscribe("\u{FEFF}t", .atMostOnce, id: 2))
        _ = site.take(1)
        for text in ["\u{C5}/t", "\u{212B}/t", "a\u{30A}/t", "t"] {
            try site.send(9, .publish(TopicName(stringLiteral: text), text))
        }
        #expect(site.publishes(1).isEmpty)
        try site.send(9, .publish("A\u{30A}/t", "yes"), .publish("\u{FEFF}t", "[MQTT-1.5.4-3]"))
        #expect(site.publishes(1).map(\.text) == ["yes", "[MQTT-1.5.4-3]"])
    }
}
