import MQTT
import NIOCore
import Testing

@testable import Broker

@Suite("The $SYS tree")
struct SystemTreeTests {
    private func makeSite(interval: UInt32 = 10, _ authorizer: any Authorizer = AllowAll()) throws -> SimulatedSite {
        var configuration = BrokerConfiguration()
        configuration.systemIntervalSeconds = interval
        configuration.systemVersion = "causeway version 1.2.3"
        return try SimulatedSite(configuration: configuration, authorizer: authorizer)
    }

    private func values(_ site: SimulatedSite, _ slot: UInt32) -> [String: String] {
        var found: [String: String] = [:]
        for publish in site.publishes(slot) { found[publish.topic.string] = publish.text }
        return found
    }

    @Test("A new subscriber is given the whole tree as retained messages, with Mosquitto's names and units")
    func names() throws {
        let site = try makeSite()
        try site.system()
        try site.connect(1, .v5("watch"))
        try site.send(1, .subscribe("$SYS/#", .atMostOnce))
        let publishes = site.publishes(1)
        let areRetained = publishes.allSatisfy(\.retain)
        #expect(areRetained)
        let topics = Set(publishes.map(\.topic.string))
        let rates = [
            "messages/received", "messages/sent", "publish/dropped", "publish/received", "publish/sent",
            "bytes/received", "bytes/sent", "sockets", "connections",
        ]
        let expected =
            [
                "version", "uptime", "clients/total", "clients/maximum", "clients/disconnected", "clients/inactive",
                "clients/connected", "clients/active", "clients/expired", "messages/stored", "store/messages/count",
                "store/messages/bytes", "subscriptions/count", "shared_subscriptions/count", "retained messages/count",
                "messages/received", "messages/sent", "bytes/received", "bytes/sent", "publish/bytes/received",
                "publish/bytes/sent", "connections/socket/count", "publish/messages/dropped",
                "publish/messages/received", "publish/messages/sent", "messages/inflight", "heap/current",
                "heap/maximum", "publish/messages/dropped/queue_full",
            ] + rates.flatMap { rate in ["1min", "5min", "15min"].map { "load/\(rate)/\($0)" } }
        for name in expected { #expect(topics.contains("$SYS/broker/\(name)"), "\(name)") }
        let texts = Dictionary(publishes.map { ($0.topic.string, $0.text) }) { first, _ in first }
        #expect(texts["$SYS/broker/version"] == "causeway version 1.2.3")
        #expect(texts["$SYS/broker/uptime"] == "0 seconds")
        #expect(texts["$SYS/broker/load/sockets/1min"] == "0.00")
    }

    @Test("A wildcard at the first level never shows the tree [MQTT-4.7.2-1]")
    func wildcards() throws {
        let site = try makeSite()
        try site.system()
        try site.connect(1, .v5("all"))
        try site.send(1, .subscribe("#", .exactlyOnce), .subscribe("+/broker/uptime", .exactlyOnce, id: 2))
        try site.pass(seconds: 30, system: true)
        #expect(site.publishes(1).isEmpty)
    }

    @Test("Only what has changed is published, once in an interval that is aligned to the clock")
    func changes() throws {
        let site = try makeSite()
        try site.connect(1, .v5("watch"))
        try site.send(1, .subscribe("$SYS/broker/uptime", .atMostOnce))
        try site.send(1, .subscribe("$SYS/broker/clients/+", .atMostOnce, id: 2))
        // The wall clock of the simulation stands at a multiple of ten seconds.
        try site.system()
        #expect(values(site, 1)["$SYS/broker/clients/connected"] == "1")
        try site.pass(seconds: 9.5, system: true)
        #expect(values(site, 1) == [:])
        try site.pass(seconds: 0.5, system: true)
        #expect(values(site, 1) == ["$SYS/broker/uptime": "10 seconds"])
        try site.connect(2, .v5("second"))
        try site.pass(seconds: 10, system: true)
        #expect(
            values(site, 1) == [
                "$SYS/broker/uptime": "20 seconds", "$SYS/broker/clients/total": "2",
                "$SYS/broker/clients/maximum": "2", "$SYS/broker/clients/connected": "2",
                "$SYS/broker/clients/active": "2",
            ]
        )
        try site.drop(2)
        try site.pass(seconds: 10, system: true)
        let after = values(site, 1)
        #expect(after["$SYS/broker/clients/connected"] == "1")
        #expect(after["$SYS/broker/clients/maximum"] == nil)
    }

    @Test("An interval of 0 turns the tree off")
    func off() throws {
        let site = try makeSite(interval: 0)
        try site.system()
        try site.connect(1, .v5("watch"))
        try site.send(1, .subscribe("$SYS/#", .atMostOnce))
        try site.pass(seconds: 30, system: true)
        #expect(site.publishes(1).isEmpty)
    }

