import MQTT
import NIOCore
import Testing

@testable import Broker

@Suite struct SubscribeTests {
    @Test func aSubscribeThatBreaksARuleIsNotHalfApplied() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 60))
        try site.send(
            1,
            .subscribe(
                Subscribe(
                    packetID: 1,
                    requests: [
                        .init(filter: "ok", options: .init(qos: .atLeastOnce)),
                        .init(filter: "$share/g/t", options: .init(qos: .atLeastOnce, noLocal: true)),
                    ]
                )
            )
        )
        #expect(site.closed[1]?.reason == .protocolError)
        #expect(site.core.statistics.subscriptions == 0)
    }

    @Test func aSubscriptionThatIsThereAlreadyIsGrantedWithoutTheDisk() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("c", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        let before = site.lastSequence
        site.commitsAtOnce = false
        _ = site.take(1)
        try site.send(1, .subscribe("t", .atLeastOnce, id: 2))
        #expect(site.take(1) == [.suback(Suback(packetID: 2, reasons: [.grantedQoS1]))])
        #expect(site.lastSequence == before)
    }

    @Test func aRetainedMessageOfOnesOwnDoesNotComeBackWithNoLocal() throws {
        // [MQTT-3.8.3-3]
        let site = try SimulatedSite()
        try site.connect(1, .v5("c"))
        try site.send(1, .publish("t", "mine", .atMostOnce, retain: true))
        let own = Subscribe.Request(filter: "t", options: .init(qos: .atMostOnce, noLocal: true))
        try site.send(1, .subscribe(Subscribe(packetID: 1, requests: [own])))
        #expect(site.publishes(1).isEmpty)
        try site.connect(2, .v5("other"))
        try site.send(2, .subscribe(Subscribe(packetID: 1, requests: [own])))
        #expect(site.publishes(2).map(\.text) == ["mine"])
    }

    @Test func retainHandlingIsKept() throws {
        // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
        let site = try SimulatedSite()
        try site.connect(1, .v5("c"))
        try site.send(1, .publish("t", "kept", .atMostOnce, retain: true))
        func ask(_ handling: RetainHandling) throws -> [String] {
            let request = Subscribe.Request(filter: "t", options: .init(qos: .atMostOnce, retainHandling: handling))
            try site.send(1, .subscribe(Subscribe(packetID: 1, requests: [request])))
            return site.publishes(1).map(\.text)
        }
        try #expect(ask(.doNotSend) == [])
        try #expect(ask(.sendIfNew) == [])
        try #expect(ask(.sendAtSubscribe) == ["kept"])
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 2, filters: ["t"])))
        _ = site.take(1)
        try #expect(ask(.sendIfNew) == ["kept"])
    }

    @Test func aRetainedQoS1MessageSurvivesACrashBeforeItsAcknowledgement() throws {
        let site = try SimulatedSite(readers: ["kept/#"])
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("kept/1", "one", .exactlyOnce, id: 1, retain: true))
        try site.send(2, .publish("kept/2", "two", .atLeastOnce, id: 2, retain: true))
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("kept/#", .exactlyOnce))
        let first = site.publishes(1)
        #expect(Set(first.map(\.text)) == ["one", "two"])
        let known = try site.records.flatMap { try JournalRecord.messages(of: $0.value, sequence: $0.key) }
        #expect(known.count == 2, "for handlers and bridges it is no new message")
        for isCheckpointed in [false, true] {
            if isCheckpointed { try site.takeCheckpoint() }
            try site.crash()
            try site.connect(1, .v3("sub", clean: false))
            let again = site.publishes(1)
            #expect(again.map(\.packetID) == first.map(\.packetID))
            #expect(again.map(\.text) == first.map(\.text))
            #expect(!again.map(\.duplicate).contains(false))
            #expect(!again.map(\.retain).contains(false))
        }
    }

    @Test func aRetainedMessageThatWaitsInTheQueueSurvivesACheckpointAndACrash() throws {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 1
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(2, .v5("pub"))
        for id: UInt16 in 1...3 {
            let expiry: Properties = [.messageExpiryInterval(100)]
            let topic = TopicName(uncheckedBytes: ByteBuffer(string: "kept/\(id)"))
            try site.send(2, .publish(topic, "\(id)", .atLeastOnce, id: id, retain: true, expiry))
        }
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("kept/#", .atLeastOnce))
        try site.takeCheckpoint()
        try site.pass(seconds: 40)
        try site.crash()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        var got: [Publish] = []
        while let next = site.publishes(1).first {
            got.append(next)
            try site.send(1, .puback(next.packetID))
        }
        #expect(got.map(\.text).sorted() == ["1", "2", "3"])
        #expect(got.allSatisfy { $0.properties.values.contains(.messageExpiryInterval(60)) })
        try site.crash()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        #expect(site.publishes(1).isEmpty)
    }

    @Test(arguments: [BrokerConfiguration.Overflow.dropOldest, .dropNewest])
    func retainedMessagesBeyondTheQueueAreDroppedAsConfigured(overflow: BrokerConfiguration.Overflow) throws {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 1
        configuration.queuedMessagesMax = 2
        configuration.overflow = overflow
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(2, .v3("pub"))
        for id: UInt16 in 1...5 {
            let topic = TopicName(uncheckedBytes: ByteBuffer(string: "kept/\(id)"))
            try site.send(2, .publish(topic, "\(id)", .atLeastOnce, id: id, retain: true))
        }
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("kept/#", .atLeastOnce))
        #expect(site.core.statistics.dropped[.queueFull] == 3)
        try site.crash()
        try site.connect(1, .v3("sub", clean: false))
        var count = 0
        while let next = site.publishes(1).first {
            count += 1
            try site.send(1, .puback(next.packetID))
        }
        #expect(count == 2, "what was dropped does not come back")
        #expect(!site.records.values.contains { $0.readableBytes == 0 }, "no record is empty")
    }
}
