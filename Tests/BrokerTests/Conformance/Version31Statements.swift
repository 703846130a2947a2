import MQTT
import NIOCore
import Testing

@testable import Broker

/// What MQTT 3.1 asks for beside 3.1.1, and other rules without a number.
@Suite struct Version31Statements {
    private static func connect(flags: UInt8 = 0x02, _ fields: [String]) -> [UInt8] {
        var body: [UInt8] = [0, 6] + Array("MQIsdp".utf8) + [3, flags, 0, 60]
        for field in fields { body += [0, UInt8(field.utf8.count)] + Array(field.utf8) }
        return [0x10, UInt8(body.count)] + body
    }

    private func old(_ clientID: String, clean: Bool = true, will: Will? = nil) -> Connect {
        Connect(version: .v3_1, clientID: clientID, cleanStart: clean, will: will)
    }

    @Test("MQIsdp with level 3 is taken")
    func connects() throws {
        let site = try SimulatedSite()
        site.open(1)
        site.listen(1, .v3_1)
        try site.send(1, bytes: Self.connect(["sensor"]))
        #expect(site.take(1) == [.connack(Connack())])
    }

    @Test("a client identifier has at least one character, and may have more than the 23 of 3.1")
    func identifiers() throws {
        let site = try SimulatedSite()
        try #expect(site.connect(1, old("")).reason == .clientIdentifierNotValid)
        try #expect(site.connect(1, old(String(repeating: "a", count: 23))).reason == .success)
        try #expect(site.connect(1, old(String(repeating: "a", count: 60))).reason == .success)
    }

    @Test("user name and password may be missing though their flags are set")
    func missingFields() throws {
        let site = try SimulatedSite()
        var seen: [String?] = []
        site.authenticate = { request in
            seen.append(request.username)
            return .accepted(username: request.username)
        }
        for fields in [["a"], ["b", "me"], ["c", "me", "key"]] {
            site.open(1)
            site.listen(1, .v3_1)
            try site.send(1, bytes: Self.connect(flags: 0xC2, fields))
            #expect(site.take(1) == [.connack(Connack())])
        }
        #expect(seen == [nil, "me", "me"])
    }

    @Test("CONNACK has no session present flag, and the return codes 0 to 5")
    func connack() throws {
        let site = try SimulatedSite()
        try site.connect(1, old("c", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try #expect(!site.connect(1, old("c", clean: false)).sessionPresent)
        #expect(site.core.statistics.subscriptions == 1, "and yet there is one")
        for (reason, code): (ReasonCode, ReasonCode) in [
            (.badUserNameOrPassword, .badUserNameOrPassword), (.notAuthorized, .notAuthorized),
            (.quotaExceeded, .serverUnavailable),
        ] {
            site.authenticate = { _ in .refused(reason) }
            try #expect(site.connect(2, old("d")).reason == code)
        }
    }

    @Test("SUBSCRIBE, UNSUBSCRIBE and PUBREL may carry DUP when they are sent again")
    func duplicates() throws {
        let site = try SimulatedSite()
        try site.connect(1, old("c"))
        let packets: [[UInt8]] = [[0x8A, 6, 0, 1, 0, 1, 0x61, 0], [0xAA, 5, 0, 2, 0, 1, 0x61], [0x6A, 2, 0, 3]]
        for bytes in packets { try site.send(1, bytes: bytes, version: .v3_1) }
        #expect(site.closed[1] == nil)
        #expect(
            site.take(1) == [
                .suback(Suback(packetID: 1, reasons: [.success])), .unsuback(Unsuback(packetID: 2)), .pubcomp(3),
            ]
        )
    }

    @Test("every quality of service, wills, retained messages and sessions work for 3.1")
    func works() throws {
        let site = try SimulatedSite()
        try site.connect(1, old("sub", clean: false))
        try site.send(1, .subscribe("#", .exactlyOnce))
        _ = site.take(1)
        let will = Will(topic: "gone", payload: ByteBuffer(string: "w"), qos: .atLeastOnce, retain: true)
        try site.connect(2, old("pub", will: will))
        for qos in QoS.allCases {
            try site.send(2, .publish("t", "\(qos.rawValue)", qos, id: UInt16(qos.rawValue)))
        }
        #expect(site.publishes(1).map(\.text).sorted() == ["0", "1", "2"])
        try site.drop(1)
        try site.drop(2)
        try site.crash()
        try site.connect(1, old("sub", clean: false))
        let again = site.publishes(1)
        #expect(again.map(\.text).sorted() == ["1", "2", "w"])
        try site.connect(3, old("late"))
        try site.send(3, .subscribe("gone", .atMostOnce))
        #expect(site.publishes(3).map(\.text) == ["w"])
    }

    @Test("MQTT 5.0 section 3.1.2.11.2: a session expiry of 0xFFFFFFFF never ends, also over restarts")
    func neverExpires() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: false, expiry: 0xFFFF_FFFF))
        try site.drop(1)
        for _ in 0..<3 {
            site.now.wallMilliseconds += 10 * 365 * 86_400_000
            site.now.monotonicNanoseconds += 86_400_000_000_000
            try site.crash()
            try site.pass(seconds: 10)
        }
        try #expect(site.connect(1, .v5("c", clean: false, expiry: 0xFFFF_FFFF)).sessionPresent)
    }
}
