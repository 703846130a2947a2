import Access
import Broker
import Foundation
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("PROXY header") struct ProxyHeaderTests {
    private typealias Version = SiteServerConfiguration.ProxyProtocol.Version

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// A header of version 2.
    static func binary(command: UInt8 = 0x21, family: UInt8, _ fields: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = UInt16(length ?? fields.count)
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xFF)] + fields
    }

    static let addresses4: [UInt8] = [192, 0, 2, 5, 10, 0, 0, 1, 0x18, 0x83, 0x07, 0x5B]

    static func field(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        [type, UInt8(value.count >> 8), UInt8(value.count & 0xFF)] + value
    }

    /// The field about TLS: what the client did, what verifying said, and the common name.
    static func tls(client: UInt8, verify: UInt8, name: [UInt8]) -> [UInt8] {
        field(0x20, [client, 0, 0, 0, verify] + field(0x21, Array("TLSv1.3".utf8)) + field(0x22, name))
    }

    private func parse(_ bytes: [UInt8], _ version: Version = .any) throws -> (header: ProxyHeader, rest: [UInt8])? {
        var buffer = ByteBuffer(bytes: bytes)
        guard let header = try ProxyHeader.parse(&buffer, version: version) else {
            #expect(Array(buffer.readableBytesView) == bytes, "nothing is taken")
            return nil
        }
        return (header, Array(buffer.readableBytesView))
    }

    @Test("Version 1 says the client's address; what follows the header stays", arguments: [Version.v1, .any])
    func line(version: SiteServerConfiguration.ProxyProtocol.Version) throws {
        let four = try #require(try parse(Array("PROXY TCP4 192.0.2.5 10.0.0.1 6275 1883\r\n\u{10}".utf8), version))
        #expect(four.header == ProxyHeader(source: .client("192.0.2.5")))
        #expect(four.rest == [0x10])
        let six = try #require(try parse(Array("PROXY TCP6 2001:db8::5 ::1 6275 1883\r\n".utf8), version))
        #expect(six.header.source == .client("2001:db8::5"))
        let unknown = try #require(try parse(Array("PROXY UNKNOWN ffff::1 what ever\r\nx".utf8), version))
        #expect(unknown.header.source == .proxy)
        #expect(unknown.rest == [0x78])
    }

    @Test("Version 2 says addresses of every family, and nothing of a health check")
    func binaryAddresses() throws {
        let four = try #require(try parse(Self.binary(family: 0x11, Self.addresses4) + [0x10]))
        #expect(four.header == ProxyHeader(source: .client("192.0.2.5")))
        #expect(four.rest == [0x10])
        let address6: [UInt8] = [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [5]
        let six = try #require(try parse(Self.binary(family: 0x21, address6 + address6 + [0, 1, 0, 2])))
        #expect(six.header.source == .client("2001:db8::5"))
        let path = Array("/run/till.sock".utf8)
        let unix = path + [UInt8](repeating: 0, count: 216 - path.count)
        #expect(try parse(Self.binary(family: 0x31, unix))?.header.source == .client("/run/till.sock"))
        #expect(try parse(Self.binary(command: 0x20, family: 0, []))?.header.source == .proxy)
        #expect(try parse(Self.binary(command: 0x20, family: 0x11, Self.addresses4))?.header.source == .proxy)
        #expect(try parse(Self.binary(family: 0, [1, 2, 3]))?.header.source == .proxy)
    }

    @Test(
        "The common name counts only with a certificate that the proxy verified",
        arguments: [
            (0x07, 0, "till-7", true, true, "till-7"), (0x05, 0, "till-7", true, true, "till-7"),
            (0x01, 0, "till-7", true, false, nil), (0x07, 1, "till-7", true, false, nil),
            (0x06, 0, "till-7", false, false, nil), (0x07, 0, "till\u{0}7", true, true, nil),
            (0x07, 0, "", true, true, nil),
        ] as [(UInt8, UInt8, String, Bool, Bool, String?)]
    )
    func identity(
        client: UInt8,
        verify: UInt8,
        name: String,
        isTLS: Bool,
        isVerified: Bool,
        expected: String?
    ) throws {
        let tls = Self.tls(client: client, verify: verify, name: Array(name.utf8))
        let fields = Self.addresses4 + Self.field(0x04, [0, 0]) + tls
        let header = try #require(try parse(Self.binary(family: 0x11, fields))).header
        #expect(header.isTLS == isTLS)
        #expect(header.isCertificateVerified == isVerified)
        #expect(header.commonName == expected)
    }

    @Test("A common name that is no UTF-8 is no name, rather than a repaired one that others may have too")
    func brokenName() throws {
        let tls = Self.tls(client: 7, verify: 0, name: [0xFF, 0xFE])
        let header = try #require(try parse(Self.binary(family: 0x11, Self.addresses4 + tls))).header
        #expect(header.isCertificateVerified)
        #expect(header.commonName == nil)
    }

    @Test(
        "What is no header is refused",
        arguments: [
            "MQTT", "P\u{0}", "PROXY TCP4 192.0.2.5 10.0.0.1 6275\r\n", "PROXY TCP4 192.0.2.5 10.0.0.1 6275 1883 x\r\n",
            "PROXY TCP4 ::1 10.0.0.1 6275 1883\r\n", "PROXY TCP6 192.0.2.5 ::1 6275 1883\r\n",
            "PROXY TCP4 192.0.2.5 10.0.0.1 65536 1883\r\n", "PROXY TCP4 192.0.2.5 10.0.0.1 01 1883\r\n",
            "PROXY TCP4 192.0.2.5 10.0.0.1 -1 1883\r\n", "PROXY  TCP4 192.0.2.5 10.0.0.1 1 1883\r\n",
            "PROXY UDP4 192.0.2.5 10.0.0.1 1 2\r\n", "PROXY TCP4 192.0.2.5 10.0.0.1 6275 1883\n",
            "PROXY TCP4 192.0.2.999 10.0.0.1 6275 1883\r\n", "PROXY TCP4 192.0.2.5\0 10.0.0.1 6275 1883\r\n",
            "PROXY \r\n",
            "PROXY UNKNOWN" + String(repeating: "x", count: 95),
        ]
    )
    func badLines(text: String) {
        #expect(throws: ProxyHeader.Violation.self) { try self.parse(Array(text.utf8)) }
    }

    @Test("What is no header of version 2 is refused, from the length alone where that is wrong")
    func badBinary() {
        var wrongSignature = Self.binary(family: 0x11, Self.addresses4)
        wrongSignature[11] = 0
        for bytes in [
            wrongSignature, Self.binary(command: 0x11, family: 0x11, Self.addresses4),
            Self.binary(command: 0x22, family: 0x11, Self.addresses4), Self.binary(family: 0x12, Self.addresses4),
            Self.binary(family: 0x11, Array(Self.addresses4.dropLast())), Self.binary(family: 0x21, Self.addresses4),
            Self.binary(family: 0x31, Self.addresses4), Self.binary(family: 0x11, [], length: 2_033),
            Self.binary(family: 0x11, [], length: 65_535), Self.binary(family: 0x11, Self.addresses4 + [0x20]),
            Self.binary(family: 0x11, Self.addresses4 + [0x20, 0, 9]),
            Self.binary(family: 0x11, Self.addresses4 + Self.field(0x20, [1, 0])),
            Self.binary(family: 0x11, Self.addresses4 + Self.field(0x20, [1, 0, 0, 0, 0, 0x22, 0, 5])),
        ] {
            #expect(throws: ProxyHeader.Violation.self, "\(bytes)") { try self.parse(bytes) }
        }
    }

    @Test("A version that is not expected is refused")
    func wrongVersion() {
        #expect(throws: ProxyHeader.Violation.self) {
            try self.parse(Array("PROXY TCP4 192.0.2.5 10.0.0.1 6275 1883\r\n".utf8), .v2)
        }
        #expect(throws: ProxyHeader.Violation.self) {
            try self.parse(Self.binary(family: 0x11, Self.addresses4), .v1)
        }
    }

    @Test("A header may come in any pieces")
    func pieces() throws {
        let tls = Self.tls(client: 7, verify: 0, name: Array("till-7".utf8))
        for whole in [
            Array("PROXY TCP4 192.0.2.5 10.0.0.1 6275 1883\r\n".utf8),
            Self.binary(family: 0x11, Self.addresses4 + tls),
        ] {
            for count in 0..<whole.count { #expect(try parse(Array(whole[..<count])) == nil) }
            #expect(try parse(whole)?.header.source == .client("192.0.2.5"))
        }
    }

    @Test("Networks hold their addresses, of either family")
    func networks() throws {
        let ten = try #require(NetworkPrefix("10.0.0.0/8"))
        #expect(ten.contains("10.255.0.1"))
        #expect(ten.contains("::ffff:10.1.2.3"))
        #expect(!ten.contains("11.0.0.1"))
        #expect(!ten.contains("::1"))
        #expect(!ten.contains("local"))
        #expect(try #require(NetworkPrefix("192.168.4.128/25")).contains("192.168.4.200"))
        #expect(try !#require(NetworkPrefix("192.168.4.128/25")).contains("192.168.4.100"))
        #expect(try #require(NetworkPrefix("127.0.0.1")).contains("127.0.0.1"))
        #expect(try #require(NetworkPrefix("2001:db8::/33")).contains("2001:db8:7fff::1"))
        #expect(try !#require(NetworkPrefix("2001:db8::/33")).contains("2001:db8:8000::1"))
        #expect(try #require(NetworkPrefix("0.0.0.0/0")).contains("8.8.8.8"))
        for text in [
            "", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/8/8", "local", "1.2.3.4/+8",
            "10.0.0.0\0", "10.0.0.0\0/8", "::1\0",
        ] {
            #expect(NetworkPrefix(text) == nil, "\(text)")
        }
    }

    @Test("Addresses of IPv6 count by their /64")
    func keys() {
        #expect(PeerAddress.key("2001:db8::1") == PeerAddress.key("2001:db8::ffff:1"))
        #expect(PeerAddress.key("2001:db8::1") != PeerAddress.key("2001:db8:0:1::1"))
        #expect(PeerAddress.key("192.0.2.5") == "192.0.2.5")
        #expect(PeerAddress.key("local") == "local")
    }
}

