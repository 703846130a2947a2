import MQTT
import NIOCore
import Testing

@testable import Broker

/// Wills: sections 3.1.2.5 and 3.1.3.2 of MQTT 5.0, 3.1.2.5 of 3.1.1.
@Suite struct WillStatements {
    private static func will(
        delay: UInt32 = 0,
        qos: QoS = .atLeastOnce,
        retain: Bool = false,
        _ more: [Property] = []
    ) -> Will {
        Will(
            topic: "status/c",
            payload: ByteBuffer(string: "gone"),
            qos: qos,
            retain: retain,
            properties: Properties((delay == 0 ? [] : [.willDelayInterval(delay)]) + more)
        )
    }

    /// A site with a watcher in slot 9, whose session outlives restarts.
    private func site() throws -> SimulatedSite {
        let site = try SimulatedSite()
        try watch(site)
        try site.send(9, .subscribe("status/#", .atLeastOnce))
        _ = site.take(9)
        return site
    }

    private func watch(_ site: SimulatedSite) throws {
        var connect = Connect.v5("watcher", clean: false, expiry: 10_000)
        connect.keepAliveSeconds = 0
        try site.connect(9, connect)
    }

    /// What the watcher has been given since it was asked last; it acknowledges all.
    private func seen(_ site: SimulatedSite) throws -> [String] {
        let got = site.publishes(9)
        for publish in got where publish.qos == .atLeastOnce { try site.send(9, .puback(publish.packetID)) }
        return got.map(\.text)
    }

    private func restart(_ site: SimulatedSite) throws {
        try site.crash()
        try watch(site)
    }

    @Test(
        "[MQTT-3.1.2-7] [MQTT-3.1.2-8] a will is kept, and published when the connection breaks",
        arguments: QoS.allCases
    )
    func published(qos: QoS) throws {
        let site = try site()
        for connect in [Connect.v3("c", will: Self.will(qos: qos)), .v5("c", will: Self.will(qos: qos))] {
            try site.connect(1, connect)
            try #expect(seen(site).isEmpty)
            try site.drop(1)
            try #expect(seen(site) == ["gone"])
        }
    }

    @Test("[MQTT-3.1.2-10] a will that was published is not published again")
    func once() throws {
        let site = try site()
        for delay: UInt32 in [0, 5] {
            try site.connect(1, .v5("c", clean: false, expiry: 600, will: Self.will(delay: delay)))
            try site.drop(1)
            try site.pass(seconds: 10)
            try #expect(seen(site) == ["gone"])
            try site.pass(seconds: 10)
            try restart(site)
            try site.pass(seconds: 700)
            try #expect(seen(site).isEmpty, "neither by time nor by a restart nor by the session's end")
        }
    }

    @Test("[MQTT-3.1.2-12] of 3.1.1: without a will none is published")
    func none() throws {
        let site = try site()
        try site.connect(1, .v3("c"))
        try site.drop(1)
        try #expect(seen(site).isEmpty)
    }

    @Test(
        "[MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT-3.1.2-16] [MQTT-3.1.2-17] a will is retained if its flag says so, else not",
        arguments: [false, true]
    )
    func retained(retain: Bool) throws {
        for version in [ProtocolVersion.v3_1_1, .v5] {
            let site = try site()
            try site.connect(1, Connect(version: version, clientID: "c", will: Self.will(retain: retain)))
            try site.drop(1)
            #expect(site.core.statistics.retainedMessages == (retain ? 1 : 0))
            try site.connect(2, .v3("late"))
            try site.send(2, .subscribe("status/c", .atMostOnce))
            #expect(site.publishes(2).map(\.text) == (retain ? ["gone"] : []))
        }
    }

    @Test("[MQTT-3.1.3-10] a will's properties go on as they came, user properties in order, without the delay")
    func properties() throws {
        let site = try site()
        let properties: [Property] = [
            .userProperty(name: "b", value: "1"), .payloadFormatIndicator(1), .userProperty(name: "a", value: "2"),
            .contentType("text/plain"), .responseTopic("back"), .userProperty(name: "b", value: "0"),
            .correlationData(ByteBuffer(bytes: [1, 2])),
        ]
        try site.connect(1, .v5("c", clean: false, expiry: 60, will: Self.will(delay: 1, properties)))
        try site.drop(1)
        try site.pass(seconds: 3)
        #expect(site.publishes(9).map(\.properties.values) == [properties])
    }

