import MQTT
import NIOCore
import Testing

@testable import Broker

/// A journal without room: nothing new is taken save alarms, and what was promised goes on.
@Suite struct RoomTests {
    private func site(_ room: JournalRoom = .reserve, _ change: (inout BrokerConfiguration) -> Void = { _ in }) throws
        -> SimulatedSite
    {
        var configuration = BrokerConfiguration()
        configuration.alarmFilters = [try TopicFilter("alarm/#")]
        change(&configuration)
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("#", .exactlyOnce))
        try site.connect(2, .v5("pub", clean: false, expiry: 600))
        try site.connect(3, .v3("old", clean: false))
        _ = site.take(1)
        try site.change(room: room)
        return site
    }

    @Test(arguments: [QoS.atLeastOnce, .exactlyOnce])
    func whatNeedsTheDiskIsRefusedWithQuotaExceeded(qos: QoS) throws {
        let site = try site()
        try site.send(2, .publish("t", "one", qos, id: 7))
        let answer = Acknowledgement(packetID: 7, reason: .quotaExceeded)
        #expect(site.take(2) == [qos == .atLeastOnce ? .puback(answer) : .pubrec(answer)])
        #expect(site.publishes(1).isEmpty)
        #expect(site.core.statistics.queuedMessages == 0 && site.core.statistics.inflightMessages == 0)
        try site.change(room: .ample)
        try site.send(2, .publish("t", "two", qos, id: 7))
        #expect(site.publishes(1).map(\.text) == ["two"], "the identifier is free again")
    }

    @Test func alarmsAreTakenWhileTheReserveLasts() throws {
        let site = try site()
        try site.send(2, .publish("alarm/fire", "1", .atLeastOnce, id: 1))
        try site.send(3, .publish("alarm/fire", "2", .exactlyOnce, id: 1))
        #expect(site.take(2) == [.puback(1)])
        #expect(site.take(3) == [.pubrec(1)])
        #expect(site.publishes(1).map(\.text) == ["1", "2"])
        try site.change(room: .none)
        try site.send(2, .publish("alarm/fire", "3", .atLeastOnce, id: 2))
        #expect(site.take(2) == [.puback(Acknowledgement(packetID: 2, reason: .quotaExceeded))])
        #expect(site.publishes(1).isEmpty)
    }

    @Test func aClientOf3IsNotAnsweredAndSentAwayWhenThereIsRoomSoThatItComesAgain() throws {
        let site = try site()
        try site.send(3, .publish("t", "one", .atLeastOnce, id: 1))
        try site.send(3, .pingreq)
        #expect(site.take(3) == [.pingresp])
        #expect(site.publishes(1).isEmpty)
        try site.change(room: .ample)
        #expect(site.closed[3] != nil)
        #expect(site.closed[2] == nil, "who was answered stays")
        try site.connect(3, .v3("old", clean: false))
        try site.send(3, .publish("t", "one", .atLeastOnce, id: 1, duplicate: true))
        #expect(site.take(3) == [.puback(1)])
        #expect(site.publishes(1).map(\.text) == ["one"])
        try site.change(room: .reserve)
        try site.change(room: .ample)
        #expect(site.closed[3] == nil, "nothing is owed any more")
    }

    @Test func whatWasPromisedGoesOn() throws {
        let site = try site(.ample)
        try site.send(2, .publish("t", "two", .exactlyOnce, id: 1))
        let sent = try #require(site.publishes(1).first)
        _ = site.take(2)
        try site.change(room: .reserve)
        try site.send(2, .pubrel(1))
        #expect(site.take(2) == [.pubcomp(1)])
        try site.send(1, .pubrec(sent.packetID))
        #expect(site.take(1) == [.pubrel(sent.packetID)])
        try site.send(1, .pubcomp(sent.packetID))
        #expect(site.core.statistics.inflightMessages == 0)
        try site.crash()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        #expect(site.publishes(1).isEmpty, "the end of the exchange is on the disk")
    }

    @Test func aMessageHeldUntilPubrelIsReleasedWithoutRoom() throws {
        let site = try site(.ample) { $0.releasesQoS2OnPubrel = true }
        try site.send(2, .publish("t", "held", .exactlyOnce, id: 1))
        try site.change(room: .none)
        try site.send(2, .publish("t", "late", .exactlyOnce, id: 2))
        try site.send(2, .pubrel(1))
        let refused = Acknowledgement(packetID: 2, reason: .quotaExceeded)
        #expect(site.take(2) == [.pubrec(1), .pubrec(refused), .pubcomp(1)])
        #expect(site.publishes(1).map(\.text) == ["held"])
    }

    @Test func aNewDurableSubscriptionIsRefusedAndAWillIsKept() throws {
        let site = try site()
        try site.send(1, .subscribe("new", .atLeastOnce, id: 2))
        #expect(site.take(1) == [.suback(Suback(packetID: 2, reasons: [.quotaExceeded]))])
        try site.send(1, .subscribe("#", .exactlyOnce, id: 3))
        #expect(site.take(1) == [.suback(Suback(packetID: 3, reasons: [.grantedQoS2]))], "that one is on the disk")
        let will = Will(topic: "t", payload: ByteBuffer(string: "gone"), qos: .atLeastOnce, retain: false)
        try site.connect(4, .v3("c", will: will))
        try site.drop(1)
        try site.drop(4)
        try site.crash()
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        #expect(site.publishes(1).map(\.text) == ["gone"])
    }

    @Test func liveMessagesOfQoS0GoOn() throws {
        let site = try site(.none)
        try site.send(2, .publish("t", "live", .atMostOnce))
        try site.send(2, .publish("t", "kept?", .atMostOnce, retain: true))
        #expect(site.publishes(1).map(\.text) == ["live", "kept?"])
        #expect(site.core.statistics.retainedMessages == 0)
    }
}

extension SimulatedSite {
    fileprivate func change(room: JournalRoom) throws {
        try act { core, now, effects in core.roomChanged(to: room, now: now, effects: &effects) }
    }
}
