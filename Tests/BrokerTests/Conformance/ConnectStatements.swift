import MQTT
import NIOCore
import Testing

@testable import Broker

/// CONNECT and CONNACK: sections 3.1 and 3.2 of both standards.
@Suite struct ConnectStatements {
    /// The bytes of a CONNECT, its fields as they are given.
    private static func bytes(
        name: String = "MQTT",
        level: UInt8 = 4,
        flags: UInt8 = 0x02,
        properties: [UInt8]? = nil,
        payload: [[UInt8]] = [Array("c".utf8)]
    ) -> [UInt8] {
        func field(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] + bytes }
        let own = properties ?? (level == 5 ? [0] : [])
        let body = field(Array(name.utf8)) + [level, flags, 0, 60] + own + payload.flatMap(field)
        return [0x10, UInt8(body.count)] + body
    }

    private static let text = Array("x".utf8)
    private static let illFormed: [UInt8] = [0xC3, 0x28]

    @Test("[MQTT-3.1.0-1] another first packet than CONNECT ends the connection without an answer")
    func firstPacket() throws {
        let site = try SimulatedSite()
        let packets: [[UInt8]] = [[0xC0, 0], [0x30, 3, 0, 1, 0x61], [0xE0, 0], [0x82, 6, 0, 1, 0, 1, 0x61, 0]]
        for bytes in packets {
            site.open(1)
            site.listen(1, .v3_1_1)
            try site.send(1, bytes: bytes)
            #expect(site.closed[1]?.reason == .protocolError)
            #expect(site.take(1).isEmpty)
        }
    }

    @Test("[MQTT-3.1.0-2] a second CONNECT is a protocol error and ends the connection")
    func secondConnect() throws {
        let site = try SimulatedSite()
        for version in [ProtocolVersion.v3_1, .v3_1_1, .v5] {
            try site.connect(1, Connect(version: version, clientID: "c"))
            try site.send(1, .connect(Connect(version: version, clientID: "c")))
            #expect(site.closed[1]?.reason == .protocolError)
            #expect(site.core.statistics.sessions == 0)
        }
    }

    @Test("[MQTT-3.1.2-1] another protocol name than the standard's ends the connection")
    func protocolName() throws {
        let site = try SimulatedSite()
        for name in ["mqtt", "MQTTT", "HTTP", ""] {
            site.open(1)
            try site.send(1, bytes: Self.bytes(name: name))
            #expect(site.closed[1]?.reason == .unsupportedProtocolVersion)
        }
        site.open(1)
        try site.send(1, bytes: Self.bytes(name: "MQIsdp", level: 4))
        #expect(site.closed[1]?.reason == .unsupportedProtocolVersion, "each level has its name")
    }

    @Test("[MQTT-3.1.2-2] a version that the server does not have is answered by CONNACK and the connection closed")
    func protocolLevel() throws {
        let site = try SimulatedSite()
        for level: UInt8 in [0, 1, 2, 6, 7, 127] {
            site.open(1)
            site.listen(1, .v3_1_1)
            try site.send(1, bytes: Self.bytes(level: level))
            #expect(site.take(1) == [.connack(Connack(reason: .unsupportedProtocolVersion))], "return code 0x01")
            #expect(site.closed[1] != nil)
        }
    }

    @Test(
        "[MQTT-3.1.4-1] a CONNECT that is not as section 3.1 says ends the connection; 3.1.1 gets no CONNACK",
        arguments: [
            ("[MQTT-3.1.2-3] reserved flag", bytes(flags: 0x03)),
            ("[MQTT-3.1.2-11] will topic without its flag", bytes(payload: [text, text, text])),
            ("[MQTT-3.1.2-13] will QoS without a will", bytes(flags: 0x0A)),
            ("[MQTT-3.1.2-14] will QoS 3", bytes(flags: 0x1E, payload: [text, text, text])),
            ("[MQTT-3.1.2-15] will retain without a will", bytes(flags: 0x22)),
            ("[MQTT-3.1.2-9] no will message", bytes(flags: 0x06, payload: [text, text])),
            ("[MQTT-3.1.2-18] user name without its flag", bytes(payload: [text, text])),
            ("[MQTT-3.1.2-19] flag without a user name", bytes(flags: 0x82)),
            ("[MQTT-3.1.2-20] password without its flag", bytes(flags: 0x82, payload: [text, text, text])),
            ("[MQTT-3.1.2-21] flag without a password", bytes(flags: 0xC2, payload: [text, text])),
            ("[MQTT-3.1.2-22] password without a user name", bytes(flags: 0x42, payload: [text, text])),
            ("[MQTT-3.1.3-3] no client identifier", bytes(payload: [])),
            ("[MQTT-3.1.3-4] client identifier not UTF-8", bytes(payload: [illFormed])),
            ("[MQTT-3.1.3-10] will topic not UTF-8", bytes(flags: 0x06, payload: [text, illFormed, text])),
            ("[MQTT-3.1.3-11] user name not UTF-8", bytes(flags: 0x82, payload: [text, illFormed])),
        ]
    )
    func malformed3(name: String, bytes: [UInt8]) throws {
        let site = try SimulatedSite()
        site.open(1)
        site.listen(1, .v3_1_1)
        try site.send(1, bytes: bytes)
        #expect(site.closed[1]?.reason.isError == true, "\(name)")
        #expect(site.take(1).isEmpty, "\(name)")
        #expect(site.core.statistics.sessions == 0)
    }

    @Test(
        "[MQTT-3.1.4-1] a CONNECT of 5.0 that is not as section 3.1 says ends the connection",
        arguments: [
            ("[MQTT-3.1.2-3] reserved flag", bytes(level: 5, flags: 0x03)),
            ("[MQTT-3.1.2-9] no will payload", bytes(level: 5, flags: 0x06, payload: [text, [0], text])),
            ("[MQTT-3.1.2-11] will QoS without a will", bytes(level: 5, flags: 0x0A)),
            ("[MQTT-3.1.2-12] will QoS 3", bytes(level: 5, flags: 0x1E)),
            ("[MQTT-3.1.2-13] will retain without a will", bytes(level: 5, flags: 0x22)),
            ("[MQTT-3.1.2-16] user name without its flag", bytes(level: 5, payload: [text, text])),
            ("[MQTT-3.1.2-17] flag without a user name", bytes(level: 5, flags: 0x82)),
            ("[MQTT-3.1.2-18] password without its flag", bytes(level: 5, flags: 0x82, payload: [text, text, text])),
            ("[MQTT-3.1.2-19] flag without a password", bytes(level: 5, flags: 0x42)),
            ("[MQTT-3.1.3-3] no client identifier", bytes(level: 5, payload: [])),
            ("[MQTT-3.1.3-4] client identifier not UTF-8", bytes(level: 5, payload: [illFormed])),
            ("[MQTT-3.1.3-12] user name not UTF-8", bytes(level: 5, flags: 0x82, payload: [text, illFormed])),
        ]
    )
    func malformed5(name: String, bytes: [UInt8]) throws {
        let site = try SimulatedSite()
        site.open(1)
        site.listen(1, .v5)
        try site.send(1, bytes: bytes)
        #expect(site.closed[1]?.reason.isError == true, "\(name)")
        #expect(!site.take(1).contains { if case .disconnect = $0 { true } else { false } }, "[MQTT-3.14.0-1]")
        #expect(site.core.statistics.sessions == 0)
    }

    @Test("[MQTT-3.1.3-1] the payload's fields are read in the order of the standard")
    func order() throws {
        let site = try SimulatedSite()
        var seen: (String, String?, String?)?
        site.authenticate = { request in
            seen = (request.clientID, request.username, request.password.map { String(buffer: $0) })
            return .accepted(username: request.username)
        }
        site.open(1)
        let fields = ["id", "w/t", "gone", "me", "key"].map { Array($0.utf8) }
        try site.send(1, bytes: Self.bytes(flags: 0xC6, payload: fields))
        #expect(try #require(seen) == ("id", "me", "key"))
        try site.connect(2, .v3("watcher"))
        try site.send(2, .subscribe("w/t", .atMostOnce))
        _ = site.take(2)
        try site.drop(1)
        #expect(site.publishes(2).map(\.text) == ["gone"])
    }

    @Test("[MQTT-3.1.3-5] every client identifier of 1 to 23 letters and digits is taken, and longer ones too")
    func clientIdentifiers() throws {
        let site = try SimulatedSite()
        let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        var names = letters.map(String.init)
        names += [String(letters.prefix(23)), String(letters.suffix(23)), letters]
        for name in names {
            try #expect(site.connect(1, .v3(name)).reason == .success)
            try #expect(site.connect(1, .v5(name)).reason == .success)
        }
    }

    @Test(
        "[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] an empty client identifier is given a new one, and 5.0 is told"
    )
    func assigned() throws {
        let site = try SimulatedSite()
        var names: Set<String> = []
        for slot: UInt32 in 1...5 {
            let connack = try site.connect(slot, .v5(""))
            let name = connack.properties.first { property -> String? in
                if case .assignedClientIdentifier(let name) = property { name } else { nil }
            }
            try names.insert(#require(name))
        }
        #expect(names.count == 5)
        #expect(site.core.statistics.clientsConnected == 5)
        try #expect(site.connect(6, .v3("")).reason == .success)
        let known = try site.connect(7, .v5("mine"))
        #expect(!known.properties.values.contains { if case .assignedClientIdentifier = $0 { true } else { false } })
    }

    @Test("[MQTT-3.1.3-8] 3.1.1 needs a clean session for an empty client identifier: 0x02 and closed")
    func emptyIdentifier() throws {
        let site = try SimulatedSite()
        try #expect(site.connect(1, .v3("", clean: false)).reason == .clientIdentifierNotValid)
        #expect(site.closed[1] != nil)
        let old = Connect(version: .v3_1, clientID: "", cleanStart: true)
        try #expect(site.connect(2, old).reason == .clientIdentifierNotValid, "3.1 has no empty one at all")
    }

    @Test("[MQTT-3.1.4-2] a client that may not enter is told why, in its version, and closed")
    func refused() throws {
        let site = try SimulatedSite()
        let reasons: [(ReasonCode, ReasonCode)] = [
            (.badUserNameOrPassword, .badUserNameOrPassword), (.notAuthorized, .notAuthorized),
            (.serverBusy, .serverUnavailable), (.banned, .notAuthorized),
        ]
        for (reason, before5) in reasons {
            site.authenticate = { _ in .refused(reason) }
            let connack = try site.connect(1, .v5("c"))
            #expect(connack.reason == reason)
            #expect(!connack.sessionPresent, "[MQTT-3.2.2-6]")
            #expect(site.closed[1]?.reason == reason, "[MQTT-3.2.2-7]")
            try #expect(site.connect(1, .v3("c")).reason == before5, "[MQTT-3.2.2-4] [MQTT-3.2.2-5]")
            #expect(site.closed[1] != nil)
        }
    }

    @Test("[MQTT-3.1.4-6] what came behind a CONNECT that is refused is never processed")
    func nothingBehindARefusal() throws {
        let site = try SimulatedSite()
        try site.connect(2, .v3("watcher"))
        try site.send(2, .subscribe("#", .atMostOnce))
        _ = site.take(2)
        site.authenticate = { _ in .refused(.notAuthorized) }
        for connect in [Connect.v3("c"), .v5("c")] {
            site.open(1)
            try site.send(
                1,
                .connect(connect),
                .publish("t", "x", .atMostOnce, retain: true),
                .subscribe("t", .atMostOnce)
            )
            #expect(site.publishes(2).isEmpty)
            #expect(site.core.statistics.retainedMessages == 0)
        }
    }

    @Test("[MQTT-3.2.0-1] CONNACK comes before everything else, whatever was sent with CONNECT")
    func connackFirst() throws {
        let site = try SimulatedSite()
        for connect in [Connect.v3("c"), .v5("c")] {
            site.open(1)
            site.listen(1, connect.version)
            try site.send(1, .connect(connect), .subscribe("t", .atMostOnce), .publish("t", "x"), .pingreq)
            let kinds = site.take(1).map { packet in
                switch packet {
                case .connack: "connack"
                case .suback: "suback"
                case .publish: "publish"
                case .pingresp: "pingresp"
                default: "other"
                }
            }
            #expect(kinds == ["connack", "suback", "publish", "pingresp"], "[MQTT-3.2.0-2]: CONNACK once")
        }
    }

    @Test(
        "[MQTT-3.2.2-2] [MQTT-3.2.2-3] session present says whether there was a session, and never with a clean start",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func sessionPresent(version: ProtocolVersion) throws {
        let site = try SimulatedSite()
        func connect(clean: Bool) throws -> Connack {
            let connack = try site.connect(
                1,
                version == .v5 ? .v5("c", clean: clean, expiry: 60) : .v3("c", clean: clean)
            )
            try site.drop(1)
            #expect(connack.reason == .success, "[MQTT-3.1.4-5]")
            return connack
        }
        try #expect(!connect(clean: false).sessionPresent)
        try #expect(connect(clean: false).sessionPresent)
        try #expect(!connect(clean: true).sessionPresent)
        try #expect(connect(clean: false).sessionPresent == (version == .v5))
    }

    @Test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] what is larger than the client takes is dropped as if it had been sent")
    func maximumPacketSize() throws {
        let site = try SimulatedSite()
        var connect = Connect.v5("sub", clean: false, expiry: 60)
        connect.properties.values.append(.maximumPacketSize(60))
        try site.connect(1, connect)
        try site.send(1, .subscribe("t", .exactlyOnce))
        _ = site.take(1)
        try site.connect(2, .v3("pub"))
        let long = String(repeating: "x", count: 100)
        for qos in QoS.allCases {
            let id = UInt16(qos.rawValue)
            try site.send(2, .publish("t", long, qos, id: id), .publish("t", "short", qos, id: id == 0 ? 0 : id + 10))
            #expect(site.publishes(1).map(\.text) == ["short"])
        }
        #expect(site.core.statistics.dropped[.oversize] == 3)
        #expect(site.core.statistics.inflightMessages == 2, "only what was sent is awaited")
        try site.crash()
        connect.properties.values.removeLast()
        try site.connect(1, connect)
        #expect(!site.publishes(1).contains { $0.text == long }, "it counts as sent")
    }

    @Test(
        "[MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.14.2-3] no packet is too large for its client",
        arguments: [40, 100, 513] as [UInt32]
    )
    func everyPacketFits(bytesMax: UInt32) throws {
        let site = try SimulatedSite()
        // An assigned identifier makes a CONNACK that the smallest would not take.
        var connect = Connect.v5(bytesMax == 40 ? "c" : "", clean: true)
        connect.properties.values.append(.maximumPacketSize(bytesMax))
        connect.keepAliveSeconds = 0
        try site.connect(1, connect)
        let many = (0..<30).map { Subscribe.Request(filter: "t/\($0)") }
        try site.send(1, .subscribe(Subscribe(packetID: 1, requests: many)))
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 2, filters: many.map(\.filter))))
        try site.send(1, .publish("$SYS/no", "x", .atLeastOnce, id: 1))
        try site.send(1, .pubrec(99), .pubrel(99))
        try site.send(1, .publish("", "x", .atMostOnce, [.topicAlias(99)]))
        #expect(site.closed[1] != nil)
        #expect((site.largestBytes[1] ?? 0) <= Int(bytesMax))
    }

    @Test(
        "[MQTT-3.1.2-24] a client that takes no answer as large as the one it asks for is closed",
        arguments: [true, false]
    )
    func answerTooLarge(subscribes: Bool) throws {
        let site = try SimulatedSite()
        var connect = Connect.v5("c", clean: false, expiry: 60)
        connect.properties.values.append(.maximumPacketSize(60))
        try site.connect(1, connect)
        let filters = (0..<100).map { "t/\($0)" }
        if subscribes {
            try site.send(1, .subscribe(Subscribe(packetID: 1, requests: filters.map { .init(filter: $0) })))
        } else {
            try site.send(1, .unsubscribe(Unsubscribe(packetID: 1, filters: filters)))
        }
        #expect(site.closed[1]?.reason == .packetTooLarge)
        #expect((site.largestBytes[1] ?? 0) <= 60)
    }

    @Test("[MQTT-3.1.2-28] no response information goes to a client that asks for none")
    func responseInformation() throws {
        let site = try SimulatedSite()
        func has(_ connack: Connack) -> Bool {
            connack.properties.values.contains { if case .responseInformation = $0 { true } else { false } }
        }
        for value: UInt8? in [nil, 0] {
            var connect = Connect.v5("c")
            if let value { connect.properties.values.append(.requestResponseInformation(value)) }
            try #expect(!has(site.connect(1, connect)))
        }
    }

    @Test("[MQTT-3.1.2-29] without problem information there is none but on PUBLISH, CONNACK and DISCONNECT")
    func noProblemInformation() throws {
        let site = try SimulatedSite()
        var connect = Connect.v5("c")
        connect.properties.values.append(.requestProblemInformation(0))
        try site.connect(1, connect)
        try site.send(1, .subscribe("a/#/b", .atMostOnce), .unsubscribe(Unsubscribe(packetID: 2, filters: ["gone"])))
        try site.send(1, .publish("$SYS/no", "x", .atLeastOnce, id: 1), .publish("$SYS/no", "x", .exactlyOnce, id: 2))
        try site.send(1, .pubrel(9), .pubrec(9))
        let answers = site.take(1)
        #expect(answers.count == 6)
        for answer in answers {
            switch answer {
            case .suback(let packet): #expect(packet.properties.isEmpty)
            case .unsuback(let packet): #expect(packet.properties.isEmpty)
            case .puback(let packet), .pubrec(let packet), .pubrel(let packet), .pubcomp(let packet):
                #expect(packet.properties.isEmpty)
            default: Issue.record("another packet came: \(answer)")
            }
        }
    }

    @Test(
        "[MQTT-3.1.2-22] [MQTT-3.1.2-24] a client that is silent for one and a half keep alives is closed, its will sent"
    )
    func keepAlive() throws {
        let site = try SimulatedSite()
        try site.connect(9, .v3("watcher"))
        try site.send(9, .subscribe("gone/#", .atMostOnce))
        _ = site.take(9)
        for (slot, version) in zip([UInt32(1), 2], [ProtocolVersion.v3_1_1, .v5]) {
            let topic = TopicName(uncheckedBytes: ByteBuffer(string: "gone/\(slot)"))
            let will = Will(topic: topic, payload: ByteBuffer(string: "x"), qos: .atMostOnce, retain: false)
            try site.connect(
                slot,
                Connect(version: version, clientID: "c\(slot)", keepAliveSeconds: 4, will: will)
            )
        }
        try site.pass(seconds: 5)
        try site.send(9, .pingreq)
        #expect(site.closed[1] == nil && site.closed[2] == nil)
        try site.pass(seconds: 2)
        #expect(site.closed[1]?.reason == .keepAliveTimeout)
        #expect(site.closed[2]?.reason == .keepAliveTimeout)
        #expect(Set(site.publishes(9).map(\.topic.string)) == ["gone/1", "gone/2"])
    }

    @Test("[MQTT-3.2.2-22] without a server keep alive the client's own counts; with one, that")
    func serverKeepAlive() throws {
        var configuration = BrokerConfiguration()
        configuration.keepAliveSecondsMax = 10
        let site = try SimulatedSite(configuration: configuration)
        func serverKeepAlive(_ connack: Connack) -> UInt16? {
            connack.properties.first { if case .serverKeepAlive(let seconds) = $0 { seconds } else { nil } }
        }
        var connect = Connect.v5("a")
        connect.keepAliveSeconds = 4
        try #expect(serverKeepAlive(site.connect(1, connect)) == nil)
        connect = .v5("b")
        connect.keepAliveSeconds = 60
        try #expect(serverKeepAlive(site.connect(2, connect)) == 10)
        try site.pass(seconds: 7)
        #expect(site.closed[1]?.reason == .keepAliveTimeout)
        #expect(site.closed[2] == nil)
        try site.pass(seconds: 9)
        #expect(site.closed[2]?.reason == .keepAliveTimeout)
    }

    @Test(
        "[MQTT-3.1.2-24] a 3.x client that asks for a longer keep alive, or none, is held to the longest",
        arguments: [ProtocolVersion.v3_1, .v3_1_1],
        [UInt16.max, 0]
    )
    func longestKeepAlive(version: ProtocolVersion, seconds: UInt16) throws {
        var configuration = BrokerConfiguration()
        configuration.keepAliveSecondsMax = 10
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, Connect(version: version, clientID: "c", keepAliveSeconds: seconds))
        try site.pass(seconds: 14)
        #expect(site.closed[1] == nil)
        try site.pass(seconds: 2)
        #expect(site.closed[1]?.reason == .keepAliveTimeout)
    }

    @Test("Without a longest keep alive a client without one may be silent for ever")
    func noKeepAlive() throws {
        var configuration = BrokerConfiguration()
        configuration.keepAliveSecondsMax = 0
        let site = try SimulatedSite(configuration: configuration)
        try site.connect(1, Connect(version: .v3_1_1, clientID: "c", keepAliveSeconds: 0))
        try site.pass(seconds: 100_000)
        #expect(site.closed[1] == nil)
    }
}