    @Test("[MQTT-3.1.3-9] a client that is back before the delay is over stops its will")
    func comesBack() throws {
        let site = try site()
        for clean in [false, true] {
            try site.connect(1, .v5("c", clean: false, expiry: 600, will: Self.will(delay: 20)))
            try site.drop(1)
            try site.pass(seconds: 15)
            try site.connect(1, .v5("c", clean: clean, expiry: 600))
            try site.pass(seconds: 30)
            // A clean start ends the session, and the end of the session makes the will due.
            try #expect(seen(site) == (clean ? ["gone"] : []))
        }
    }

    /// One ordering of what may happen to a delayed will.
    struct Ordering: Sendable, CustomStringConvertible {
        let description: String
        let delay: UInt32
        let expiry: UInt32
        let events: [Event]

        enum Event: Sendable {
            case breaks, comesBack, takesOver, restarts, disconnectsWithWill
            case waits(Double)
            /// What the watcher must have been given since the last look.
            case sees([String])
        }
    }

    private static let orderings = [
        Ordering(
            description: "delay < expiry",
            delay: 10,
            expiry: 60,
            events: [.breaks, .waits(9), .sees([]), .waits(2), .sees(["gone"]), .waits(100), .sees([])]
        ),
        Ordering(
            description: "expiry < delay",
            delay: 600,
            expiry: 10,
            events: [.breaks, .waits(9), .sees([]), .waits(8), .sees(["gone"]), .waits(700), .sees([])]
        ),
        Ordering(
            description: "no expiry, with a delay: due at once",
            delay: 600,
            expiry: 0,
            events: [.breaks, .sees(["gone"]), .waits(700), .sees([])]
        ),
        Ordering(
            description: "taken over before the delay: the connection before it is gone, the session goes on",
            delay: 10,
            expiry: 60,
            events: [.takesOver, .waits(9), .sees([]), .waits(100), .sees([])]
        ),
        Ordering(
            description: "back, and gone again: the new connection's will counts from its own end",
            delay: 10,
            expiry: 60,
            events: [
                .breaks, .waits(8), .comesBack, .waits(8), .sees([]), .breaks, .waits(8), .sees([]), .waits(4),
                .sees(["gone"]), .waits(100), .sees([]),
            ]
        ),
        Ordering(
            description: "restart while the delay runs: due within it, once",
            delay: 100,
            expiry: 1_000,
            events: [
                .breaks, .waits(50), .restarts, .waits(20), .sees([]), .waits(120), .sees(["gone"]), .restarts,
                .waits(1_200), .sees([]),
            ]
        ),
        Ordering(
            description: "restart, then the expiry before the delay",
            delay: 2_000,
            expiry: 200,
            events: [
                .breaks, .waits(20), .restarts, .waits(100), .sees([]), .waits(100), .sees(["gone"]), .waits(2_500),
                .sees([]),
            ]
        ),
        Ordering(
            description: "restart while connected, back in time",
            delay: 100,
            expiry: 600,
            events: [.restarts, .waits(30), .comesBack, .waits(400), .sees([])]
        ),
        Ordering(
            description: "told goodbye with the will, restart, back before the delay",
            delay: 100,
            expiry: 600,
            events: [.disconnectsWithWill, .waits(20), .restarts, .waits(20), .comesBack, .waits(500), .sees([])]
        ),
    ]

    @Test("section 3.1.3.2.2: will delay, session expiry, takeover and restart in every order", arguments: orderings)
    func orders(ordering: Ordering) throws {
        let site = try site()
        func connect() throws {
            var connect = Connect.v5("c", clean: false, expiry: ordering.expiry, will: Self.will(delay: ordering.delay))
            connect.keepAliveSeconds = 0
            try site.connect(1, connect)
        }
        try connect()
        for (step, event) in ordering.events.enumerated() {
            switch event {
            case .breaks: try site.drop(1)
            case .comesBack: try connect()
            case .takesOver:
                var connect = Connect.v5("c", clean: false, expiry: ordering.expiry)
                connect.keepAliveSeconds = 0
                try site.connect(2, connect)
                #expect(site.closed[1]?.reason == .sessionTakenOver)
            case .restarts: try restart(site)
            case .disconnectsWithWill: try site.send(1, .disconnect(Disconnect(reason: .disconnectWithWill)))
            case .waits(let seconds):
                try site.pass(seconds: seconds)
            case .sees(let wanted): try #expect(seen(site) == wanted, "step \(step) of \(ordering)")
            }
        }
    }
}
