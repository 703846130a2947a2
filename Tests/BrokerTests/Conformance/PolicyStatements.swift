import MQTT
import NIOCore
import Testing

@testable import Broker

/// What a server may choose to support, and what it must say and do then: MQTT 5.0 section 3.2.2.3.
@Suite struct PolicyStatements {
    private func site(_ configure: (inout ListenerPolicy) -> Void) throws -> SimulatedSite {
        let site = try SimulatedSite()
        configure(&site.policy)
        return site
    }

    private func will(_ qos: QoS, retain: Bool) -> Will {
        Will(topic: "status", payload: ByteBuffer(string: "gone"), qos: qos, retain: retain)
    }

    @Test(
        "[MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-11] a highest QoS is told, keeps no subscription away, and holds: 0x9B",
        arguments: [QoS.atMostOnce, .atLeastOnce]
    )
    func maximumQoS(qosMax: QoS) throws {
        let site = try site { $0.qosMax = qosMax }
        let connack = try site.connect(1, .v5("c"))
        #expect(connack.properties.values.contains(.maximumQoS(qosMax.rawValue)))
        for qos in QoS.allCases {
            try site.send(1, .subscribe("t", qos))
            guard case .suback(let suback)? = site.take(1).last else {
                Issue.record("no SUBACK")
                return
            }
            #expect(suback.reasons.map(\.isError) == [false])
        }
        try site.send(1, .publish("t", "x", .exactlyOnce, id: 1))
        #expect(site.closed[1]?.reason == .qosNotSupported)
        #expect(site.publishes(1).isEmpty)
        site.policy = ListenerPolicy()
        let plain = try site.connect(2, .v5("d"))
        #expect(!plain.properties.values.contains { if case .maximumQoS = $0 { true } else { false } }, "2 is not told")
    }

    @Test("[MQTT-3.2.2-12] a will above the highest QoS is refused: 0x9B")
    func willQoS() throws {
        let site = try site { $0.qosMax = .atLeastOnce }
        try #expect(site.connect(1, .v5("c", will: will(.exactlyOnce, retain: false))).reason == .qosNotSupported)
        #expect(site.closed[1] != nil)
        try #expect(site.connect(2, .v5("d", will: will(.atLeastOnce, retain: false))).reason == .success)
    }

    @Test("[MQTT-3.2.2-13] a retained will is refused where nothing is retained: 0x9A")
    func willRetain() throws {
        let site = try site { $0.isRetainAvailable = false }
        try #expect(site.connect(1, .v5("c", will: will(.atMostOnce, retain: true))).reason == .retainNotSupported)
        #expect(site.closed[1] != nil)
        try #expect(site.connect(2, .v5("d", will: will(.atMostOnce, retain: false))).reason == .success)
    }

    @Test("[MQTT-3.2.2-14] that nothing is retained is told, and whoever asks for it is closed: 0x9A")
    func retainAvailable() throws {
        let site = try site { $0.isRetainAvailable = false }
        try #expect(site.connect(1, .v5("c")).properties.values.contains(.retainAvailable(0)))
        try site.send(1, .publish("t", "x", .atLeastOnce, id: 1, retain: true))
        #expect(site.closed[1]?.reason == .retainNotSupported)
        #expect(site.core.statistics.retainedMessages == 0)
    }

    @Test("section 3.1.2.2: a version that the listener does not take is refused", arguments: ProtocolVersion.allCases)
    func versions(version: ProtocolVersion) throws {
        let site = try site { $0.versions = Set(ProtocolVersion.allCases).subtracting([version]) }
        let connack = try site.connect(1, Connect(version: version, clientID: "c"))
        #expect(connack.reason == .unsupportedProtocolVersion)
        #expect(site.closed[1] != nil)
        for other in ProtocolVersion.allCases where other != version {
            try #expect(site.connect(2, Connect(version: other, clientID: "d")).reason == .success)
        }
    }

    @Test("section 3.2.2.3.15: response information goes to a client that asks for it, and to no other")
    func responseInformation() throws {
        var configuration = BrokerConfiguration()
        configuration.responseInformation = "answers/"
        let site = try SimulatedSite(configuration: configuration)
        for (value, wanted): (UInt8?, Bool) in [(nil, false), (0, false), (1, true)] {
            var connect = Connect.v5("c")
            if let value { connect.properties.values.append(.requestResponseInformation(value)) }
            let connack = try site.connect(1, connect)
            #expect(connack.properties.values.contains(.responseInformation("answers/")) == wanted)
        }
    }

    @Test("section 4.11: a node that drains sends its clients to the other server, and refuses new ones with its name")
    func serverReference() throws {
        var configuration = BrokerConfiguration()
        configuration.serverReference = "standby.example:8883"
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, .v5("five", clean: false, expiry: 600))
        try site.connect(2, .v3("three", clean: false))
        try site.act { core, now, effects in core.leave(now: now, effects: &effects) }
        guard case .disconnect(let disconnect)? = site.take(1).last else {
            Issue.record("no DISCONNECT")
            return
        }
        #expect(disconnect.reason == .useAnotherServer)
        #expect(disconnect.properties.values.contains(.serverReference("standby.example:8883")))
        #expect(site.closed[2] != nil)
        #expect(site.take(2).isEmpty)
        let connack = try site.connect(3, .v5("new"))
        #expect(connack.reason == .useAnotherServer)
        #expect(connack.properties.values.contains(.serverReference("standby.example:8883")))
        #expect(site.closed[3]?.reason == .useAnotherServer)
        try #expect(site.connect(4, .v3("new")).reason == .serverUnavailable)
        #expect(site.core.statistics.sessions == 2, "sessions stay")
    }
}
