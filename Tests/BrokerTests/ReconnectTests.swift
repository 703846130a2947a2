import MQTT
import NIOCore
import Testing

@testable import Broker

/// What happens to open exchanges and to sessions between two connections.
@Suite struct ReconnectTests {
    @Test func pubrelFollowsOnAReconnectThoughItsRecordIsLongOnDisk() throws {
        // [MQTT-4.4.0-1]; nothing else happens on the site that could bring another commit.
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("t", "x", .exactlyOnce, id: 1))
        let publish = try #require(site.publishes(1).first)
        site.commitsAtOnce = false
        try site.send(1, .pubrec(publish.packetID))
        try site.drop(1)
        try site.commit()
        try site.connect(1, .v3("sub", clean: false))
        try site.commit()
        #expect(site.take(1) == [.pubrel(publish.packetID)])
    }

    @Test func aQoS2MessageCommittedWhileItsReceiverWasGoneIsSentOnReconnect() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub"))
        site.commitsAtOnce = false
        try site.send(2, .publish("t", "x", .exactlyOnce, id: 1))
        try site.drop(1)
        try site.commit()
        try site.connect(1, .v3("sub", clean: false))
        try site.commit()
        #expect(site.publishes(1).map(\.text) == ["x"])
    }

    @Test func aRepeatedPubrelIsNotAnsweredBeforeTheFirstIsOnDisk() throws {
        // Else the client uses the identifier for the next message, and after a crash that one is taken for the old.
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub", clean: false))
        try site.send(2, .publish("t", "one", .exactlyOnce, id: 1))
        site.commitsAtOnce = false
        try site.send(2, .pubrel(1))
        try site.drop(2)
        try site.connect(2, .v3("pub", clean: false))
        try site.send(2, .pubrel(1))
        #expect(site.take(2).isEmpty)
        try site.commit()
        #expect(site.take(2) == [.pubcomp(1)])
    }

    @Test func aSessionWhoseExpiryBecameZeroIsNotThereAfterACrash() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 600))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(1, .v5("c", clean: false))
        try site.crash()
        #expect(site.core.statistics.sessions == 0, "it ended with its connection [MQTT-3.1.2-23]")
        try #expect(site.connect(1, .v5("c", clean: false, expiry: 600)).sessionPresent == false)
    }

    @Test func theExpiryOfASessionDoesNotRunWhileItsClientIsThere() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 30))
        try site.drop(1)
        try site.connect(1, .v5("c", clean: false, expiry: 30))
        try site.pass(seconds: 40)
        try site.crash()
        try site.pass(seconds: 5)
        #expect(site.core.statistics.sessions == 1, "it was connected until the crash")
    }

    @Test func theExpiryOfASessionGoesOnWhileTheMachineIsDown() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 3_600))
        try site.drop(1)
        // The monotonic clock begins anew with the machine.
        site.now.wallMilliseconds += 7_200_000
        site.now.monotonicNanoseconds = 5_000_000_000
        try site.crash()
        try site.pass(seconds: 5)
        #expect(site.core.statistics.sessions == 0)
    }

    @Test func aClientThatSaidGoodbyeIsGoneAtOnce() throws {
        let site = try SimulatedSite()
        site.closesAtOnce = false
        try site.connect(1, .v5("a"))
        try site.connect(2, .v5("b"))
        try site.send(1, .subscribe("$share/g/t", .atLeastOnce))
        try site.send(2, .subscribe("$share/g/t", .atLeastOnce))
        try site.connect(3, .v3("pub"))
        try site.send(1, .disconnect(Disconnect()))
        _ = site.take(2)
        for id: UInt16 in 1...4 { try site.send(3, .publish("t", "\(id)", .atLeastOnce, id: id)) }
        #expect(site.publishes(2).count == 4, "no share goes to a connection that is being closed")
        #expect(site.core.statistics.clientsConnected == 2)
    }

    @Test func anAnswerToAnEarlierConnectionsQuestionLosesNothing() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        for id: UInt16 in 1...3 { try site.send(2, .publish("t", "\(id)", .atLeastOnce, id: id)) }
        let first = site.publishes(1)
        try site.crash()
        site.answersLoads = false
        try site.connect(1, .v3("sub", clean: false))
        // The first of three is acknowledged although it has not been repeated; the reading is still under way.
        try site.send(1, .puback(first[0].packetID))
        try site.drop(1)
        try site.connect(1, .v3("sub", clean: false))
        site.answersLoads = true
        try site.answerLoads()
        #expect(site.publishes(1).map(\.text) == ["2", "3"])
        #expect(site.core.statistics.dropped[.lost] == nil)
    }
}
