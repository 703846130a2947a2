import Broker
import Foundation
import MQTT
import NIOCore
import NIOSSL
import SwiftASN1
import Synchronization
import Testing
import X509

@testable import SiteServer

@Suite("Revocation, reload and names", .serialized) struct CertificateTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates() }

    private func listener(
        _ client: SiteServerConfiguration.TLS.ClientCertificate = .required,
        list: String? = nil,
        certificate: String = "server"
    ) -> SiteServerConfiguration.Listener {
        var tls = SiteServerConfiguration.TLS(
            certificateFile: certificates.path("\(certificate).pem"),
            keyFile: certificates.path("\(certificate).key"),
            authorityFile: certificates.path("ca.pem")
        )
        tls.clientCertificate = client
        tls.revocationFile = list.map { certificates.path($0) }
        return .init(name: "tls", host: "127.0.0.1", port: 0, tls: tls, allowAnonymous: true)
    }

    private func arguments(_ server: TestServer, _ client: String?, authority: String = "ca") -> [String] {
        let named = client.map { ["--cert", certificates.path("\($0).pem"), "--key", certificates.path("\($0).key")] }
        return ["-h", "localhost", "-p", "\(server.port)", "--cafile", certificates.path("\(authority).pem")]
            + (named ?? [])
    }

    private func publishes(_ server: TestServer, _ client: String?, authority: String = "ca") throws -> Bool {
        let more = ["-t", "t", "-m", "m", "-q", "1"]
        return try Tool.run("mosquitto_pub", arguments(server, client, authority: authority) + more).status == 0
    }

    /// Expects that a client with this certificate can publish, or cannot.
    private func expect(
        _ isLetIn: Bool,
        _ server: TestServer,
        _ client: String?,
        authority: String = "ca",
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let publishes = try publishes(server, client, authority: authority)
        #expect(publishes == isLetIn, "\(client ?? "nobody"): \(server.log.tlsReasons)", sourceLocation: location)
    }

    // MARK: - Lists

    @Test("A revoked client is kept out with a line that says so; others get in")
    func revoked() async throws {
        try certificates.issue("till-8", by: "ca", "extendedKeyUsage=clientAuth")
        try certificates.list("one", revoked: ["till-7"])
        try await TestServer.with([listener(list: "one.crl")]) { server in
            try expect(true, server, "till-8")
            try expect(false, server, "till-7")
            #expect(server.log.tlsReasons == ["the client's certificate is revoked"])
            #expect(server.server.metrics.certificatesRevoked == 1)
            #expect(server.server.metrics.tlsFailures == 1)
        }
    }

    @Test("A list that is out of date, or of another authority alone, lets nobody in")
    func stale() async throws {
        try certificates.list("old", revoked: [], isOld: true)
        try await TestServer.with([listener(list: "old.crl")]) { server in
            try expect(false, server, "till-7")
            #expect(server.log.tlsReasons.first?.contains("out of date") == true)
        }
        let both = try ["ca.pem", "other.pem"].map {
            try String(contentsOfFile: certificates.path($0), encoding: .utf8)
        }
        try both.joined().write(toFile: certificates.path("both.pem"), atomically: true, encoding: .utf8)
        try certificates.list("others", by: "other", revoked: [])
        var listener = listener(list: "others.crl")
        listener.tls?.authorityFile = certificates.path("both.pem")
        try await TestServer.with([listener]) { server in
            try expect(false, server, "till-7")
            #expect(server.log.tlsReasons.first?.contains("there is no list") == true)
            try expect(true, server, "stranger")
        }
    }

    @Test("Lists that nobody in cafile signed, that are altered or are none are refused at the start")
    func badLists() async throws {
        try certificates.list("others", by: "other", revoked: ["till-7"])
        try certificates.list("good", revoked: ["till-7"])
        let good = try PEMDocument(pemString: String(contentsOfFile: certificates.path("good.crl"), encoding: .utf8))
        for (index, position) in [40, good.derBytes.count - 90, good.derBytes.count - 3].enumerated() {
            var bytes = good.derBytes
            bytes[position] ^= 1
            try PEMDocument(type: "X509 CRL", derBytes: bytes).pemString
                .write(toFile: certificates.path("altered-\(index).crl"), atomically: true, encoding: .utf8)
        }
        let names = [
            "others.crl", "altered-0.crl", "altered-1.crl", "altered-2.crl", "ca.pem", "ca.key", "missing.crl",
        ]
        for name in names {
            let error = await #expect(throws: SiteServerError.self, "\(name)") {
                try await TestServer.with([listener(list: name)]) { _ in }
            }
            #expect(error?.code == .tlsConfiguration)
            #expect(error?.message.contains(name) == true)
        }
    }

    // MARK: - Reload

    @Test("S13: fifty reloads drop nobody; whoever is revoked by then is gone at once, 5.0 clients with the reason")
    func reload() async throws {
        try certificates.issue("till-8", by: "ca", "extendedKeyUsage=clientAuth")
        try certificates.list("none", revoked: [])
        try certificates.list("one", revoked: ["till-7"])
        try await TestServer.with([listener(list: "none.crl")]) { server in
            let stays = try Tool("mosquitto_sub", arguments(server, "till-8") + ["-t", "#", "-C", "1", "-W", "60"])
            let goes = try Tool(
                "mosquitto_sub",
                arguments(server, "till-7") + ["-V", "mqttv5", "-t", "x", "-W", "60", "-d"]
            )
            try await server.subscriptions(2)
            for round in 0..<50 {
                let report = try await server.server.reload(listeners: [listener(list: "none.crl")])
                #expect(report == ListenerReload(reloaded: ["tls"]), "round \(round)")
            }
            #expect(server.server.metrics.connectionsOpen == 2)
            let report = try await server.server.reload(listeners: [listener(list: "one.crl")])
            #expect(report.closed == 1)
            try eventually("the revoked client is told", seconds: 5) { goes.text.contains("(135)") }
            try eventually("the revoked client is gone", seconds: 5) { server.server.metrics.connectionsOpen <= 1 }
            try expect(false, server, "till-7")
            try expect(true, server, "till-8")
            let status = try stays.wait()
            #expect(status == 0)
        }
    }

    @Test("Whoever connects after a reload sees the new certificate, and is judged by the new authority")
    func newFiles() async throws {
        try certificates.issue("second", by: "other", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        try await TestServer.with([listener()]) { server in
            let before = try Tool("mosquitto_sub", arguments(server, "till-7") + ["-t", "#", "-C", "1", "-W", "30"])
            try await server.subscriptions(1)
            var next = listener(certificate: "second")
            next.tls?.authorityFile = certificates.path("other.pem")
            let report = try await server.server.reload(listeners: [next])
            #expect(report.certificates.map(\.listener) == ["tls"])
            #expect(report.certificates.first?.file == certificates.path("second.pem"))
            #expect(report.certificates.first?.fingerprint.count == 64)
            let again = try await server.server.reload(listeners: [next])
            #expect(again.certificates.isEmpty, "it is the same one")
            try expect(false, server, "stranger")
            try expect(false, server, "till-7", authority: "other")
            try expect(true, server, "stranger", authority: "other")
            let status = try before.wait()
            #expect(status == 0, "who was there stayed")
        }
    }

    @Test("C10: a set with one bad file changes nothing, and says which file it is")
    func badReload() async throws {
        try certificates.list("one", revoked: ["till-7"])
        var other = listener()
        other.name = "second"
        try await TestServer.with([listener(), other]) { server in
            var bad = other
            bad.tls?.keyFile = certificates.path("till-7.key")
            // The first one alone would keep till-7 out.
            for broken in ["missing.crl", "ca.key"] {
                let error = await #expect(throws: SiteServerError.self) {
                    try await server.server.reload(listeners: [listener(list: broken), other])
                }
                #expect(error?.message.contains(broken) == true)
            }
            await #expect(throws: SiteServerError.self) {
                try await server.server.reload(listeners: [listener(list: "one.crl"), bad])
            }
            try expect(true, server, "till-7")
        }
    }

    @Test("Listeners that are new, gone or bound elsewhere are told of, and the others reloaded")
    func needRestart() async throws {
        var second = TestServer.plain
        second.name = "second"
        var third = TestServer.plain
        third.name = "third"
        try await TestServer.with([TestServer.plain, second, third]) { server in
            var fourth = TestServer.plain
            fourth.name = "fourth"
            var moved = second
            moved.host = "127.0.0.2"
            var strict = TestServer.plain
            strict.allowAnonymous = false
            let report = try await server.server.reload(listeners: [strict, moved, fourth])
            #expect(report == ListenerReload(reloaded: ["plain"], needRestart: ["second", "fourth", "third"]))
            #expect(try RawClient(port: server.port).connect("a").reason == .notAuthorized)
            #expect(try RawClient(port: server.listeners[1].port).connect("a").reason == .success)
        }
    }

    // MARK: - Names

    @Test("A certificate that is asked for and not required: verified if shown, not missed if not")
    func optional() async throws {
        try await TestServer.with([listener(.optional)]) { server in
            try expect(true, server, nil)
            try expect(true, server, "till-7")
            try expect(false, server, "stranger")
            try expect(false, server, "expired")
        }
    }

    /// Remembers who came.
    private final class Guests: Authenticator {
        let names = Mutex<[String?]>([])

        func authenticate(
            _ request: AuthenticationRequest,
            completion: @escaping @Sendable (AuthenticationResult) -> Void
        ) {
            let info = request.info
            names.withLock { $0.append(info.useIdentityAsUsername ? info.certificateIdentity ?? "none" : nil) }
            completion(.accepted(username: nil))
        }
    }

    @Test("The whole subject is the user name, as OpenSSL writes it by RFC 2253")
    func subject() async throws {
        let subjects = [
            "/C=DE/O=Clinic, North/OU=Ward 7/CN=till-7", "/DC=com/DC=example/CN= lead+trail /emailAddress=a@b.example",
            "/CN=#1 \"quoted\" <x>;y/UID=9/serialNumber=S1", "/O=K\u{FC}che/CN=a\\=b", "/C=DE/CN=two+OU=parts",
        ]
        let guests = Guests()
        var subject = listener()
        subject.tls?.useSubjectAsUsername = true
        try await TestServer.with([subject], authenticator: guests) { server in
            for (index, subject) in subjects.enumerated() {
                try certificates.issue("s\(index)", by: "ca", "extendedKeyUsage=clientAuth", subject: subject)
                try expect(true, server, "s\(index)")
                let told = try Tool.run(
                    "openssl",
                    ["x509", "-in", certificates.path("s\(index).pem"), "-noout", "-subject", "-nameopt", "RFC2253"]
                )
                let expected = told.text.trimmingCharacters(in: .newlines).dropFirst("subject=".count)
                #expect(guests.names.withLock { $0.last ?? "" } == String(expected), "\(subject)")
            }
        }
    }

    @Test("With an optional certificate, who shows one goes by it, and who shows none by what CONNECT says")
    func optionalIdentity() async throws {
        let guests = Guests()
        var identity = listener(.optional)
        identity.tls?.useIdentityAsUsername = true
        try await TestServer.with([identity], authenticator: guests) { server in
            try expect(true, server, "till-7")
            try expect(true, server, nil)
            #expect(guests.names.withLock { $0 } == ["till-7", nil])
        }
    }

    @Test("The modern profile speaks TLS 1.3 alone; ciphers of TLS 1.2 can be named")
    func profiles() async throws {
        var modern = listener(.none)
        modern.tls?.profile = .modern
        var one = listener(.none)
        one.tls?.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"
        try await TestServer.with([modern, one]) { server in
            for (index, options, expected, isFound) in [
                (0, ["-tls1_2"], "CONNECTION ESTABLISHED", false), (0, ["-tls1_3"], "CONNECTION ESTABLISHED", true),
                (1, ["-tls1_2"], "ECDHE-ECDSA-AES256-GCM-SHA384", true),
                (1, ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "CONNECTION ESTABLISHED", false),
            ] {
                let port = server.listeners[index].port
                let result = try Tool.run("openssl", ["s_client", "-connect", "127.0.0.1:\(port)", "-brief"] + options)
                #expect(result.text.contains(expected) == isFound, "\(options): \(result.text)")
            }
        }
    }

    @Test("A9: a client that wants to renegotiate is closed")
    func renegotiation() async throws {
        try await TestServer.with([listener(.none)]) { server in
            let script = "(sleep 1; echo R; sleep 3) | openssl s_client -connect 127.0.0.1:\(server.port) -tls1_2"
            let result = try Tool.run("bash", ["-c", script])
            #expect(result.text.contains("RENEGOTIATING"))
            #expect(server.server.metrics.tlsFailures == 1)
            #expect(server.server.metrics.connectionsOpen == 0)
        }
    }

    @Test("A9: half handshakes of many connections together stay within the budget, and are closed in time")
    func halfHandshakes() async throws {
        var limits = SiteServerLimits()
        limits.handshakeSeconds = 1
        limits.preConnectBytesMax = 64 << 10
        try await TestServer.with([listener(.none), TestServer.plain], limits: limits) { server in
            let witness = try RawClient(port: server.listeners[1].port)
            try witness.connect("witness")
            // A handshake record of 16 KiB that never ends, eight times: beyond the budget of all together.
            let drips = try (0..<8).map { _ in
                let client = try RawClient(port: server.port)
                try client.send(bytes: [0x16, 0x03, 0x01, 0x3F, 0xFF] + [UInt8](repeating: 1, count: 12_000))
                return client
            }
            for client in drips { _ = try? client.receiveAll() }
            try eventually("all are gone") { server.server.metrics.connectionsOpen == 1 }
            // Five fit; the sixth is refused and gives its room back, and so on.
            #expect(server.server.metrics.connectionsRefused == 3)
            #expect(server.server.metrics.handshakeTimeouts == 5)
            #expect(try witness.isAlive())
        }
    }

    @Test("A proxy that passes TLS through says the address first; the client's own certificate is its name")
    func proxyBeforeTLS() async throws {
        var listener = listener()
        listener.tls?.useIdentityAsUsername = true
        listener.proxyProtocol = .init(version: .any, trustedNetworks: ["127.0.0.0/8"])
        let guests = Guests()
        try await TestServer.with([listener], authenticator: guests) { server in
            let script = """
                import socket, ssl
                raw = socket.create_connection(("127.0.0.1", \(server.port)), 10)
                raw.sendall(b"PROXY TCP4 192.0.2.5 10.0.0.1 6275 8883\\r\\n")
                context = ssl.create_default_context(cafile="\(certificates.path("ca.pem"))")
                context.load_cert_chain("\(certificates.path("till-7.pem"))", "\(certificates.path("till-7.key"))")
                client = context.wrap_socket(raw, server_hostname="localhost")
                client.sendall(bytes.fromhex("100c00044d5154540402003c0000"))
                print(client.recv(4).hex())
                """
            let result = try Tool.run("python3", ["-c", script])
            #expect(result.text.contains("20020000"), "\(result.text) \(server.log.tlsReasons)")
            #expect(guests.names.withLock { $0 } == ["till-7"])
            #expect(server.server.metrics.handshakeFailures == 0)
        }
    }

    @Test("MQTT over WebSocket over TLS")
    func webSocketOverTLS() async throws {
        var listener = listener(.none)
        listener.transport = .webSockets(.init())
        try await TestServer.with([listener]) { server in
            let script = """
                (printf 'GET /mqtt HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'
                printf 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n'
                printf 'Sec-WebSocket-Protocol: mqtt\\r\\n\\r\\n'
                printf '\\x82\\x8e\\x00\\x00\\x00\\x00\\x10\\x0c\\x00\\x04MQTT\\x04\\x02\\x00\\x3c\\x00\\x00'
                sleep 2) | openssl s_client -connect 127.0.0.1:\(server.port) 2>/dev/null | od -v -An -tx1
                """
            let result = try Tool.run("bash", ["-c", script])
            let hexadecimal = result.text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            #expect(hexadecimal.contains("0d 0a 0d 0a 82 04 20 02 00 00"), "\(hexadecimal)")
        }
    }
}
