import MQTT
import NIOCore
import Testing

@testable import Broker

/// Shared subscriptions: MQTT 5.0 section 4.8.2.
@Suite struct SharedStatements {
    private static let filter = "$share/group/job/#"

    /// A publisher in slot 9 and members in the slots 1, 2, …, with sessions that live on if `expiry` is not zero.
    private func site(
        members: UInt32 = 2,
        expiry: UInt32 = 0,
        qos: QoS = .atLeastOnce,
        authorizer: any Authorizer = AllowAll(),
        configuration: BrokerConfiguration = .init()
    ) throws -> SimulatedSite {
        let site = try SimulatedSite(configuration: configuration, authorizer: authorizer)
        for slot in 1...members {
            try site.connect(slot, .v5("m\(slot)", clean: false, expiry: expiry))
            try site.send(slot, .subscribe(Self.filter, qos))
            _ = site.take(slot)
        }
        try site.connect(9, .v5("pub"))
        return site
    }

    private func publish(_ site: SimulatedSite, _ numbers: ClosedRange<UInt16>, _ qos: QoS = .atLeastOnce) throws {
        for number in numbers {
            // Another topic each time: whose turn it is belongs to the subscription, not to the topic.
            let topic = TopicName(uncheckedBytes: ByteBuffer(string: "job/\(number)"))
            try site.send(9, .publish(topic, "\(number)", qos, id: qos == .atMostOnce ? 0 : number))
            if qos == .exactlyOnce { try site.send(9, .pubrel(number)) }
        }
    }

    @Test(
        "section 4.8.2: each message goes to one member of a shared subscription, in turn",
        arguments: QoS.allCases
    )
    func roundRobin(qos: QoS) throws {
        let site = try site(members: 3, qos: .exactlyOnce)
        try publish(site, 1...9, qos)
        #expect(site.publishes(1).map(\.text) == ["1", "4", "7"])
        #expect(site.publishes(2).map(\.text) == ["2", "5", "8"])
        #expect(site.publishes(3).map(\.text) == ["3", "6", "9"])
    }

    @Test("section 4.8.2: a member that is away, stuck or full is passed over while another can take the message")
    func passesOverTheBusy() throws {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 2
        let site = try site(members: 3, expiry: 60, configuration: configuration)
        try site.drop(3)
        try site.writable(2, false)
        try publish(site, 1...2)
        #expect(site.publishes(1).map(\.text) == ["1", "2"])
        try site.writable(2, true)
        try publish(site, 3...4)
        #expect(site.publishes(2).map(\.text) == ["3", "4"], "the first one's window is full")
    }

    @Test("section 4.8.2: with nobody connected the messages wait in the sessions, in turn, also over a restart")
    func waitsForMembers() throws {
        let site = try site(expiry: 600)
        try site.drop(1)
        try site.drop(2)
        try publish(site, 1...4)
        try site.crash()
        try site.connect(1, .v5("m1", clean: false, expiry: 600))
        try site.connect(2, .v5("m2", clean: false, expiry: 600))
        let first = site.publishes(1).map(\.text)
        let second = site.publishes(2).map(\.text)
        #expect((first + second).sorted() == ["1", "2", "3", "4"])
        #expect(first.count == 2)
    }

    @Test("[MQTT-4.8.2-3] each member is given at most the QoS that it was granted")
    func respectsQoS() throws {
        let site = try site(members: 1, qos: .atLeastOnce)
        try site.connect(2, .v5("low"))
        try site.send(2, .subscribe(Self.filter, .atMostOnce))
        _ = site.take(2)
        try publish(site, 1...2, .exactlyOnce)
        #expect(site.publishes(1).map(\.qos) == [.atLeastOnce])
        #expect(site.publishes(2).map(\.qos) == [.atMostOnce])
    }

    @Test("a member that may not receive the topic is passed over")
    func passesOverTheRefused() throws {
        struct NotSecond: Authorizer {
            func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
            func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
            func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { identity.clientID != "m2" }
            func allowsEverything(_ identity: Identity) -> Bool { false }
        }
        let site = try site(members: 2, authorizer: NotSecond())
        try publish(site, 1...4)
        #expect(site.publishes(1).map(\.text) == ["1", "2", "3", "4"])
        #expect(site.publishes(2).isEmpty)
        try site.drop(1)
        try publish(site, 5...5)
        #expect(site.publishes(2).isEmpty)
        #expect(site.core.statistics.dropped[.notAuthorized] == 5, "the fifth, and four that were not acknowledged")
    }

    @Test(
        "[MQTT-4.8.2-4] a QoS 2 message that was sent is completed with its member when it reconnects",
        arguments: [false, true]
    )
    func completesQoS2(afterCrash: Bool) throws {
        let site = try site(expiry: 600, qos: .exactlyOnce)
        try publish(site, 1...1, .exactlyOnce)
        let sent = site.publishes(1)
        #expect(sent.map(\.text) == ["1"])
        if afterCrash { try site.crash() } else { try site.drop(1) }
        try site.connect(2, .v5("m2", clean: false, expiry: 600))
        #expect(site.publishes(2).isEmpty, "it stays the first one's")
        try site.connect(1, .v5("m1", clean: false, expiry: 600))
        let again = site.publishes(1)
        #expect(again.map(\.packetID) == sent.map(\.packetID))
        #expect(again.map(\.duplicate) == [true])
    }