@Suite("Behind a proxy", .serialized) struct ProxyListenerTests {
    private func listener(_ proxy: SiteServerConfiguration.ProxyProtocol) -> SiteServerConfiguration.Listener {
        var listener = TestServer.plain
        listener.proxyProtocol = proxy
        return listener
    }

    /// Sees what the core is told of a connection.
    private final class Witness: Authenticator {
        let seen: @Sendable (AuthenticationRequest) -> AuthenticationResult

        init(_ seen: @escaping @Sendable (AuthenticationRequest) -> AuthenticationResult) { self.seen = seen }

        func authenticate(
            _ request: AuthenticationRequest,
            completion: @escaping @Sendable (AuthenticationResult) -> Void
        ) { completion(seen(request)) }
    }

    @Test("The client's address is the one that the header says, and CONNECT may come with the header")
    func address() async throws {
        let witness = Witness { $0.info.remoteAddress == "192.0.2.5" ? .accepted(username: nil) : .refused(.banned) }
        try await TestServer.with([listener(.init(version: .any))], authenticator: witness) { server in
            for header in [
                Array("PROXY TCP4 192.0.2.5 10.0.0.1 6275 1883\r\n".utf8),
                ProxyHeaderTests.binary(family: 0x11, ProxyHeaderTests.addresses4),
            ] {
                let together = try RawClient(port: server.port)
                try together.send(bytes: header + together.encoded(.connect(.init(clientID: "together"))))
                guard case .connack(let connack) = try together.next() else {
                    throw DeadlinePassed(description: "CONNACK")
                }
                #expect(connack.reason == .success)
                let pieces = try RawClient(port: server.port)
                for byte in header { try pieces.send(bytes: [byte]) }
                #expect(try pieces.connect("pieces").reason == .success)
            }
            let health = try RawClient(port: server.port)
            try health.send(bytes: ProxyHeaderTests.binary(command: 0x20, family: 0, []))
            #expect(try health.connect("health").reason == .banned)
        }
    }

