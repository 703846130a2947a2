import MQTT
import NIOCore
import Testing

@testable import Broker

/// What clients of Mosquitto 2.1 rely on, beyond the standard: with ``BrokerConfiguration/mosquitto``.
@Suite struct MosquittoTests {
    private func site(
        _ change: (inout BrokerConfiguration) -> Void = { _ in },
        authorizer: any Authorizer = AllowAll()
    ) throws -> SimulatedSite {
        var configuration = BrokerConfiguration.mosquitto
        change(&configuration)
        return try SimulatedSite(configuration: configuration, authorizer: authorizer)
    }

    @Test func connackHasItsPropertiesInMosquittosOrderAndNothingUnasked() throws {
        let site = try site { $0.keepAliveSecondsMax = 60 }
        var connect = Connect.v5("c", clean: false, expiry: 100)
        connect.keepAliveSeconds = 61
        let connack = try site.connect(1, connect, policy: .mosquitto)
        #expect(
            connack.properties.values == [
                .serverKeepAlive(60), .topicAliasMaximum(10), .maximumPacketSize(2_000_000), .receiveMaximum(20),
            ]
        )
        var policy = ListenerPolicy.mosquitto
        policy.isRetainAvailable = false
        policy.qosMax = .atMostOnce
        let limited = try site.connect(2, .v5(""), policy: policy)
        let names = limited.properties.values.map { property in
            switch property {
            case .topicAliasMaximum: "alias"
            case .retainAvailable: "retain"
            case .assignedClientIdentifier: "identifier"
            case .maximumPacketSize: "size"
            case .receiveMaximum: "receive"
            case .maximumQoS: "qos"
            default: "\(property)"
            }
        }
        #expect(names == ["alias", "retain", "identifier", "size", "receive", "qos"])
    }

    @Test(arguments: [ProtocolVersion.v3_1, .v3_1_1])
    func aKeepAliveThatIsTooLongIsRefusedBefore50(version: ProtocolVersion) throws {
        let site = try site { $0.keepAliveSecondsMax = 100 }
        let connect = Connect(version: version, clientID: "c", keepAliveSeconds: 101)
        try #expect(site.connect(1, connect).reason == .clientIdentifierNotValid)
        let short = Connect(version: version, clientID: "c", keepAliveSeconds: 100)
        try #expect(site.connect(1, short).reason == .success)
    }

    @Test(arguments: [QoS.atMostOnce, .atLeastOnce, .exactlyOnce], [false, true])
    func aPublishersAcknowledgementComesBeforeItsOwnCopy(granted: QoS, isPersistent: Bool) throws {
        // Also in the broker's own ways.
        for configuration in [BrokerConfiguration.mosquitto, BrokerConfiguration()] {
            let site = try SimulatedSite(configuration: configuration)
            try site.connect(1, .v5("c", clean: !isPersistent, expiry: isPersistent ? 100 : 0))
            try site.send(1, .subscribe("t", granted))
            _ = site.take(1)
            site.commitsAtOnce = false
            try site.send(1, .publish("t", "x", .atLeastOnce, id: 1))
            try site.commit()
            let got = site.take(1)
            #expect(got.first == .puback(1))
            #expect(got.count == 2)
        }
    }

    @Test(arguments: [false, true])
    func aQoS2MessageGoesToItsReceiversAtPubrel(isPersistent: Bool) throws {
        let site = try site()
        try site.connect(1, .v5("pub", clean: !isPersistent, expiry: isPersistent ? 100 : 0))
        try site.connect(2, .v3("sub"))
        try site.send(2, .subscribe("t", .exactlyOnce))
        try site.send(1, .subscribe("t", .exactlyOnce))
        _ = site.take(1)
        _ = site.take(2)
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 7))
        #expect(site.take(1) == [.pubrec(7)])
        #expect(site.take(2).isEmpty)
        try site.send(1, .pubrel(7))
        let own = site.take(1)
        #expect(own.first == .pubcomp(7), "before its own copy")
        #expect(own.count == 2)
        #expect(site.publishes(2).map(\.text) == ["x"])
        try site.send(1, .pubrel(7))
        #expect(site.take(1) == [.pubcomp(7)], "in its two-byte form")
        #expect(site.take(2).isEmpty)
    }

    @Test func aHeldMessageOutlivesACrashAndACheckpointAndIsPublishedOnce() throws {
        let site = try site()
        try site.connect(2, .v3("sub", clean: false))
        try site.send(2, .subscribe("t", .exactlyOnce))
        try site.connect(1, .v3("pub", clean: false))
        try site.send(1, .publish("t", "first", .exactlyOnce, id: 1))
        try site.takeCheckpoint()
        try site.send(1, .publish("t", "second", .exactlyOnce, id: 2))
        try site.crash()
        try site.connect(2, .v3("sub", clean: false))
        try site.connect(1, .v3("pub", clean: false))
        try site.send(1, .publish("t", "second", .exactlyOnce, id: 2, duplicate: true))
        #expect(site.take(1) == [.pubrec(2)])
        try site.send(1, .pubrel(1), .pubrel(2))
        #expect(site.take(1) == [.pubcomp(1), .pubcomp(2)])
        #expect(site.publishes(2).map(\.text) == ["first", "second"])
        try site.crash()
        try site.connect(1, .v3("pub", clean: false))
        try site.send(1, .pubrel(1), .pubrel(2))
        try site.connect(2, .v3("sub", clean: false))
        #expect(Set(site.publishes(2).map(\.text)) == ["first", "second"], "sent again, not published again")
        #expect(site.core.statistics.queuedMessages == 0)
    }

    @Test func anIdentifierInUseMeansTheLastMessageAndOneRepetition() throws {
        let site = try site()
        try site.connect(2, .v3("sub"))
        try site.send(2, .subscribe("#", .atMostOnce))
        try site.connect(1, .v5("pub"))
        _ = site.take(2)
        try site.send(1, .publish("t", "old", .exactlyOnce, id: 1), .publish("u", "new", .exactlyOnce, id: 1))
        try site.send(1, .pubrel(1))
        #expect(site.take(1) == [.pubrec(1), .pubrec(1), .pubcomp(1)])
        #expect(site.publishes(2).map(\.text) == ["new"])
        for _ in 0..<2 { try site.send(1, .publish("t", "x", .exactlyOnce, id: 2, duplicate: true)) }
        #expect(site.take(1) == [.pubrec(2), .pubrec(2)])
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 2, duplicate: true))
        #expect(site.take(1) == [.disconnect(Disconnect(reason: .protocolError))])
    }

    @Test(arguments: [ProtocolVersion.v3_1_1, .v5])
    func theTwentyFirstMessageBetweenPubrecAndPubrelEndsTheConnection(version: ProtocolVersion) throws {
        let site = try site()
        try site.connect(1, Connect(version: version, clientID: "c"))
        for id in 1...20 as ClosedRange<UInt16> { try site.send(1, .publish("t", "x", .exactlyOnce, id: id)) }
        #expect(site.take(1).count == 20)
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 21))
        #expect(site.closed[1]?.reason == .receiveMaximumExceeded)
        let farewell: [Packet] = version == .v5 ? [.disconnect(Disconnect(reason: .receiveMaximumExceeded))] : []
        #expect(site.take(1) == farewell)
    }

    @Test func aPublishThatNobodyWantsIsToldSoTo50() throws {
        let site = try site()
        try site.connect(1, .v5("c"))
        try site.connect(2, .v3("d"))
        for retain in [false, true] {
            try site.send(1, .publish("t", "x", .atLeastOnce, id: 1, retain: retain))
            #expect(site.take(1) == [.puback(Acknowledgement(packetID: 1, reason: .noMatchingSubscribers))])
            try site.send(2, .publish("t", "x", .atLeastOnce, id: 1, retain: retain))
            #expect(site.take(2) == [.puback(1)])
        }
    }

    @Test func clientsMayPublishToDollarTopicsOfTheirOwn() throws {
        let site = try site()
        try site.connect(1, .v5("c"))
        let denied = ["$SYS/broker/uptime", "$SYS/broker/connection/me", "$share/share/topic", "$SYS"]
        for (index, topic) in denied.enumerated() {
            let id = UInt16(index + 1)
            try site.send(1, .publish(TopicName(stringLiteral: topic), "x", .exactlyOnce, id: id))
            #expect(site.take(1) == [.pubrec(Acknowledgement(packetID: id, reason: .notAuthorized))], "\(topic)")
        }
        for (index, topic) in ["$test/test", "$SYS/broker/connection/me/state"].enumerated() {
            let id = UInt16(index + 100)
            try site.send(1, .publish(TopicName(stringLiteral: topic), "x", .exactlyOnce, id: id))
            #expect(site.take(1) == [.pubrec(id)], "\(topic)")
        }
        let own = try SimulatedSite()
        try own.connect(1, .v5("c"))
        try own.send(1, .publish("$test/test", "x", .atLeastOnce, id: 1))
        #expect(own.take(1) == [.puback(Acknowledgement(packetID: 1, reason: .notAuthorized))])
    }

    @Test func aRetainedMessageIsGivenOutOnlyWhileItsPublisherMayPublishIt() throws {
        let gate = Toggle()
        for isChecked in [true, false] {
            let site = try site({ $0.checksRetainSource = isChecked }, authorizer: gate)
            gate.isOpen = true
            try site.connect(1, .v3("pub"))
            try site.send(1, .publish("t", "x", .atLeastOnce, id: 1, retain: true))
            gate.isOpen = false
            try site.crash()
            try site.connect(2, .v3("sub"))
            try site.send(2, .subscribe("t", .atMostOnce))
            #expect(site.publishes(2).map(\.text) == (isChecked ? [] : ["x"]))
        }
    }

    @Test func aMessageGoesOutWithTheQualityOfItsSubscriptionIfThatIsAsked() throws {
        let site = try site { $0.upgradesOutgoingQoS = true }
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        _ = site.take(1)
        try site.send(2, .publish("t", "live"))
        #expect(site.publishes(1).map(\.qos) == [.atLeastOnce])
        try site.drop(1)
        try site.send(2, .publish("t", "queued"))
        try site.crash()
        try site.connect(1, .v3("sub", clean: false))
        #expect(site.publishes(1).map(\.text) == ["live", "queued"])
    }

    @Test func qos0WaitsForAClientThatIsAwayIfThatIsAsked() throws {
        let site = try site { $0.queuesQoS0 = true }
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atMostOnce))
        try site.drop(1)
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("t", "one"), .publish("t", "two", .atLeastOnce, id: 1))
        try site.crash()
        try site.connect(1, .v3("sub", clean: false))
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["one", "two"])
        #expect(got.map(\.qos) == [.atMostOnce, .atMostOnce])
        try site.crash()
        try site.connect(1, .v3("sub", clean: false))
        #expect(site.publishes(1).isEmpty)
    }

    @Test func noMoreBytesThanAllowedAreOnTheWayToAClient() throws {
        let site = try site { $0.inflightBytesMax = 16 }
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub"))
        _ = site.take(1)
        for number in 1...3 { try site.send(2, .publish("t", "message\(number)", .atLeastOnce, id: UInt16(number))) }
        #expect(site.publishes(1).map(\.text) == ["message1", "message2"])
        try site.send(1, .puback(1))
        #expect(site.publishes(1).map(\.text) == ["message3"])
        try site.send(2, .publish("t", "a payload longer than that", .atLeastOnce, id: 4))
        try site.send(1, .puback(2), .puback(3))
        #expect(site.publishes(1).count == 1, "one message may always go")
    }

    @Test func aPayloadThatIsTooLargeIsDroppedAndAnswered() throws {
        let site = try site { $0.payloadBytesMax = 3 }
        try site.connect(1, .v5("c"))
        try site.connect(2, .v3("d"))
        for slot in [1, 2] as [UInt32] { try site.send(slot, .publish("t", "long", .atLeastOnce, id: 1)) }
        #expect(site.take(1) == [.puback(Acknowledgement(packetID: 1, reason: .packetTooLarge))])
        #expect(site.take(2) == [.puback(1)])
        #expect(site.core.statistics.dropped[.oversize] == 2)
        let will = Will(topic: "t", payload: ByteBuffer(string: "long"), qos: .atMostOnce, retain: false)
        try #expect(site.connect(3, .v5("e", will: will)).reason == .packetTooLarge)
        try #expect(site.connect(4, .v3("f", will: will)).reason == .notAuthorized)
    }

    @Test func aClientThatDoesNotKeepUpIsDisconnectedIfThatIsAsked() throws {
        var configuration = BrokerConfiguration()
        configuration.overflow = .disconnect
        configuration.inflightMessagesMax = 1
        configuration.queuedMessagesMax = 1
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("slow"))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        for id in 1...2 as ClosedRange<UInt16> { try site.send(2, .publish("t", "x", .atLeastOnce, id: id)) }
        #expect(site.closed[1] == nil)
        try site.send(2, .publish("t", "x", .atLeastOnce, id: 3))
        #expect(site.closed[1]?.reason == .quotaExceeded)
        #expect(site.core.statistics.dropped[.queueFull] == 1)
        #expect(site.take(2).count == 3, "the publisher is served")
    }

    @Test func aPacketIdentifierGoesWithAMessageThatExpiresInTheQueue() throws {
        let site = try site()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v5("pub"))
        try site.send(2, .publish("t", "short", .atLeastOnce, id: 1, [.messageExpiryInterval(1)]))
        try site.send(2, .publish("t", "long", .atLeastOnce, id: 2, [.messageExpiryInterval(60)]))
        try site.pass(seconds: 3)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["long"])
        #expect(got.map(\.packetID) == [2])
    }

    @Test func aBridgeOfMosquittosKindGetsNothingBackAndTheRetainFlagAsItWas() throws {
        let site = try site()
        var connect = Connect.v3("bridge")
        connect.isBridge = true
        try site.connect(1, connect)
        try site.send(1, .subscribe("t", .atMostOnce))
        try site.connect(2, .v3("other"))
        _ = site.take(1)
        try site.send(1, .publish("t", "own"))
        try site.send(2, .publish("t", "kept", retain: true))
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["kept"])
        #expect(got.map(\.retain) == [true])
    }

    @Test func refusalsAndFarewellsCarryAReasonCodeAndNothingElse() throws {
        let site = try site()
        site.authenticate = { request in request.clientID == "bad" ? .refused(.notAuthorized) : .accepted(username: nil)
        }
        try #expect(site.connect(1, .v5("bad")) == Connack(reason: .notAuthorized))
        try site.connect(2, .v5("good"))
        try site.send(2, .publish("t", "x", .atMostOnce, [.topicAlias(11)]))
        #expect(site.take(2) == [.disconnect(Disconnect(reason: .topicAliasInvalid))])
        let own = try SimulatedSite()
        try own.connect(2, .v5("good"))
        try own.send(2, .publish("t", "x", .atMostOnce, [.topicAlias(11)]))
        guard case .disconnect(let farewell)? = own.take(2).last else {
            Issue.record("no DISCONNECT")
            return
        }
        #expect(!farewell.properties.isEmpty)
    }

    @Test func aMalformedFilterEndsTheConnection() throws {
        for (filter, reason): (String, ReasonCode) in [
            ("a/#/b", .malformedPacket), ("", .malformedPacket), ("$share/+/p", .protocolError),
            ("$share/#/p", .malformedPacket), ("$share/p", .protocolError), ("$share/p/", .protocolError),
            (String(repeating: "/", count: 201), .malformedPacket),
        ] {
            let site = try site()
            try site.connect(1, .v5("c"))
            try site.send(1, .subscribe(filter, .atMostOnce))
            #expect(site.take(1) == [.disconnect(Disconnect(reason: reason))], "\(filter)")
        }
        let site = try site()
        try site.connect(1, .v5("c"))
        try site.send(1, .subscribe(String(repeating: "/", count: 200), .atMostOnce))
        #expect(site.take(1) == [.suback(Suback(packetID: 1, reasons: [.success]))])
    }

    @Test func anAcknowledgementThatDoesNotBelongToItsExchangeEndsTheConnection() throws {
        for (qos, answer): (QoS, Packet) in [
            (.atLeastOnce, .pubrec(1)), (.atLeastOnce, .pubcomp(1)), (.exactlyOnce, .puback(1)),
            (.exactlyOnce, .pubcomp(1)),
        ] {
            let site = try site()
            try site.connect(1, .v5("sub"))
            try site.send(1, .subscribe("t", qos))
            try site.connect(2, .v3("pub"))
            try site.send(2, .publish("t", "x", qos, id: 1))
            try site.send(2, .pubrel(1))
            _ = site.take(1)
            try site.send(1, answer)
            #expect(site.take(1) == [.disconnect(Disconnect(reason: .protocolError))])
        }
        let site = try site()
        try site.connect(1, .v5("sub"))
        try site.send(1, .puback(9), .pubcomp(9), .pubrec(9))
        #expect(site.take(1) == [.pubrel(9)], "what means nothing here is no mistake")
    }
}

/// Lets everybody publish while it is open.
private final class Toggle: Authorizer, @unchecked Sendable {
    // SAFETY: a test uses it on one thread.
    var isOpen = true

    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { isOpen }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
    func allowsEverything(_ identity: Identity) -> Bool { false }
}
