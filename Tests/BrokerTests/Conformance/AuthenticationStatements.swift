import MQTT
import NIOCore
import Testing

@testable import Broker

/// Enhanced authentication: MQTT 5.0 sections 3.15 and 4.12.
@Suite struct AuthenticationStatements {
    private static let method = "SECRET-WORD"

    private func connect(_ data: String? = "hello", method: String = method) -> Connect {
        var connect = Connect.v5("c", clean: false, expiry: 60)
        connect.properties.values.append(.authenticationMethod(method))
        if let data { connect.properties.values.append(.authenticationData(ByteBuffer(string: data))) }
        return connect
    }

    private func auth(_ reason: ReasonCode, _ data: String?, method: String? = method) -> Packet {
        var properties: Properties = []
        if let method { properties.values.append(.authenticationMethod(method)) }
        if let data { properties.values.append(.authenticationData(ByteBuffer(string: data))) }
        return .auth(Auth(reason: reason, properties: properties))
    }

    /// A site whose clients are asked for a number, each time by the one before it, and must say three.
    private func site(_ configure: (inout BrokerConfiguration) -> Void = { _ in }) throws -> SimulatedSite {
        var configuration = BrokerConfiguration()
        configuration.authenticationMethods = [Self.method]
        configure(&configuration)
        let site = try SimulatedSite(configuration: configuration)
        site.authenticate = { request in
            guard request.method == Self.method else { return .accepted(username: request.username) }
            let said = request.data.map { String(buffer: $0) }
            switch (request.state?.value(as: Int.self), said) {
            case (nil, "hello"): return .challenge(data: ByteBuffer(string: "one?"), state: AuthenticationState(1))
            case (1, "one"): return .challenge(data: nil, state: AuthenticationState(2))
            case (2, "two"): return .completed(username: "alice", data: ByteBuffer(string: "welcome"))
            case (2, "bob"): return .completed(username: "bob", data: nil)
            default: return .refused(.notAuthorized)
            }
        }
        return site
    }

    private func enter(_ site: SimulatedSite, _ connect: Connect) throws {
        site.open(1)
        site.listen(1, .v5)
        try site.send(1, .connect(connect))
    }

    private func enterWhole(_ site: SimulatedSite) throws {
        try enter(site, connect())
        try site.send(1, auth(.continueAuthentication, "one"))
        try site.send(1, auth(.continueAuthentication, "two"))
        _ = site.take(1)
    }

    @Test("[MQTT-4.12.0-2] a server that needs more asks by AUTH with Continue authentication and the method")
    func serverAsks() throws {
        let site = try site()
        try enter(site, connect())
        #expect(site.take(1) == [auth(.continueAuthentication, "one?")])
        try site.send(1, auth(.continueAuthentication, "one"))
        #expect(site.take(1) == [auth(.continueAuthentication, nil)])
        try site.send(1, auth(.continueAuthentication, "two"))
        guard case .connack(let connack)? = site.take(1).first else {
            Issue.record("no CONNACK")
            return
        }
        #expect(connack.reason == .success)
        #expect(connack.properties.authenticationMethod == Self.method, "[MQTT-4.12.0-5]")
        #expect(connack.properties.authenticationData == ByteBuffer(string: "welcome"))
        #expect(site.closed[1] == nil)
    }

    @Test("[MQTT-4.12.0-1] a method that the server does not offer is refused with 0x8C and the connection closed")
    func unknownMethod() throws {
        let site = try site()
        for name in ["OTHER", "secret-word", ""] {
            try #expect(site.connect(1, connect(method: name)).reason == .badAuthenticationMethod)
            #expect(site.closed[1]?.reason == .badAuthenticationMethod)
        }
    }

    @Test("[MQTT-4.12.0-4] a client that fails is told why by CONNACK and closed, in the first step or a later one")
    func failure() throws {
        let site = try site()
        try #expect(site.connect(1, connect("nonsense")).reason == .notAuthorized)
        #expect(site.closed[1]?.reason == .notAuthorized)
        try enter(site, connect())
        try site.send(1, auth(.continueAuthentication, "wrong"))
        #expect(site.take(1).last == .connack(Connack(reason: .notAuthorized)))
        #expect(site.closed[1]?.reason == .notAuthorized)
        #expect(site.core.statistics.sessions == 0)
    }

    @Test(
        "[MQTT-4.12.0-3] [MQTT-4.12.0-5] an AUTH that does not belong to the exchange ends it",
        arguments: [
            (ReasonCode.continueAuthentication, "OTHER" as String?, ReasonCode.badAuthenticationMethod),
            (.reauthenticate, method, .protocolError),
            (.success, method, .protocolError),
        ]
    )
    func strangeAnswer(reason: ReasonCode, method: String?, answer: ReasonCode) throws {
        let site = try site()
        try enter(site, connect())
        _ = site.take(1)
        try site.send(1, auth(reason, "one", method: method))
        #expect(site.take(1) == [.connack(Connack(reason: answer))])
        #expect(site.closed[1]?.reason == answer)
    }