    @Test("Nothing of the tree reaches the journal, a checkpoint or a persistent session's records")
    func journal() throws {
        let site = try makeSite()
        try site.connect(1, .v5("keeper", clean: false, expiry: 600))
        try site.send(1, .subscribe("$SYS/#", .exactlyOnce))
        _ = site.take(1)
        let before = site.lastSequence
        try site.system()
        let first = site.publishes(1)
        #expect(first.count > 50)
        let qualities = Set(first.map(\.qos))
        // Not exactly once: an identifier that no record knows could be met by its next use after a crash.
        #expect(qualities == [.atLeastOnce])
        for publish in first { try site.send(1, .puback(publish.packetID)) }
        try site.pass(seconds: 20, system: true)
        #expect(site.lastSequence == before, "\(site.lastSequence - before) records")
        try site.takeCheckpoint()
        try site.crash()
        try site.connect(2, .v5("late"))
        try site.send(2, .subscribe("$SYS/broker/uptime", .atMostOnce))
        #expect(site.publishes(2).isEmpty, "the tree begins anew")
    }

    @Test("Counters count what they say")
    func counters() throws {
        let site = try makeSite()
        try site.connect(1, .v5("a"))
        try site.send(1, .subscribe("t/#", .atMostOnce), .subscribe("$share/g/s", .atMostOnce, id: 2))
        try site.send(1, .publish("t/1", "12345", .atLeastOnce, id: 3), .publish("kept", "abc", retain: true))
        var transport = TransportStatistics()
        transport.bytesReceived = 1_000
        transport.socketsAccepted = 7
        try site.system(transport)
        try site.send(1, .subscribe("$SYS/#", .atMostOnce, id: 4))
        let values = values(site, 1)
        func value(_ name: String) -> String? { values["$SYS/broker/\(name)"] }
        // CONNECT, two SUBSCRIBE, two PUBLISH.
        #expect(value("messages/received") == "5")
        #expect(value("publish/messages/received") == "2")
        #expect(value("publish/messages/sent") == "1")
        #expect(value("publish/bytes/received") == "8")
        #expect(value("publish/bytes/sent") == "5")
        #expect(value("bytes/received") == "1000")
        #expect(value("connections/socket/count") == "7")
        #expect(value("subscriptions/count") == "1")
        #expect(value("shared_subscriptions/count") == "1")
    }

    @Test("Load averages follow Mosquitto's formula")
    func loads() throws {
        let site = try makeSite()
        try site.system()
        try site.connect(1, .v5("watch"))
        try site.send(1, .subscribe("$SYS/broker/load/sockets/+", .atMostOnce))
        _ = site.publishes(1)
        var transport = TransportStatistics()
        transport.socketsAccepted = 10
        for _ in 0..<20 {
            site.now.monotonicNanoseconds += 500_000_000
            site.now.wallMilliseconds += 500
        }
        try site.system(transport)
        // Ten in ten seconds are sixty in a minute: 60 * (1 - exp(-10 / 60)), and so on.
        #expect(
            values(site, 1) == [
                "$SYS/broker/load/sockets/1min": "9.21", "$SYS/broker/load/sockets/5min": "1.97",
                "$SYS/broker/load/sockets/15min": "0.66",
            ]
        )
    }

    @Test("Who may not read the tree is given nothing of it")
    func access() throws {
        struct Shut: Authorizer {
            func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
            func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
            func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { !topic.string.hasPrefix("$SYS") }
            func allowsEverything(_ identity: Identity) -> Bool { false }
        }
        let site = try makeSite(Shut())
        try site.system()
        try site.connect(1, .v5("curious"))
        try site.send(1, .subscribe("$SYS/#", .atLeastOnce))
        try site.pass(seconds: 20, system: true)
        #expect(site.publishes(1).isEmpty)
    }

    @Test("Values that others set are retained, published when they change, and can be taken away")
    func extras() throws {
        let site = try makeSite()
        try site.connect(1, .v5("watch"))
        try site.send(1, .subscribe("$SYS/broker/bridge/#", .atMostOnce))
        try site.setSystemValue("bridge/cloud/state", "1")
        try site.setSystemValue("bridge/cloud/state", "1")
        try site.setSystemValue("bridge/cloud/state", "0")
        #expect(site.publishes(1).map(\.text) == ["1", "0"])
        try site.connect(2, .v5("late"))
        try site.send(2, .subscribe("$SYS/broker/bridge/cloud/state", .atMostOnce))
        #expect(site.publishes(2).map(\.text) == ["0"])
        try site.setSystemValue("bridge/cloud/state", nil)
        try site.connect(3, .v5("later"))
        try site.send(3, .subscribe("$SYS/broker/bridge/#", .atMostOnce))
        #expect(site.publishes(3).isEmpty)
    }
}

extension SimulatedSite {
    /// Lets the core publish its tree, as the driver does with each tick.
    func system(_ transport: TransportStatistics = .sample) throws {
        try withCore { core, now, effects in core.publishSystemTree(transport, now: now, effects: &effects) }
    }

    func setSystemValue(_ name: String, _ text: String?) throws {
        try withCore { core, now, effects in core.setSystemValue(name, text, now: now, effects: &effects) }
    }

    /// Half seconds with a tick each.
    func pass(seconds: Double, system: Bool) throws {
        for _ in 0..<Int(seconds * 2) {
            try pass(seconds: 0.5)
            if system { try self.system() }
        }
    }
}

extension TransportStatistics {
    fileprivate static var sample: TransportStatistics {
        var sample = TransportStatistics()
        sample.heapBytes = 1_000_000
        return sample
    }
}
