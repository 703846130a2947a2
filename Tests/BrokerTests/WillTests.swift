import MQTT
import NIOCore
import Testing

@testable import Broker

@Suite struct WillTests {
    private func will(delay: UInt32 = 0) -> Will {
        Will(
            topic: "status/c",
            payload: ByteBuffer(string: "gone"),
            qos: .atLeastOnce,
            retain: false,
            properties: delay == 0 ? [] : [.willDelayInterval(delay)]
        )
    }

    private func watched() throws -> SimulatedSite {
        let site = try SimulatedSite()
        try site.connect(1, .v3("watcher"))
        try site.send(1, .subscribe("status/#", .atLeastOnce))
        _ = site.take(1)
        return site
    }

    @Test func aWillGoesOutWhenTheConnectionBreaks() throws {
        let site = try watched()
        try site.connect(2, .v3("c", will: will()))
        try site.drop(2)
        #expect(site.publishes(1).map(\.text) == ["gone"])
    }

    @Test func aCrashBesideAWillDoesNotRepeatIt() throws {
        let site = try SimulatedSite()
        let watcher = Connect.v5("watcher", clean: false, expiry: .max)
        try site.connect(1, watcher)
        try site.send(1, .subscribe("status/#", .exactlyOnce))
        try site.connect(2, .v5("c", clean: false, expiry: .max, will: will()))
        try site.drop(1)
        site.commitsAtOnce = false
        try site.drop(2)
        // The message is on the disk; what was written behind it is not.
        try site.commitOne()
        try site.crash()
        site.commitsAtOnce = true
        try site.pass(seconds: 200)
        try site.connect(1, watcher)
        #expect(site.publishes(1).map(\.text) == ["gone"])
    }

    @Test func aWillThatTheJournalCannotTakeComesAfterTheRestart() throws {
        let site = try SimulatedSite()
        let watcher = Connect.v5("watcher", clean: false, expiry: .max)
        try site.connect(1, watcher)
        try site.send(1, .subscribe("status/#", .exactlyOnce))
        try site.connect(2, .v5("c", clean: false, expiry: .max, will: will()))
        try site.failJournal()
        try site.drop(2)
        #expect(site.publishes(1).isEmpty)
        try site.crash()
        try site.pass(seconds: 200)
        try site.connect(1, watcher)
        #expect(site.publishes(1).map(\.text) == ["gone"])
    }

    @Test func aWillDoesNotGoOutAfterDisconnect() throws {
        let site = try watched()
        try site.connect(2, .v3("c", will: will()))
        try site.send(2, .disconnect(Disconnect()))
        #expect(site.publishes(1).isEmpty)
    }

    @Test func aWillGoesOutIfTheDisconnectAsksForIt() throws {
        let site = try watched()
        try site.connect(2, .v5("c", will: will()))
        try site.send(2, .disconnect(Disconnect(reason: .disconnectWithWill)))
        #expect(site.publishes(1).map(\.text) == ["gone"])
    }

    @Test func aDelayedWillIsForgottenIfTheClientComesBack() throws {
        // [MQTT-3.1.3-9]
        let site = try watched()
        try site.connect(2, .v5("c", clean: false, expiry: 60, will: will(delay: 10)))
        try site.drop(2)
        try site.pass(seconds: 5)
        try site.connect(2, .v5("c", clean: false, expiry: 60))
        try site.pass(seconds: 20)
        #expect(site.publishes(1).isEmpty)
    }

    @Test func aDelayedWillGoesOutAfterItsDelayOrWithItsSession() throws {
        let site = try watched()
        try site.connect(2, .v5("c", clean: false, expiry: 60, will: will(delay: 10)))
        try site.drop(2)
        try site.pass(seconds: 9)
        #expect(site.publishes(1).isEmpty)
        try site.pass(seconds: 2)
        #expect(site.publishes(1).map(\.text) == ["gone"])
        try site.connect(2, .v5("d", clean: false, expiry: 5, will: will(delay: 600)))
        try site.drop(2)
        try site.pass(seconds: 12)
        #expect(site.publishes(1).map(\.text) == ["gone"], "the end of the session makes it due")
    }

    @Test func theWillOfAPersistentSessionGoesOutAfterACrashIfItsClientStaysAway() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("watcher", clean: false))
        try site.send(1, .subscribe("status/#", .atLeastOnce))
        var dying = Connect.v5("c", clean: false, expiry: 600, will: will(delay: 20))
        dying.keepAliveSeconds = 4
        try site.connect(2, dying)
        try site.crash()
        try site.takeCheckpoint()
        try site.crash()
        try site.connect(1, .v3("watcher", clean: false))
        try site.pass(seconds: 19)
        #expect(site.publishes(1).isEmpty, "it may still come back")
        try site.pass(seconds: 2)
        let got = site.publishes(1)
        #expect(got.map(\.text) == ["gone"])
        for publish in got { try site.send(1, .puback(publish.packetID)) }
        try site.crash()
        try site.connect(1, .v3("watcher", clean: false))
        try site.pass(seconds: 60)
        #expect(site.publishes(1).isEmpty, "once is enough")
    }

    @Test(arguments: [true, false])
    func theWillOfAClientThatComesBackAfterACrashIsForgotten(withWill: Bool) throws {
        let site = try watched()
        try site.connect(2, .v5("c", clean: false, expiry: 600, will: will()))
        try site.crash()
        try site.connect(1, .v3("watcher"))
        try site.send(1, .subscribe("status/#", .atLeastOnce))
        try site.connect(2, .v5("c", clean: false, expiry: 600, will: withWill ? will() : nil))
        try site.pass(seconds: 200)
        _ = site.publishes(1)
        try site.send(2, .disconnect(Disconnect()))
        try site.crash()
        try site.connect(1, .v3("watcher"))
        try site.send(1, .subscribe("status/#", .atLeastOnce))
        try site.pass(seconds: 200)
        #expect(site.publishes(1).isEmpty)
    }
}