    @Test("The proxy's word for the certificate is the user name, where it is asked for")
    func identity() async throws {
        let proxy = SiteServerConfiguration.ProxyProtocol(
            version: .v2,
            requireTLS: true,
            requireCertificate: true,
            useIdentityAsUsername: true
        )
        let witness = Witness { request in
            guard request.info.useIdentityAsUsername else { return .refused(.banned) }
            return .accepted(username: request.info.certificateIdentity)
        }
        let rules = [RuleAuthorizer.Rule(users: ["till-7"], publish: ["#"], subscribe: ["#"])]
        try await TestServer.with([listener(proxy)], authenticator: witness, rules: rules) { server in
            let fields =
                ProxyHeaderTests.addresses4 + ProxyHeaderTests.tls(client: 7, verify: 0, name: Array("till-7".utf8))
            let client = try RawClient(port: server.port)
            try client.send(bytes: ProxyHeaderTests.binary(family: 0x11, fields))
            try client.connect("c", username: "other")
            #expect(try client.subscribe("a") == [.success])
            for (flags, verify) in [(0x01, 0), (0x07, 1), (0x00, 0)] as [(UInt8, UInt8)] {
                let fields =
                    ProxyHeaderTests.addresses4
                    + ProxyHeaderTests.tls(client: flags, verify: verify, name: Array("till-7".utf8))
                let refused = try RawClient(port: server.port)
                try refused.send(bytes: ProxyHeaderTests.binary(family: 0x11, fields))
                #expect(try refused.untilClosed().isEmpty)
            }
            let local = try RawClient(port: server.port)
            try local.send(bytes: ProxyHeaderTests.binary(command: 0x20, family: 0, []))
            #expect(try local.untilClosed().isEmpty)
            #expect(server.server.metrics.handshakeFailures == 4)
        }
    }

