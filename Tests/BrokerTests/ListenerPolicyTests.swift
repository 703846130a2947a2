import MQTT
import NIOCore
import Testing

@testable import Broker

/// What one listener asks of its clients and grants them.
@Suite struct ListenerPolicyTests {
    private func policy(_ change: (inout ListenerPolicy) -> Void) -> ListenerPolicy {
        var policy = ListenerPolicy()
        change(&policy)
        return policy
    }

    @Test func aVersionThatTheListenerDoesNotTakeIsRefusedInItsOwnWords() throws {
        let site = try SimulatedSite()
        for version in [ProtocolVersion.v3_1, .v3_1_1, .v5] {
            let others = policy { $0.versions.remove(version) }
            let connect = Connect(version: version, clientID: "c")
            try #expect(site.connect(1, connect, policy: others).reason == .unsupportedProtocolVersion)
            #expect(site.closed[1]?.reason == .unsupportedProtocolVersion)
            let own = policy { $0.versions = [version] }
            try #expect(site.connect(1, connect, policy: own).reason == .success)
        }
    }

    @Test func clientsLiveBelowTheMountPointOfTheirListener() throws {
        let site = try SimulatedSite()
        let ward = policy { $0.mountPoint = "ward/7/" }
        try site.connect(1, .v5("inside"), policy: ward)
        try site.connect(2, .v3("outside"))
        try site.send(1, .subscribe("a/#", .exactlyOnce))
        try site.send(2, .subscribe("#", .exactlyOnce))
        _ = site.take(1)
        _ = site.take(2)
        try site.send(1, .publish("a/b", "in", .atLeastOnce, id: 1))
        #expect(site.publishes(2).map(\.topic.string) == ["ward/7/a/b"])
        let own = site.take(1)
        #expect(own.first == .puback(1), "its own acknowledgement first")
        guard case .publish(let publish)? = own.last else {
            Issue.record("no copy of its own")
            return
        }
        #expect(publish.topic.string == "a/b")
        try site.send(2, .publish("ward/7/a/c", "out"), .publish("a/d", "elsewhere"))
        #expect(site.publishes(1).map(\.topic.string) == ["a/c"])
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 9, filters: ["a/#"])))
        try site.send(2, .publish("ward/7/a/c", "out"))
        #expect(site.publishes(1).isEmpty)
    }

    @Test func aMountPointStandsBehindTheNameOfAShareAndBeforeAWillsTopic() throws {
        let site = try SimulatedSite()
        let ward = policy { $0.mountPoint = "ward/7/" }
        let will = Will(topic: "gone", payload: ByteBuffer(string: "w"), qos: .atMostOnce, retain: false)
        try site.connect(1, .v5("inside", will: will), policy: ward)
        try site.connect(2, .v3("outside"))
        try site.send(1, .subscribe("$share/group/a", .atMostOnce))
        try site.send(2, .subscribe("ward/7/gone", .atMostOnce))
        _ = site.take(2)
        try site.send(2, .publish("ward/7/a", "x"))
        #expect(site.publishes(1).map(\.topic.string) == ["a"])
        try site.drop(1)
        #expect(site.publishes(2).map(\.topic.string) == ["ward/7/gone"])
    }

    @Test func whatIsQueuedForAClientThatComesByAnotherListenerStaysAtItsOwn() throws {
        let site = try SimulatedSite()
        let ward = policy { $0.mountPoint = "ward/7/" }
        try site.connect(1, .v3("c", clean: false), policy: ward)
        try site.send(1, .subscribe("a", .atLeastOnce))
        try site.drop(1)
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("ward/7/a", "x", .atLeastOnce, id: 1))
        try site.connect(1, .v3("c", clean: false), policy: policy { $0.mountPoint = "ward/8/" })
        #expect(site.publishes(1).isEmpty)
        #expect(site.core.statistics.inflightMessages == 0)
    }

    @Test func aQualityOfServiceBeyondTheListenersEndsTheConnection() throws {
        // [MQTT-3.2.2-9], [MQTT-3.2.2-11]
        let site = try SimulatedSite()
        let one = policy { $0.qosMax = .atLeastOnce }
        let connack = try site.connect(1, .v5("c"), policy: one)
        #expect(connack.properties.values.last == .maximumQoS(1))
        try site.send(1, .subscribe("t", .exactlyOnce))
        #expect(site.take(1) == [.suback(Suback(packetID: 1, reasons: [.grantedQoS1]))])
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 1))
        #expect(site.closed[1]?.reason == .qosNotSupported)
        let will = Will(topic: "t", payload: ByteBuffer(), qos: .exactlyOnce, retain: false)
        try #expect(site.connect(2, .v5("d", will: will), policy: one).reason == .qosNotSupported)
    }

    @Test func whereNothingIsRetainedARetainedMessageEndsTheConnection() throws {
        // [MQTT-3.2.2-13], [MQTT-3.2.2-14]
        let site = try SimulatedSite()
        let none = policy { $0.isRetainAvailable = false }
        let connack = try site.connect(1, .v5("c"), policy: none)
        #expect(connack.properties.values.contains(.retainAvailable(0)))
        try site.send(1, .publish("t", "x", retain: true))
        #expect(site.closed[1]?.reason == .retainNotSupported)
        let will = Will(topic: "t", payload: ByteBuffer(), qos: .atMostOnce, retain: true)
        try #expect(site.connect(2, .v5("d", will: will), policy: none).reason == .retainNotSupported)
    }

    @Test func theListenersOwnLimitsAreAnnouncedAndHold() throws {
        let site = try SimulatedSite()
        let small = policy {
            $0.packetBytesMax = 4_096
            $0.keepAliveSecondsMax = 30
            $0.receiveMaximum = 2
            $0.topicAliasMaximum = 1
        }
        let connack = try site.connect(1, .v5("c"), policy: small)
        #expect(
            connack.properties.values == [
                .serverKeepAlive(30), .topicAliasMaximum(1), .maximumPacketSize(4_096), .receiveMaximum(2),
            ]
        )
        for id in 1...2 as ClosedRange<UInt16> { try site.send(1, .publish("t", "x", .exactlyOnce, id: id)) }
        #expect(site.closed[1] == nil)
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 3))
        #expect(site.closed[1]?.reason == .receiveMaximumExceeded)
        try site.connect(2, .v5("d"), policy: small)
        try site.send(2, .publish("t", "x", .atMostOnce, [.topicAlias(2)]))
        #expect(site.closed[2]?.reason == .topicAliasInvalid)
    }

    @Test func assignedIdentifiersHaveThePrefixAndTheShapeOfAUUID() throws {
        let site = try SimulatedSite()
        var seen: Set<String> = []
        for slot in 1...20 as ClosedRange<UInt32> {
            let own = policy { $0.assignedClientIDPrefix = "ward-" }
            let connack = try site.connect(slot, .v5(""), policy: own)
            let assigned = connack.properties.first { property -> String? in
                if case .assignedClientIdentifier(let text) = property { text } else { nil }
            }
            let text = try #require(assigned)
            let shape = text.map { $0.isHexDigit && !$0.isLowercase ? "X" : $0 }
            #expect(String(shape) == "ward-XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX")
            seen.insert(text)
        }
        #expect(seen.count == 20)
    }

    @Test func aListenerMayRefuseEmptyIdentifiersAndTakeUserNamesForThem() throws {
        let site = try SimulatedSite()
        let strict = policy { $0.allowsEmptyClientID = false }
        try #expect(site.connect(1, .v5(""), policy: strict).reason == .unspecifiedError)
        try #expect(site.connect(1, .v3(""), policy: strict).reason == .clientIdentifierNotValid)
        let named = policy { $0.usesUsernameAsClientID = true }
        var connect = Connect.v5("c")
        connect.username = "ward7"
        var asked: String?
        site.authenticate = { request in
            asked = request.clientID
            return .accepted(username: request.username)
        }
        try site.connect(1, connect, policy: named)
        #expect(asked == "ward7")
    }

    @Test func aClientIdentifierNeedsOneOfTheBeginningsThatAreLetIn() throws {
        var configuration = BrokerConfiguration()
        configuration.clientIDPrefixes = ["pump-", "cgm-"]
        let site = try SimulatedSite(configuration: configuration)
        try #expect(site.connect(1, .v5("pump-1")).reason == .success)
        try #expect(site.connect(2, .v5("other")).reason == .notAuthorized)
        try #expect(site.connect(3, .v3("other")).reason == .notAuthorized)
    }

    @Test func aClientThatTakesLessThanItsConnackIsClosedWithoutAWord() throws {
        // [MQTT-3.1.2-24]
        let site = try SimulatedSite()
        var connect = Connect.v5("c")
        connect.properties = [.maximumPacketSize(2)]
        #expect(throws: SimulationFailure.self) { try site.connect(1, connect) }
        #expect(site.closed[1]?.reason == .packetTooLarge)
        #expect(site.core.statistics.sessions == 0)
    }
}
