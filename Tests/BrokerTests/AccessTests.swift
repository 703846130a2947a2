import MQTT
import NIOCore
import Testing

@testable import Broker

/// Lets everyone do everything but receive what stands under `secret/`.
private final class Gate: Authorizer, @unchecked Sendable {
    // SAFETY: a test runs on one thread.
    var secretIsOpen = true
    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { identity.username != "reader" }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { filter.string != "forbidden/#" }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool {
        secretIsOpen || !topic.string.hasPrefix("secret/") && !topic.string.hasPrefix("will/")
    }
    func allowsEverything(_ identity: Identity) -> Bool { false }
}

@Suite struct AccessTests {
    @Test func everyPathToAClientPassesTheGateAtDelivery() throws {
        let gate = Gate()
        let site = try SimulatedSite(authorizer: gate)
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(1, .subscribe("#", .exactlyOnce))
        try site.connect(2, .v3("pub"))
        let dying = Will(topic: "will/2", payload: ByteBuffer(string: "gone"), qos: .atLeastOnce, retain: false)
        try site.connect(4, .v3("dying", will: dying))
        // Queued while it was allowed.
        try site.drop(1)
        try site.send(2, .publish("secret/queued", "x", .atLeastOnce, id: 1))
        try site.send(2, .publish("secret/retained", "x", .atLeastOnce, id: 2, retain: true))
        gate.secretIsOpen = false
        try site.connect(1, .v5("sub", clean: false, expiry: 600))
        try site.send(2, .publish("secret/live0", "x"))
        try site.send(2, .publish("secret/live1", "x", .atLeastOnce, id: 3))
        try site.send(2, .publish("secret/live2", "x", .exactlyOnce, id: 4))
        try site.drop(4)
        try site.submit(
            HandlerCommit(
                handler: "h",
                position: .zero,
                key: "",
                state: nil,
                outputs: [
                    .init(topic: "secret/out", payload: ByteBuffer(), qos: .atMostOnce, retain: false, properties: [])
                ],
                decision: nil
            )
        )
        try site.connect(3, .v5("late"))
        try site.send(3, .subscribe("secret/#", .atLeastOnce))
        #expect(site.publishes(1).isEmpty)
        #expect(site.publishes(3).isEmpty)
        try site.send(2, .publish("open", "x", .atLeastOnce, id: 9))
        #expect(site.publishes(1).map(\.topic.string) == ["open"], "the gate shuts nothing else")
    }

    @Test func whoMayNotPublishIsToldSoAndNothingPasses() throws {
        let site = try SimulatedSite(authorizer: Gate())
        var reader = Connect.v5("r")
        reader.username = "reader"
        try site.connect(1, reader)
        try site.connect(2, .v3("sub"))
        try site.send(2, .subscribe("#", .atMostOnce))
        _ = site.take(2)
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 1))
        #expect(site.take(1) == [.pubrec(Acknowledgement(packetID: 1, reason: .notAuthorized))])
        #expect(site.publishes(2).isEmpty)
    }

    @Test func aForbiddenFilterIsRefusedAndTheOthersAreGranted() throws {
        let site = try SimulatedSite(authorizer: Gate())
        try site.connect(1, .v5("c"))
        try site.send(
            1,
            .subscribe(
                Subscribe(
                    packetID: 4,
                    requests: [
                        .init(filter: "forbidden/#"), .init(filter: "ok", options: .init(qos: .exactlyOnce)),
                        .init(filter: String(repeating: "/", count: 40)),
                    ]
                )
            )
        )
        #expect(
            site.take(1) == [
                .suback(Suback(packetID: 4, reasons: [.notAuthorized, .grantedQoS2, .topicFilterInvalid]))
            ]
        )
    }

    @Test func aRefusedClientGetsTheReasonAndIsClosed() throws {
        let site = try SimulatedSite()
        site.authenticate = { _ in .refused(.badUserNameOrPassword) }
        try #expect(site.connect(1, .v5("c")).reason == .badUserNameOrPassword)
        #expect(site.closed[1]?.reason == .badUserNameOrPassword)
        try #expect(site.connect(2, .v3("c")).reason == .badUserNameOrPassword)
        #expect(site.core.statistics.sessions == 0)
    }
}
