import MQTT
import NIOCore
import Testing

@testable import Broker

/// What a server may choose to support, and what it must say and do then: MQTT 5.0 section 3.2.2.3.
@Suite struct PolicyStatements {
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
