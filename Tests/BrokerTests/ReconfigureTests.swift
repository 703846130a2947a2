import MQTT
import NIOCore
import Testing

@testable import Broker

/// Other limits while the broker runs.
@Suite struct ReconfigureTests {
    private var lower: BrokerConfiguration {
        var limits = BrokerConfiguration()
        limits.packetBytesMax = 1_000
        limits.receiveMaximum = 5
        limits.inflightMessagesMax = 2
        limits.keepAliveSecondsMax = 30
        limits.topicAliasMaximum = 3
        limits.queuedMessagesMax = 3
        limits.payloadBytesMax = 10
        return limits
    }

    private func reconfigure(_ site: SimulatedSite, policies: [String: ListenerPolicy] = [:]) throws {
        let lower = lower
        try site.act { core, _, _ in core.reconfigure(lower, policies: policies) }
    }

    @Test func whoConnectsIsToldTheNewLimitsAndWhoIsThereKeepsTheOld() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("old"))
        site.open(2)
        try reconfigure(site)
        let connack = try site.connect(2, .v5("new"))
        #expect(connack.properties.values.contains(.maximumPacketSize(1_000)))
        #expect(connack.properties.values.contains(.receiveMaximum(5)))
        #expect(connack.properties.values.contains(.serverKeepAlive(30)))
        #expect(connack.properties.values.contains(.topicAliasMaximum(3)))
        #expect(site.core.connection(site.id(1))?.grants.packetBytesMax == BrokerConfiguration().packetBytesMax)
        #expect(site.core.connection(site.id(1))?.window == BrokerConfiguration().inflightMessagesMax)
        #expect(site.core.connection(site.id(2))?.window == 2)
    }

    @Test func aConnectionWithoutConnackTakesTheNewPolicyOfItsListener() throws {
        let site = try SimulatedSite()
        site.open(1, listener: "tls")
        site.open(2, listener: "other")
        var policy = ListenerPolicy()
        policy.qosMax = .atLeastOnce
        try reconfigure(site, policies: ["tls": policy])
        #expect(site.core.connection(site.id(1))?.grants.qosMax == .atLeastOnce)
        #expect(site.core.connection(site.id(2))?.grants.qosMax == .exactlyOnce)
    }

    @Test func limitsOfQueuesAndMessagesCountAtOnceAndNothingThatWaitsIsLost() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("reader", clean: false, expiry: 600))
        try site.send(1, .subscribe("q", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v5("writer"))
        for number in 1...5 { try site.send(2, .publish("q", "\(number)", .atLeastOnce, id: UInt16(number))) }
        try reconfigure(site)
        try site.send(2, .publish("q", "late", .atLeastOnce, id: 6))
        _ = site.take(2)
        try site.send(2, .publish("q", "far too long", .atLeastOnce, id: 7))
        #expect(site.take(2).contains(.puback(Acknowledgement(packetID: 7, reason: .packetTooLarge))))
        try site.connect(1, .v5("reader", clean: false, expiry: 600))
        var payloads: [String] = []
        while let publish = site.publishes(1).first {
            payloads.append(String(buffer: publish.payload))
            try site.send(1, .puback(publish.packetID))
        }
        #expect(payloads.first == "1" && !payloads.contains("late"))
    }

    @Test func whatShapedTheCoreStays() throws {
        let site = try SimulatedSite(configuration: .mosquitto)
        let before = site.core.limits
        try reconfigure(site)
        let after = site.core.limits
        #expect(after.packetBytesMax == 1_000)
        #expect(after.followsMosquitto && after.releasesQoS2OnPubrel && after.allowsDollarTopics)
        #expect(after.systemVersion == before.systemVersion && after.instanceID == before.instanceID)
        #expect(after.clientIDOwnership == before.clientIDOwnership)
    }
}
