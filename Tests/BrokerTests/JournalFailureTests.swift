import MQTT
import NIOCore
import Testing

@testable import Broker

/// A journal that takes nothing any more: live messages go on, nothing is promised, nobody's window is blocked.
@Suite struct JournalFailureTests {
    private func failed() throws -> SimulatedSite {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub", clean: false))
        site.commitsAtOnce = false
        return site
    }

    @Test func aSubscriptionThatCannotBeKeptIsRefused() throws {
        let site = try failed()
        _ = site.take(1)
        try site.send(1, .subscribe("waiting", .atLeastOnce, id: 2))
        try site.failJournal()
        #expect(site.take(1) == [.suback(Suback(packetID: 2, reasons: [.quotaExceeded]))])
        try site.send(1, .subscribe("late", .atLeastOnce, id: 3))
        #expect(site.take(1) == [.suback(Suback(packetID: 3, reasons: [.quotaExceeded]))])
        try site.send(1, .subscribe("t", .exactlyOnce, id: 4))
        #expect(site.take(1) == [.suback(Suback(packetID: 4, reasons: [.grantedQoS2]))], "that one is on disk")
        #expect(site.core.statistics.subscriptions == 1)
        try site.connect(3, .v5("clean"))
        try site.send(3, .subscribe("t", .atLeastOnce))
        #expect(site.take(3) == [.suback(Suback(packetID: 1, reasons: [.grantedQoS1]))])
    }

    @Test func anUnsubscribeThatWaitsIsAnswered() throws {
        let site = try failed()
        _ = site.take(1)
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 2, filters: ["t"])))
        try site.failJournal()
        #expect(site.take(1) == [.unsuback(Unsuback(packetID: 2, reasons: [.success]))])
    }

    @Test func whatWasNotAcceptedBlocksNoWindow() throws {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 2
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("sub"))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub", clean: false))
        _ = site.take(1)
        site.commitsAtOnce = false
        for id: UInt16 in 1...5 { try site.send(2, .publish("t", "lost", .exactlyOnce, id: id)) }
        try site.failJournal()
        #expect(site.core.statistics.inflightMessages == 0)
        #expect(site.core.statistics.queuedMessages == 0)
        try site.connect(3, .v3("other"))
        try site.send(3, .publish("t", "live", .atLeastOnce, id: 1))
        #expect(site.publishes(1).map(\.text) == ["live"])
        #expect(site.take(3) == [.puback(1)])
    }

    @Test func aPubrelThatCannotBeKeptIsNotAnswered() throws {
        // With PUBCOMP the identifier would be free for another message, which after the restart would be taken for
        // the one that the disk still knows, acknowledged and thrown away.
        let site = try failed()
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 1))
        try site.commit()
        _ = site.take(2)
        try site.failJournal()
        try site.send(2, .pubrel(1))
        #expect(site.take(2).isEmpty)
        try site.crash()
        try site.connect(2, .v3("pub", clean: false))
        site.commitsAtOnce = true
        try site.send(2, .pubrel(1))
        #expect(site.take(2) == [.pubcomp(1)])
    }

    @Test(arguments: [false, true])
    func aQoS2MessageThatTheDiskMayHaveIsNotRefused(releasesQoS2OnPubrel: Bool) throws {
        // With an error in PUBREC the identifier would be free for another message, which after the restart would be
        // taken for the one that the disk has after all, acknowledged and thrown away.
        var configuration = BrokerConfiguration()
        configuration.releasesQoS2OnPubrel = releasesQoS2OnPubrel
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("t", .exactlyOnce))
        let publisher = Connect.v5("pub", clean: false, expiry: 600)
        try site.connect(2, publisher)
        site.commitsAtOnce = false
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 1))
        try site.failJournal()
        #expect(site.take(2).isEmpty)
        try site.connect(2, publisher)
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 1, duplicate: true))
        #expect(site.take(2).isEmpty)
        // The sync failed, but what was written is there.
        site.keepsUncommitted = true
        try site.crash()
        site.commitsAtOnce = true
        try site.connect(2, publisher)
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 1, duplicate: true))
        #expect(site.take(2) == [.pubrec(1)])
        try site.send(2, .pubrel(1))
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        #expect(site.publishes(1).map(\.text) == ["one"])
    }

    @Test func aQoS2DeliveryThatIsUnderWayEndsAfterTheRestart() throws {
        let site = try failed()
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 1))
        try site.commit()
        let first = try #require(site.publishes(1).first)
        try site.failJournal()
        try site.send(1, .pubrec(first.packetID))
        #expect(site.take(1).isEmpty, "no PUBREL before the disk knows of PUBREC")
        try site.crash()
        site.commitsAtOnce = true
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        #expect(site.publishes(1).map(\.packetID) == [first.packetID])
    }

    @Test func aWillStillReachesThoseWhoAreThere() throws {
        let site = try failed()
        let will = Will(topic: "t", payload: ByteBuffer(string: "gone"), qos: .atLeastOnce, retain: false)
        try site.connect(3, .v3("c", will: will))
        _ = site.take(1)
        try site.failJournal()
        try site.drop(3)
        #expect(site.publishes(1).map(\.text) == ["gone"])
    }
}
