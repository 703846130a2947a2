import MQTT
import Testing

@testable import Broker

/// What the audit log is told of clients that break the rules.
@Suite struct AuditTests {
    private func violations(_ site: SimulatedSite) -> [AuditEvent] {
        site.audited.filter { $0.kind == .protocolViolated }
    }

    @Test("A violation before CONNECT is told with the address that it came from")
    func beforeConnect() throws {
        let site = try SimulatedSite()
        site.open(1)
        try site.send(1, .pingreq)
        let events = violations(site)
        #expect(events.count == 1)
        #expect(events.first?.clientID == nil)
        #expect(events.first?.remoteAddress == "sim")
        #expect(events.first?.reason == "the first packet was not CONNECT")
    }

    @Test("A violation after CONNECT is told with who it was, and then that the client is gone")
    func afterConnect() throws {
        let site = try SimulatedSite()
        var connect = Connect.v5("c")
        connect.username = "nurse"
        try site.connect(1, connect)
        try site.send(1, .connect(connect))
        #expect(
            site.audited.filter { $0.clientID == "c" }.map(\.kind) == [
                .clientConnected, .protocolViolated, .clientDisconnected,
            ]
        )
        let event = try #require(violations(site).first)
        #expect(event.username == "nurse")
        #expect(event.listener == "test")
        #expect(event.reason == "a second CONNECT came")
    }

    @Test("A flood of violations is counted, not written out")
    func bounded() throws {
        var configuration = BrokerConfiguration()
        configuration.auditedRefusalsPerSecond = 3
        let site = try SimulatedSite(configuration: configuration)
        for _ in 0..<10 {
            try site.connect(1, .v5("c"))
            try site.send(1, .suback(Suback(packetID: 1, reasons: [.success])))
        }
        #expect(violations(site).count == 3)
        try site.pass(seconds: 2)
        try site.connect(1, .v5("c"))
        try site.send(1, .pingresp)
        #expect(violations(site).last?.reason?.hasSuffix("; 7 more before were not recorded") == true)
    }
}