    @Test("A proxy that is not trusted, no header, half a header: closed, the last one when its time is over")
    func refused() async throws {
        var limits = SiteServerLimits()
        limits.handshakeSeconds = 1
        let strangers = SiteServerConfiguration.ProxyProtocol(version: .any, trustedNetworks: ["10.0.0.0/8"])
        let friends = SiteServerConfiguration.ProxyProtocol(
            version: .any,
            trustedNetworks: ["10.0.0.0/8", "127.0.0.1"]
        )
        try await TestServer.with([listener(strangers), listener(friends)], limits: limits) { server in
            #expect(try RawClient(port: server.listeners[0].port).untilClosed().isEmpty)
            let plain = try RawClient(port: server.listeners[1].port)
            try plain.send(.connect(.init(clientID: "plain")))
            #expect(try plain.untilClosed().isEmpty)
            let half = try RawClient(port: server.listeners[1].port)
            try half.send(bytes: Array("PROXY TCP4 192.0".utf8))
            #expect(try half.untilClosed().isEmpty)
            #expect(server.server.metrics.handshakeTimeouts == 1)
            #expect(server.server.metrics.handshakeFailures == 2)
            let fine = try RawClient(port: server.listeners[1].port)
            try fine.send(bytes: Array("PROXY UNKNOWN\r\n".utf8))
            #expect(try fine.connect("fine").reason == .success)
        }
    }

    @Test("The limit per address counts the client's address, not the proxy's")
    func limitPerAddress() async throws {
        var limits = SiteServerLimits()
        limits.connectionsPerAddressMax = 1
        try await TestServer.with([listener(.init(version: .v1))], limits: limits) { server in
            func client(_ address: String) throws -> RawClient {
                let client = try RawClient(port: server.port)
                try client.send(bytes: Array("PROXY TCP4 \(address) 10.0.0.1 1 2\r\n".utf8))
                return client
            }
            let first = try client("192.0.2.1")
            try first.connect("first")
            let second = try client("192.0.2.2")
            try second.connect("second")
            #expect(try client("192.0.2.1").untilClosed().isEmpty)
            #expect(try first.isAlive())
            #expect(try second.isAlive())
        }
    }

    @Test("Options that version 1 cannot keep, and networks that are none, are refused at the start")
    func badOptions() async throws {
        for proxy in [
            SiteServerConfiguration.ProxyProtocol(version: .v1, requireTLS: true),
            .init(version: .v2, trustedNetworks: ["10.0.0.0/99"]), .init(version: .v2, useIdentityAsUsername: true),
        ] {
            await #expect(throws: SiteServerError.self) { try await TestServer.with([listener(proxy)]) { _ in } }
        }
    }
}
