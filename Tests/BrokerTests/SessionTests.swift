import MQTT
import NIOCore
import Testing

@testable import Broker

@Suite struct SessionTests {
    @Test func aPersistentSessionKeepsWhatCameWhileItsClientWasAway() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.send(1, .disconnect(Disconnect()))
        try site.connect(2, .v3("pub"))
        for number: UInt16 in 1...5 { try site.send(2, .publish("t", "\(number)", .atLeastOnce, id: number)) }
        let connack = try site.connect(1, .v3("sub", clean: false))
        #expect(connack.sessionPresent)
        #expect(site.publishes(1).map(\.text) == ["1", "2", "3", "4", "5"])
    }

    @Test func aPersistentSessionOutlivesTheProcess() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        for number: UInt16 in 1...3 { try site.send(2, .publish("t", "\(number)", .atLeastOnce, id: number)) }
        let first = site.publishes(1)
        try site.send(1, .puback(first[0].packetID))
        try site.crash()
        try #expect(site.connect(1, .v3("sub", clean: false)).sessionPresent)
        let again = site.publishes(1)
        #expect(again.map(\.text) == ["2", "3"])
        #expect(again.map(\.packetID) == first.dropFirst().map(\.packetID), "[MQTT-4.4.0-1]")
        #expect(!again.map(\.duplicate).contains(false))
    }

    @Test func aCheckpointStandsForAllRecordsBeforeIt() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("sub", clean: false, expiry: 3_600))
        try site.send(1, .subscribe("t/#", .exactlyOnce))
        try site.connect(2, .v3("pub", clean: false))
        try site.send(2, .publish("t/kept", "retained", .atLeastOnce, id: 1, retain: true))
        let live = site.publishes(1)
        try site.send(1, .puback(live[0].packetID))
        try site.drop(1)
        try site.send(2, .publish("t/1", "queued", .exactlyOnce, id: 2))
        try site.takeCheckpoint()
        try site.send(2, .publish("t/2", "after", .exactlyOnce, id: 3))
        try site.crash()
        try site.connect(2, .v3("pub", clean: false))
        try site.send(2, .publish("t/1", "queued", .exactlyOnce, id: 2, duplicate: true))
        #expect(site.take(2).contains(.pubrec(2)), "known from before the checkpoint, so not published again")
        try site.connect(1, .v5("sub", clean: false, expiry: 3_600))
        #expect(site.publishes(1).map(\.text) == ["queued", "after"])
        try site.connect(3, .v3("late"))
        try site.send(3, .subscribe("t/kept", .atMostOnce))
        #expect(site.publishes(3).map(\.text) == ["retained"])
    }

    @Test func aCleanStartEndsTheSessionBefore() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("c", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try #expect(site.connect(1, .v3("c")).sessionPresent == false)
        try site.drop(1)
        try #expect(site.connect(1, .v3("c", clean: false)).sessionPresent == false)
        #expect(site.core.statistics.subscriptions == 0)
    }

    @Test func aSecondConnectionTakesTheSessionOver() throws {
        // [MQTT-3.1.4-3]
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 60))
        try site.send(1, .subscribe("t", .atLeastOnce))
        _ = site.take(1)
        try #expect(site.connect(2, .v5("c", clean: false, expiry: 60)).sessionPresent)
        #expect(
            site.take(1).contains {
                if case .disconnect(let end) = $0 { end.reason == .sessionTakenOver } else { false }
            }
        )
        #expect(site.closed[1]?.reason == .sessionTakenOver)
        #expect(site.core.statistics.clientsConnected == 1)
    }

    @Test func aSessionBelongsToItsIdentity() throws {
        let site = try SimulatedSite()
        var mine = Connect.v3("c", clean: false)
        mine.username = "nurse"
        var theirs = mine
        theirs.username = "visitor"
        try site.connect(1, mine)
        try site.send(1, .subscribe("t", .atLeastOnce))
        try #expect(site.connect(2, theirs).sessionPresent == false)
        #expect(site.closed[1] == nil, "another identity cannot throw the client out")
    }

    @Test func clientIdentifiersThatOnlyLookAlikeAreDifferentClients() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("caf\u{E9}", clean: false))
        try #expect(site.connect(2, .v3("cafe\u{301}", clean: false)).sessionPresent == false)
        #expect(site.closed[1] == nil)
        #expect(site.core.statistics.sessions == 2)
    }

    @Test func aSessionEndsWhenItsExpiryHasPassed() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 30))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.pass(seconds: 40)
        #expect(site.core.statistics.sessions == 0)
        try #expect(site.connect(1, .v5("c", clean: false, expiry: 30)).sessionPresent == false)
    }

    @Test func theExpiryOfASessionGoesOnWhileTheProcessIsDown() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 30))
        try site.drop(1)
        site.now.wallMilliseconds += 60_000
        site.now.monotonicNanoseconds += 60_000_000_000
        try site.crash()
        try site.pass(seconds: 5)
        #expect(site.core.statistics.sessions == 0)
    }

    @Test func aSilentClientIsClosedAfterOneAndAHalfKeepAlives() throws {
        // [MQTT-3.1.2-22]
        let site = try SimulatedSite()
        var connect = Connect.v5("c")
        connect.keepAliveSeconds = 10
        try site.connect(1, connect)
        try site.pass(seconds: 14)
        #expect(site.closed[1] == nil)
        try site.pass(seconds: 2)
        #expect(site.closed[1]?.reason == .keepAliveTimeout)
    }

    @Test func aStepOfTheWallClockDisconnectsNobody() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c"))
        site.now.wallMilliseconds += 3 * 86_400_000
        try site.pass(seconds: 1)
        site.now.wallMilliseconds -= 9 * 86_400_000
        try site.pass(seconds: 1)
        #expect(site.closed[1] == nil)
    }

    @Test func aConnectionWithoutConnectIsClosed() throws {
        let site = try SimulatedSite()
        site.open(1)
        try site.pass(seconds: 11)
        #expect(site.closed[1]?.reason == .maximumConnectTime)
    }

    @Test func theWindowOfTheClientIsKept() throws {
        // [MQTT-3.3.4-9]
        let site = try SimulatedSite()
        var connect = Connect.v5("sub", clean: false, expiry: 60)
        connect.properties.values.append(.receiveMaximum(2))
        try site.connect(1, connect)
        try site.send(1, .subscribe("t", .atLeastOnce))
        _ = site.take(1)
        try site.connect(2, .v3("pub"))
        for number: UInt16 in 1...5 { try site.send(2, .publish("t", "\(number)", .atLeastOnce, id: number)) }
        var got: [String] = []
        for _ in 0..<3 {
            let batch = site.publishes(1)
            #expect(batch.count <= 2)
            got += batch.map(\.text)
            for publish in batch { try site.send(1, .puback(publish.packetID)) }
        }
        #expect(got == ["1", "2", "3", "4", "5"])
    }

    @Test func aSlowClientLosesQoS0ButKeepsQoS1() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub"))
        try site.send(1, .subscribe("t", .atLeastOnce))
        _ = site.take(1)
        try site.connect(2, .v3("pub"))
        try site.writable(1, false)
        try site.send(2, .publish("t", "zero"), .publish("t", "one", .atLeastOnce, id: 1))
        #expect(site.publishes(1).isEmpty)
        try site.writable(1, true)
        #expect(site.publishes(1).map(\.text) == ["one"])
        #expect(site.core.statistics.dropped[.slowConsumer] == 1)
    }

    @Test(arguments: [BrokerConfiguration.Overflow.dropOldest, .dropNewest])
    func aFullQueueDropsAsConfiguredAndCounts(overflow: BrokerConfiguration.Overflow) throws {
        var configuration = BrokerConfiguration()
        configuration.queuedMessagesMax = 3
        configuration.overflow = overflow
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v3("pub"))
        for number: UInt16 in 1...5 { try site.send(2, .publish("t", "\(number)", .atLeastOnce, id: number)) }
        #expect(site.core.statistics.dropped[.queueFull] == 2)
        try site.crash()
        try site.connect(1, .v3("sub", clean: false))
        let kept = site.publishes(1).map(\.text)
        #expect(kept == (overflow == .dropOldest ? ["3", "4", "5"] : ["1", "2", "3"]))
    }

    @Test func whatNoJournalHoldsIsQueuedWithinItsOwnLimit() throws {
        var configuration = BrokerConfiguration()
        configuration.queuedMemoryBytesMax = 300
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v3("slow"))
        try site.send(1, .subscribe("t", .atLeastOnce))
        _ = site.take(1)
        try site.writable(1, false)
        try site.connect(2, .v3("pub"))
        for number: UInt16 in 1...20 { try site.send(2, .publish("t", "\(number)", .atLeastOnce, id: number)) }
        #expect(site.core.statistics.queuedMessages == 4, "66 bytes each")
        #expect(site.core.statistics.dropped[.queueFull] == 16)
    }

    @Test func aQueueBeyondItsMemoryIsReadFromTheJournal() throws {
        var configuration = BrokerConfiguration()
        configuration.queuedResidentBytesMax = 200
        configuration.loadBatchMessages = 4
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v3("sub", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v3("pub"))
        for number: UInt16 in 1...40 { try site.send(2, .publish("t", "\(number)", .atLeastOnce, id: number)) }
        try site.connect(1, .v3("sub", clean: false))
        var got: [String] = []
        while true {
            let batch = site.publishes(1)
            if batch.isEmpty { break }
            got += batch.map(\.text)
            for publish in batch { try site.send(1, .puback(publish.packetID)) }
        }
        #expect(got == (1...40).map(String.init))
    }

    @Test(arguments: [-3 * 86_400_000, 3 * 86_400_000] as [Int64])
    func whatIsReadFromTheJournalExpiresByItsAgeWhateverTheWallClockDoes(step: Int64) throws {
        var configuration = BrokerConfiguration()
        configuration.queuedResidentBytesMax = 0
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v5("pub"))
        try site.send(2, .publish("t", "long", .atLeastOnce, id: 1, [.messageExpiryInterval(100)]))
        try site.send(2, .publish("t", "short", .atLeastOnce, id: 2, [.messageExpiryInterval(10)]))
        site.now.wallMilliseconds += step
        try site.send(2, .publish("t", "after", .atLeastOnce, id: 3, [.messageExpiryInterval(100)]))
        try site.pass(seconds: 30)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["long", "after"])
        #expect(got.map(\.properties.values) == [[.messageExpiryInterval(70)], [.messageExpiryInterval(70)]])
    }

    @Test func aSubscriptionOfAPersistentSessionIsGrantedOnceItIsOnDisk() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("sub", clean: false))
        site.commitsAtOnce = false
        try site.send(1, .subscribe("t", .atLeastOnce))
        #expect(site.take(1).isEmpty)
        try site.commit()
        #expect(site.take(1) == [.suback(Suback(packetID: 1, reasons: [.grantedQoS1]))])
    }
}
