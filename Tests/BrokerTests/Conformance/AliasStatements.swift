import MQTT
import NIOCore
import Testing

@testable import Broker

/// Topic aliases in both directions: MQTT 5.0 sections 3.1.2.11.5, 3.2.2.3.8 and 3.3.2.3.4.
@Suite struct AliasStatements {
    private static func topic(_ number: Int) -> TopicName {
        TopicName(uncheckedBytes: ByteBuffer(string: "alias/\(number)"))
    }

    private func connect(_ clientID: String, maximum: UInt16?, _ more: [Property] = []) -> Connect {
        var connect = Connect.v5(clientID, clean: false, expiry: 60)
        if let maximum { connect.properties.values.append(.topicAliasMaximum(maximum)) }
        connect.properties.values += more
        return connect
    }

    private func site(_ connect: Connect, outbound: UInt16 = 10) throws -> SimulatedSite {
        var configuration = BrokerConfiguration()
        configuration.topicAliasMaximumOutbound = outbound
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, connect)
        try site.send(1, .subscribe("alias/#", .atLeastOnce))
        _ = site.take(1)
        try site.connect(9, .v3("pub"))
        return site
    }

    private func aliases(_ publishes: [Publish]) -> [String] {
        publishes.map { publish in
            let alias = publish.properties.first { if case .topicAlias(let value) = $0 { value } else { nil } }
            return "\(publish.topic.string) \(alias.map(String.init) ?? "-")"
        }
    }

    @Test("section 3.3.2.3.4: a topic goes with its alias once, then the alias goes alone")
    func setsAndUses() throws {
        let site = try site(connect("sub", maximum: 2))
        for number in [1, 2, 1, 3, 2, 3] { try site.send(9, .publish(Self.topic(number), "x")) }
        let got = site.publishes(1)
        #expect(aliases(got) == ["alias/1 1", "alias/2 2", " 1", "alias/3 -", " 2", "alias/3 -"])
    }

    @Test(
        "[MQTT-3.1.2-26] [MQTT-3.3.2-11] no alias towards a client is beyond its maximum or the listener's",
        arguments: [(65_535, 10, 10), (3, 10, 3), (65_535, 0, 0), (10, 200, 10)] as [(UInt16, UInt16, Int)]
    )
    func keepsTheMaximum(client: UInt16, listener: UInt16, given: Int) throws {
        let site = try site(connect("sub", maximum: client), outbound: listener)
        for number in 1...20 { try site.send(9, .publish(Self.topic(number), "x")) }
        let wanted = (1...20).map { $0 <= given ? "alias/\($0) \($0)" : "alias/\($0) -" }
        #expect(aliases(site.publishes(1)) == wanted)
    }

    @Test("[MQTT-3.1.2-27] a client that names no maximum, or 0, is sent no alias", arguments: [nil, 0] as [UInt16?])
    func noneAskedFor(maximum: UInt16?) throws {
        let site = try site(connect("sub", maximum: maximum))
        for _ in 0..<2 { try site.send(9, .publish(Self.topic(1), "x")) }
        #expect(aliases(site.publishes(1)) == ["alias/1 -", "alias/1 -"])
    }

    @Test("[MQTT-3.3.2-7] aliases do not outlive the connection, in neither direction")
    func connectionsAreApart() throws {
        let site = try site(connect("sub", maximum: 5))
        try site.send(9, .publish(Self.topic(1), "one", .atLeastOnce, id: 1))
        #expect(aliases(site.publishes(1)) == ["alias/1 1"])
        try site.send(1, .publish("up", "x", .atMostOnce, [.topicAlias(1)]))
        try site.drop(1)
        try site.connect(1, connect("sub", maximum: 5))
        let again = site.publishes(1)
        #expect(aliases(again) == ["alias/1 1"], "sent again with its topic")
        #expect(again.map(\.duplicate) == [true])
        try site.send(1, .publish("", "x", .atMostOnce, [.topicAlias(1)]))
        #expect(site.closed[1]?.reason == .topicAliasInvalid)
    }

    @Test("an alias never makes a packet larger than the client takes")
    func keepsThePacketSize() throws {
        let topicBytes = 7
        // Fixed header 2, topic length 2, topic, property length 1, payload.
        let exact = UInt32(2 + 2 + topicBytes + 1 + 20)
        let site = try site(connect("sub", maximum: 5, [.maximumPacketSize(exact)]))
        try site.send(9, .publish(Self.topic(1), String(repeating: "x", count: 20)), .publish(Self.topic(1), "y"))
        #expect(aliases(site.publishes(1)) == ["alias/1 -", "alias/1 1"])
    }

    @Test("[MQTT-3.3.2-12] a client may set each alias up to the maximum of CONNACK, and set it again")
    func inbound() throws {
        let site = try site(connect("sub", maximum: nil))
        let connack = try site.connect(2, .v5("aliasing"))
        let maximum = connack.properties.first { if case .topicAliasMaximum(let value) = $0 { value } else { nil } }
        #expect(maximum == 10)
        for alias: UInt16 in 1...10 {
            try site.send(2, .publish(Self.topic(Int(alias)), "a", .atMostOnce, [.topicAlias(alias)]))
        }
        for alias: UInt16 in 1...10 { try site.send(2, .publish("", "b", .atMostOnce, [.topicAlias(alias)])) }
        let names = (1...10).map { "alias/\($0) -" }
        #expect(aliases(site.publishes(1)) == names + names)
        try site.send(2, .publish("alias/new", "c", .atMostOnce, [.topicAlias(3)]))
        try site.send(2, .publish("", "d", .atMostOnce, [.topicAlias(3)]))
        #expect(site.publishes(1).map(\.topic.string) == ["alias/new", "alias/new"])
    }

    @Test(
        "[MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.2.2-18] an alias beyond the maximum of CONNACK ends the connection: 0x94",
        arguments: [11, 65_535] as [UInt16]
    )
    func beyond(alias: UInt16) throws {
        let site = try site(connect("sub", maximum: nil))
        try site.connect(2, .v5("aliasing"))
        try site.send(2, .publish(Self.topic(1), "x", .atMostOnce, [.topicAlias(alias)]))
        #expect(site.closed[2]?.reason == .topicAliasInvalid)
        #expect(site.publishes(1).isEmpty)
    }

    @Test("section 3.3.4: an alias that was never set ends the connection: 0x94")
    func unknown() throws {
        let site = try site(connect("sub", maximum: nil))
        try site.connect(2, .v5("aliasing"))
        try site.send(2, .publish("", "x", .atLeastOnce, id: 1, [.topicAlias(1)]))
        #expect(site.closed[2]?.reason == .topicAliasInvalid)
        #expect(!site.take(2).contains(.puback(1)))
    }
}
