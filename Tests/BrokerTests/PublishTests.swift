import MQTT
import NIOCore
import Testing

@testable import Broker

@Suite struct PublishTests {
    @Test func aMessageReachesItsSubscriberOnceEvenIfSubscriptionsOverlap() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub"))
        try site.send(1, .subscribe("a/+", .atMostOnce, id: 1, [.subscriptionIdentifier(7)]))
        try site.send(1, .subscribe("a/#", .atLeastOnce, id: 2, [.subscriptionIdentifier(9)]))
        try site.connect(2, .v3("pub"))
        _ = site.take(1)
        try site.send(2, .publish("a/b", "x", .atLeastOnce, id: 3))
        let got = site.publishes(1)
        #expect(got.count == 1)
        #expect(got.first?.qos == .atLeastOnce, "the highest quality of service counts [MQTT-3.3.4-2]")
        let identifiers = got.first?.properties.values.compactMap {
            if case .subscriptionIdentifier(let value) = $0 { value } else { nil }
        }
        #expect(Set(identifiers ?? []) == [7, 9])
    }

    @Test(arguments: [QoS.atMostOnce, .atLeastOnce, .exactlyOnce])
    func aMessageIsDeliveredWithTheLowerOfBothQualitiesOfService(granted: QoS) throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("t", granted))
        try site.connect(2, .v3("pub"))
        _ = site.take(1)
        try site.send(2, .publish("t", "x", .exactlyOnce, id: 1))
        #expect(site.publishes(1).map(\.qos) == [granted])
        #expect(site.take(2) == [.pubrec(1)])
    }

    @Test func aQoS2IdentifierIsPublishedOnceUntilItIsReleased() throws {
        // [MQTT-4.3.3-10], [MQTT-4.3.3-12]
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("t", .atMostOnce))
        try site.connect(2, .v3("pub"))
        _ = site.take(1)
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 5))
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 5, duplicate: true))
        #expect(site.publishes(1).count == 1)
        #expect(site.take(2) == [.pubrec(5), .pubrec(5)])
        try site.send(2, .pubrel(5))
        #expect(site.take(2) == [.pubcomp(5)])
        try site.send(2, .publish("t", "two", .exactlyOnce, id: 5))
        #expect(site.publishes(1).map(\.text) == ["two"])
    }

    @Test func anAcknowledgementWaitsForTheDiskIfAPersistentSessionWantsTheMessage() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v5("pub"))
        site.commitsAtOnce = false
        _ = site.take(1)
        try site.send(2, .publish("t", "x", .atLeastOnce, id: 1))
        #expect(site.publishes(1).count == 1, "a live receiver need not wait for the disk at QoS 1")
        #expect(site.take(2).isEmpty, "not before the commit")
        try site.commit()
        #expect(site.take(2) == [.puback(1)])
    }

    @Test func whatNothingDurableWantsIsAcknowledgedAtOnceAndNeverJournalled() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        site.commitsAtOnce = false
        let before = site.lastSequence
        try site.send(2, .publish("t", "x", .atLeastOnce, id: 1))
        #expect(site.take(2) == [.puback(1)])
        #expect(site.lastSequence == before)
    }

    @Test func aJournalReaderMakesAQoS0MessageDurable() throws {
        let site = try SimulatedSite(readers: ["fridge/#"])
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("fridge/1/temp", "4"), .publish("oven/1/temp", "180"))
        let messages = try site.records.values.flatMap { try JournalRecord.messages(of: $0, sequence: 1) }
        #expect(messages.map(\.topic.string) == ["fridge/1/temp"])
    }

    @Test func afterTheJournalFailedNothingThatNeedsItIsAcknowledged() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v5("new"))
        try site.connect(3, .v3("old"))
        site.commitsAtOnce = false
        try site.send(2, .publish("t", "in the air", .atLeastOnce, id: 1))
        try site.failJournal()
        try site.send(2, .publish("t", "x", .atLeastOnce, id: 2))
        try site.send(3, .publish("t", "x", .atLeastOnce, id: 1))
        #expect(
            site.take(2) == [
                .puback(Acknowledgement(packetID: 1, reason: .quotaExceeded)),
                .puback(Acknowledgement(packetID: 2, reason: .quotaExceeded)),
            ]
        )
        #expect(site.take(3).isEmpty)
        try site.send(3, .publish("other", "x", .atLeastOnce, id: 2))
        #expect(site.take(3) == [.puback(2)], "what needs no disk goes on")
    }

    @Test func aTopicAliasStandsForItsTopic() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("#", .atMostOnce))
        try site.connect(2, .v5("pub"))
        _ = site.take(1)
        try site.send(2, .publish("a/b", "1", .atMostOnce, [.topicAlias(3)]))
        try site.send(2, .publish("", "2", .atMostOnce, [.topicAlias(3)]))
        #expect(site.publishes(1).map(\.topic.string) == ["a/b", "a/b"])
        try site.send(2, .publish("", "3", .atMostOnce, [.topicAlias(4)]))
        #expect(site.closed[2]?.reason == .topicAliasInvalid)
    }

    @Test func aMessageThatExpiredIsNotDeliveredAndTheRestOfItsLifeIsTold() throws {
        // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v5("pub"))
        try site.send(2, .publish("t", "short", .atLeastOnce, id: 1, [.messageExpiryInterval(5)]))
        try site.send(2, .publish("t", "long", .atLeastOnce, id: 2, [.messageExpiryInterval(60)]))
        try site.pass(seconds: 10)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["long"])
        #expect(got.first?.properties.values.contains(.messageExpiryInterval(50)) == true)
        #expect(site.core.statistics.dropped[.expired] == 1)
    }

    @Test func clientsMayNotPublishToTheServersOwnTopics() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub"))
        try site.send(1, .subscribe("$SYS/#", .atMostOnce))
        _ = site.take(1)
        try site.connect(2, .v5("pub"))
        try site.send(2, .publish("$SYS/broker/uptime", "1", .atLeastOnce, id: 1))
        #expect(site.publishes(1).isEmpty)
        #expect(site.take(2) == [.puback(Acknowledgement(packetID: 1, reason: .notAuthorized))])
    }

    @Test func handlerOutputsLeaveAfterTheirRecordIsOnDisk() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("pump"))
        try site.send(1, .subscribe("dev/#", .atLeastOnce))
        _ = site.take(1)
        site.commitsAtOnce = false
        try site.submit(
            HandlerCommit(
                handler: "glucose",
                position: MessageReference(record: 7, index: 0),
                key: "bed-1",
                state: ByteBuffer(string: "{}"),
                outputs: [
                    .init(
                        topic: "dev/1/cmd",
                        payload: ByteBuffer(string: "go"),
                        qos: .atLeastOnce,
                        retain: false,
                        properties: []
                    )
                ],
                decision: nil
            )
        )
        #expect(site.publishes(1).isEmpty)
        try site.commit()
        #expect(site.publishes(1).map(\.text) == ["go"])
        try site.crash()
        #expect(site.core.recoveredHandlers["glucose"]?.position == MessageReference(record: 7, index: 0))
        #expect(site.core.recoveredHandlers["glucose"]?.states["bed-1"] == ByteBuffer(string: "{}"))
    }
}