    @Test("[MQTT-3.1.2-30] before CONNACK only AUTH and DISCONNECT may come of a client that named a method")
    func otherPacketsDuringTheExchange() throws {
        let site = try site()
        for packet in [Packet.pingreq, .subscribe("t", .atMostOnce), .publish("t", "x")] {
            try enter(site, connect())
            _ = site.take(1)
            try site.send(1, packet)
            #expect(site.take(1) == [.connack(Connack(reason: .protocolError))])
            #expect(site.closed[1]?.statement == "MQTT-3.1.2-30")
        }
        try enter(site, connect())
        _ = site.take(1)
        try site.send(1, .disconnect(Disconnect()))
        #expect(site.take(1).isEmpty)
        #expect(site.closed[1]?.reason == .success)
        #expect(site.core.statistics.sessions == 0)
    }

    @Test("[MQTT-4.12.0-6] a client that names no method gets neither AUTH nor a method in CONNACK")
    func noMethod() throws {
        let site = try site()
        let connack = try site.connect(1, .v5("plain"))
        #expect(connack.reason == .success)
        #expect(connack.properties.authenticationMethod == nil)
        site.authenticate = { _ in .challenge(data: nil, state: AuthenticationState(1)) }
        try #expect(site.connect(2, .v5("other")).reason == .unspecifiedError)
        #expect(!site.take(2).contains { if case .auth = $0 { true } else { false } })
    }

    @Test("[MQTT-4.12.0-7] AUTH of a client that named no method is a protocol error")
    func authWithoutMethod() throws {
        let site = try site()
        try site.connect(1, .v5("plain"))
        try site.send(1, auth(.reauthenticate, "hello"))
        #expect(site.closed[1]?.reason == .protocolError)
        #expect(site.closed[1]?.statement == "MQTT-4.12.0-7")
    }

    @Test("section 3.1.2.11.10: authentication data without a method is a protocol error")
    func dataWithoutMethod() throws {
        let site = try site()
        var connect = Connect.v5("c")
        connect.properties.values.append(.authenticationData(ByteBuffer(string: "x")))
        try #expect(site.connect(1, connect).reason == .protocolError)
        #expect(site.closed[1]?.reason == .protocolError)
    }

    @Test("section 4.12: an exchange has a deadline and a number of steps that it may take")
    func bounds() throws {
        let site = try site { $0.authenticationStepsMax = 4 }
        try enter(site, connect())
        try site.pass(seconds: 11)
        #expect(site.closed[1]?.reason == .maximumConnectTime)
        site.authenticate = { _ in .challenge(data: nil, state: AuthenticationState(0)) }
        try enter(site, connect())
        for _ in 0..<4 {
            #expect(site.closed[1] == nil)
            try site.send(1, auth(.continueAuthentication, nil))
        }
        try site.send(1, auth(.continueAuthentication, nil))
        #expect(site.closed[1]?.reason == .notAuthorized)
    }

    @Test("[MQTT-4.12.1-1] a client authenticates again by AUTH with 0x19 while its messages go on")
    func again() throws {
        let site = try site()
        try enterWhole(site)
        try site.send(1, auth(.reauthenticate, "hello"))
        #expect(site.take(1) == [auth(.continueAuthentication, "one?")])
        try site.send(1, .pingreq)
        #expect(site.take(1) == [.pingresp])
        try site.send(1, auth(.continueAuthentication, "one"))
        _ = site.take(1)
        try site.send(1, auth(.continueAuthentication, "two"))
        #expect(site.take(1) == [auth(.success, "welcome")])
        #expect(site.closed[1] == nil)
        try site.send(1, auth(.reauthenticate, "hello", method: "OTHER"))
        #expect(site.closed[1]?.statement == "MQTT-4.12.1-1")
        #expect(site.closed[1]?.reason == .protocolError)
    }

    @Test(
        "[MQTT-4.12.1-2] authenticating again that fails ends the connection",
        arguments: ["wrong", "bob", nil] as [String?]
    )
    func failsAgain(last: String?) throws {
        let site = try site()
        try enterWhole(site)
        try site.send(1, auth(.reauthenticate, "hello"))
        try site.send(1, auth(.continueAuthentication, "one"))
        _ = site.take(1)
        if let last {
            try site.send(1, auth(.continueAuthentication, last))
        } else {
            try site.pass(seconds: 11)
        }
        guard case .disconnect(let disconnect)? = site.take(1).first else {
            Issue.record("no DISCONNECT")
            return
        }
        #expect(disconnect.reason == .notAuthorized)
        #expect(site.closed[1]?.statement == "MQTT-4.12.1-2")
    }

    @Test("[MQTT-4.12.1-1] an AUTH that nobody asked for is a protocol error")
    func unexpected() throws {
        let site = try site()
        for reason in [ReasonCode.continueAuthentication, .success] {
            try enterWhole(site)
            try site.send(1, auth(reason, "one"))
            #expect(site.closed[1]?.reason == .protocolError)
        }
    }
}