    @Test("[MQTT-4.8.2-5] a QoS 2 message that was sent goes to nobody else when its member's session ends")
    func neverGivesQoS2Away() throws {
        let site = try site(expiry: 5, qos: .exactlyOnce)
        try publish(site, 1...1, .exactlyOnce)
        #expect(site.publishes(1).map(\.text) == ["1"])
        try site.drop(1)
        try site.pass(seconds: 20)
        #expect(site.core.statistics.sessions == 2, "the member's session has ended")
        #expect(site.publishes(2).isEmpty)
    }

    @Test(
        "[MQTT-4.8.2-6] a message that its member answers with an error goes to nobody else",
        arguments: [QoS.atLeastOnce, .exactlyOnce]
    )
    func errorEndsIt(qos: QoS) throws {
        let site = try site(expiry: 600, qos: qos)
        try publish(site, 1...1, qos)
        let packetID = try #require(site.publishes(1).first).packetID
        let answer = Acknowledgement(packetID: packetID, reason: .unspecifiedError)
        try site.send(1, qos == .atLeastOnce ? .puback(answer) : .pubrec(answer))
        try site.drop(1)
        try site.connect(1, .v5("m1", clean: true))
        #expect(site.take(1).count == 0, "not sent again")
        #expect(site.publishes(2).isEmpty)
        #expect(site.core.statistics.inflightMessages == 0)
    }

    @Test(
        "section 4.8.2: QoS 1 messages without an acknowledgement go to another member when the session ends",
        arguments: [false, true]
    )
    func unacknowledgedGoOn(afterCrash: Bool) throws {
        let site = try site(expiry: 8)
        try publish(site, 1...4)
        let first = site.publishes(1)
        #expect(first.map(\.text) == ["1", "3"])
        try site.send(1, .puback(first[0].packetID))
        for publish in site.publishes(2) { try site.send(2, .puback(publish.packetID)) }
        try site.drop(1)
        #expect(site.publishes(2).isEmpty, "it may come back")
        if afterCrash {
            try site.crash()
            try site.connect(2, .v5("m2", clean: false, expiry: 600))
            try site.connect(9, .v5("pub"))
        }
        try site.pass(seconds: 20)
        let inherited = site.publishes(2)
        #expect(inherited.map(\.text) == ["3"])
        #expect(inherited.map(\.duplicate) == [false], "for this client it is new")
        for publish in inherited { try site.send(2, .puback(publish.packetID)) }
        try site.crash()
        try site.connect(2, .v5("m2", clean: false, expiry: 600))
        #expect(site.publishes(2).isEmpty)
    }

    @Test(
        "section 4.8.2: messages that wait for a member go to another when it leaves, and outlive a crash there",
        arguments: ["disconnect", "unsubscribe", "clean start"]
    )
    func queuedGoOn(how: String) throws {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 1
        let site = try site(expiry: 600, configuration: configuration)
        try publish(site, 1...6)
        let first = site.publishes(1)
        var got = site.publishes(2)
        #expect(first.map(\.text) == ["1"])
        #expect(got.map(\.text) == ["2"])
        switch how {
        case "disconnect": try site.drop(1)
        case "unsubscribe": try site.send(1, .unsubscribe(Unsubscribe(packetID: 7, filters: [Self.filter])))
        default: try site.connect(1, .v5("m1", clean: true, expiry: 600))
        }
        try site.takeCheckpoint()
        try site.crash()
        try site.connect(2, .v5("m2", clean: false, expiry: 600))
        while let next = site.publishes(2).first {
            got.append(next)
            try site.send(2, .puback(next.packetID))
        }
        let wanted = how == "clean start" ? ["1", "2", "3", "4", "5", "6"] : ["2", "3", "4", "5", "6"]
        #expect(Set(got.map(\.text)) == Set(wanted))
        try site.connect(1, .v5("m1", clean: false, expiry: 600))
        #expect(site.publishes(1).map(\.text) == (how == "clean start" ? [] : ["1"]), "[MQTT-3.10.4-3]")
    }

    @Test("section 4.8.2: two groups of one filter, and a subscription that is not shared, are given a copy each")
    func groupsAreApart() throws {
        let site = try site(members: 1)
        try site.connect(2, .v5("other"))
        try site.send(2, .subscribe("$share/second/job/#", .atLeastOnce))
        try site.connect(3, .v5("plain"))
        try site.send(3, .subscribe("job/#", .atLeastOnce))
        _ = (site.take(2), site.take(3))
        try publish(site, 1...2)
        for slot: UInt32 in 1...3 { #expect(site.publishes(slot).map(\.text) == ["1", "2"]) }
    }

    @Test("section 4.8.2: a shared subscription is given no retained messages")
    func noRetained() throws {
        let site = try SimulatedSite()
        try site.connect(9, .v5("pub"))
        try site.send(9, .publish("job/1", "kept", .atLeastOnce, id: 1, retain: true))
        try site.connect(1, .v5("m1"))
        try site.send(1, .subscribe(Self.filter, .atLeastOnce))
        #expect(site.publishes(1).isEmpty)
    }

    @Test(
        "[MQTT-4.8.2-1] [MQTT-4.8.2-2] a share name has a character, no wildcard, and a filter behind it",
        arguments: [
            "$share", "$share/", "$share//t", "$share/g", "$share/g/", "$share/g+/t", "$share/#/t", "$share/+/t",
        ]
    )
    func shareNames(filter: String) throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c"))
        try site.send(1, .subscribe(filter, .atMostOnce))
        #expect(site.take(1) == [.suback(Suback(packetID: 1, reasons: [.topicFilterInvalid]))])
    }
}
