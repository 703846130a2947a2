import MQTT
import NIOCore
import Testing

@testable import Broker

/// Retained messages for a subscription that matches many: section 3.3.1.3 of MQTT 5.0, bounded in each turn.
@Suite struct RetainedStatements {
    private static let many = 500

    private func site(
        perTurn: Int = 20,
        authorizer: any Authorizer = AllowAll(),
        _ configure: (inout BrokerConfiguration) -> Void = { _ in }
    ) throws -> SimulatedSite {
        var configuration = BrokerConfiguration()
        configuration.retainedMessagesPerTurn = perTurn
        configuration.retainedTopicsPerTurn = 2 * perTurn
        configure(&configuration)
        let site = try SimulatedSite(configuration: configuration, authorizer: authorizer)
        try site.connect(9, .v5("pub"))
        for number in 0..<Self.many {
            let qos = QoS(rawValue: UInt8(number % 3)) ?? .atMostOnce
            let topic = TopicName(uncheckedBytes: ByteBuffer(string: "kept/\(number % 7)/\(number)"))
            try site.send(9, .publish(topic, "\(number)", qos, id: qos == .atMostOnce ? 0 : 1, retain: true))
            if qos == .exactlyOnce { try site.send(9, .pubrel(1)) }
        }
        return site
    }

    private func takeAll(_ site: SimulatedSite, _ slot: UInt32) throws -> [Publish] {
        var got: [Publish] = []
        while true {
            let packets = site.take(slot)
            guard !packets.isEmpty else { return got }
            for packet in packets {
                switch packet {
                case .publish(let publish):
                    got.append(publish)
                    switch publish.qos {
                    case .atMostOnce: break
                    case .atLeastOnce: try site.send(slot, .puback(publish.packetID))
                    case .exactlyOnce: try site.send(slot, .pubrec(publish.packetID))
                    }
                case .pubrel(let answer): try site.send(slot, .pubcomp(answer.packetID))
                default: break
                }
            }
        }
    }

    @Test(
        "a subscription to many retained messages is given each of them once, a few in each turn",
        arguments: ["#", "kept/#", "kept/+/+"],
        [false, true]
    )
    func boundedSlices(filter: String, persistent: Bool) throws {
        let site = try site()
        try site.connect(1, .v5("sub", clean: false, expiry: persistent ? 600 : 0))
        let before = site.largestTurn
        try site.send(1, .subscribe(filter, .exactlyOnce, id: 1, [.subscriptionIdentifier(5)]))
        let got = try takeAll(site, 1)
        #expect(got.count == Self.many)
        #expect(Set(got.map(\.text)).count == Self.many)
        #expect(!got.map(\.retain).contains(false))
        #expect(got.allSatisfy { $0.properties.values == [.subscriptionIdentifier(5)] })
        #expect(got.allSatisfy { Int($0.qos.rawValue) == Int($0.text).map { $0 % 3 } }, "each with its own QoS")
        #expect(site.largestTurn <= max(before, 2 * 20 + 8), "no turn does it all")
        #expect(site.core.statistics.dropped.isEmpty)
    }

    @Test("a client that does not read is given no more until it does, and loses none of them")
    func waitsForTheClient() throws {
        let site = try site { $0.inflightMessagesMax = 5 }
        try site.connect(1, .v5("sub"))
        try site.writable(1, false)
        try site.send(1, .subscribe("kept/#", .exactlyOnce))
        #expect(site.publishes(1).isEmpty)
        #expect(site.core.statistics.queuedMessages < 50, "what waits is bounded")
        try site.send(9, .publish("other", "x", .atLeastOnce, id: 1))
        #expect(site.take(9).contains { if case .puback = $0 { true } else { false } }, "others go on")
        try site.writable(1, true)
        try #expect(Set(takeAll(site, 1).map(\.text)).count == Self.many)
    }

    @Test("what is published meanwhile comes once, as a message of the subscription")
    func changesMeanwhile() throws {
        let site = try site()
        try site.connect(1, .v5("sub"))
        try site.writable(1, false)
        try site.send(1, .subscribe("kept/#", .atLeastOnce))
        for number in [0, 250, 499] {
            let topic = TopicName(uncheckedBytes: ByteBuffer(string: "kept/\(number % 7)/\(number)"))
            try site.send(9, .publish(topic, "new \(number)", .atLeastOnce, id: 1, retain: true))
        }
        try site.writable(1, true)
        let texts = try takeAll(site, 1).map(\.text)
        for number in [0, 250, 499] { #expect(texts.filter { $0 == "new \(number)" }.count == 1) }
        #expect(Set(texts).count == texts.count)
    }

    @Test("it ends with UNSUBSCRIBE and with the session, and goes on with a session that is taken up again")
    func ends() throws {
        let site = try site()
        for how in ["unsubscribe", "session", "reconnect"] {
            try site.connect(1, .v5("sub", clean: true, expiry: how == "reconnect" ? 600 : 0))
            try site.writable(1, false)
            try site.send(1, .subscribe("kept/#", .atMostOnce))
            let first = site.publishes(1).count
            switch how {
            case "unsubscribe":
                try site.send(1, .unsubscribe(Unsubscribe(packetID: 2, filters: ["kept/#"])))
                try site.writable(1, true)
                #expect(site.publishes(1).isEmpty)
            case "session":
                try site.drop(1)
                try site.connect(1, .v5("sub", clean: false))
                #expect(site.publishes(1).isEmpty)
            default:
                try site.drop(1)
                try site.connect(1, .v5("sub", clean: false, expiry: 600))
                try #expect(first + takeAll(site, 1).count == Self.many)
            }
            try site.drop(1)
        }
        #expect(!site.core.wantsAnotherTurn)
    }

    @Test("the gate is asked for each of them")
    func gate() throws {
        struct Sevens: Authorizer {
            func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
            func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
            func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { topic.string.hasPrefix("kept/3/") }
            func allowsEverything(_ identity: Identity) -> Bool { false }
        }
        let site = try site(authorizer: Sevens())
        try site.connect(1, .v5("sub"))
        try site.send(1, .subscribe("#", .exactlyOnce))
        let got = try takeAll(site, 1)
        #expect(got.count == (0..<Self.many).filter { $0 % 7 == 3 }.count)
        #expect(got.allSatisfy { $0.topic.string.hasPrefix("kept/3/") })
    }
}
