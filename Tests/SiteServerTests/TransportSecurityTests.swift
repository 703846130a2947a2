import Access
import Foundation
import MQTT
import Testing

@testable import SiteServer

@Suite("TLS", .serialized) struct TransportSecurityTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates() }

    private func listener(
        mutual: Bool = false,
        identity: Bool = false,
        minimum: SiteServerConfiguration.TLS.Version = .tls12
    ) -> SiteServerConfiguration.Listener {
        .init(
            name: "tls",
            host: "127.0.0.1",
            port: 0,
            tls: .init(
                certificateFile: certificates.path("server.pem"),
                keyFile: certificates.path("server.key"),
                authorityFile: certificates.path("ca.pem"),
                requireCertificate: mutual,
                useIdentityAsUsername: identity,
                minimumVersion: minimum
            ),
            allowAnonymous: true
        )
    }

    private func publish(
        _ server: TestServer,
        _ more: [String] = [],
        authority: String = "ca",
        client: String? = nil
    ) throws -> (status: Int32, text: String) {
        var arguments = ["-h", "localhost", "-p", "\(server.port)", "--cafile", certificates.path("\(authority).pem")]
        if let client {
            arguments += ["--cert", certificates.path("\(client).pem"), "--key", certificates.path("\(client).key")]
        }
        return try Tool.run("mosquitto_pub", arguments + ["-t", "t", "-m", "m", "-q", "1"] + more)
    }

    @Test("Messages pass over TLS 1.2 and 1.3", arguments: ["tlsv1.2", "tlsv1.3"])
    func versions(version: String) async throws {
        try await TestServer.with([listener()]) { server in
            let arguments = [
                "-h", "localhost", "-p", "\(server.port)", "--cafile", certificates.path("ca.pem"),
                "--tls-version", version,
            ]
            let subscriber = try Tool("mosquitto_sub", arguments + ["-t", "t", "-C", "1", "-W", "15", "-q", "2"])
            try await server.subscriptions(1)
            let result = try publish(server, ["--tls-version", version])
            #expect(result.status == 0, "\(result.text)")
            #expect(try subscriber.wait() == 0)
            #expect(server.server.metrics.tlsFailures == 0)
        }
    }

    @Test("TLS 1.1 is refused everywhere, TLS 1.2 where the floor is 1.3, with one line that says so")
    func versionFloor() async throws {
        try await TestServer.with([listener(), listener(minimum: .tls13)]) { server in
            for (bound, version) in zip(server.listeners, ["-tls1_1", "-tls1_2"]) {
                let client = try Tool.run(
                    "openssl",
                    [
                        "s_client", "-connect", "127.0.0.1:\(bound.port)", version, "-cipher", "ALL:@SECLEVEL=0",
                        "-brief",
                    ]
                )
                #expect(!client.text.contains("CONNECTION ESTABLISHED"), "\(client.text)")
            }
            try eventually("both failures") { server.server.metrics.tlsFailures == 2 }
            let reasons = server.log.tlsReasons
            #expect(reasons.allSatisfy { $0.contains("offers no TLS version") }, "\(reasons)")
        }
    }

    @Test("A client certificate of our authority is let in where one is required")
    func mutual() async throws {
        try await TestServer.with([listener(mutual: true)]) { server in
            let result = try publish(server, client: "till-7")
            #expect(result.status == 0, "\(result.text)")
        }
    }

    @Test(
        "Without a certificate, with a stranger's or with an expired one, nobody gets in; one line says why",
        arguments: [
            (nil, "showed no certificate"), ("stranger", "authority that is not trusted"), ("expired", "has expired"),
        ] as [(String?, String)]
    )
    func refused(client: String?, reason: String) async throws {
        try await TestServer.with([listener(mutual: true), TestServer.plain]) { server in
            let witness = try RawClient(port: server.listeners[1].port)
            try witness.connect("witness")
            let result = try publish(server, client: client)
            #expect(result.status != 0)
            try eventually("the failure is counted") { server.server.metrics.tlsFailures == 1 }
            let reasons = server.log.tlsReasons
            #expect(reasons.count == 1)
            #expect(reasons.first?.contains(reason) == true, "\(reasons)")
            #expect(try witness.isAlive())
        }
    }

    @Test("A client that does not trust our certificate is told of in the log")
    func wrongAuthority() async throws {
        try await TestServer.with([listener()]) { server in
            let result = try publish(server, authority: "other")
            #expect(result.status != 0)
            try eventually("the failure is counted") { server.server.metrics.tlsFailures == 1 }
            let reasons = server.log.tlsReasons
            #expect(reasons.first?.contains("trust") == true, "\(reasons)")
        }
    }

    @Test("The common name of the certificate is the user name, whatever CONNECT says")
    func identity() async throws {
        let rules = [RuleAuthorizer.Rule(users: ["till-7"], publish: ["till/%u/#"])]
        try await TestServer.with([listener(mutual: true, identity: true)], rules: rules) { server in
            for (topic, isAllowed) in [("till/till-7/sale", true), ("till/till-8/sale", false)] {
                let result = try publish(
                    server,
                    ["-V", "mqttv5", "-t", topic, "-u", "somebody", "-P", "else", "-d"],
                    client: "till-7"
                )
                #expect(result.text.contains("Not authorized") == !isAllowed, "\(result.text)")
            }
        }
    }

    @Test("Plain MQTT on the TLS port fails with a line that says so")
    func plainOnTLS() async throws {
        try await TestServer.with([listener()]) { server in
            let client = try RawClient(port: server.port)
            try client.send(.connect(.init(clientID: "plain")))
            _ = try? client.untilClosed()
            try eventually("the failure is counted") { server.server.metrics.tlsFailures == 1 }
            let reasons = server.log.tlsReasons
            #expect(reasons.first?.contains("does not speak TLS") == true, "\(reasons)")
        }
    }

    @Test("A handshake that does not go on is ended in time")
    func handshakeDeadline() async throws {
        var limits = SiteServerLimits()
        limits.handshakeSeconds = 1
        try await TestServer.with([listener()], limits: limits) { server in
            let client = try RawClient(port: server.port)
            try client.send(bytes: [0x16, 0x03, 0x01])
            _ = try? client.untilClosed()
            #expect(server.server.metrics.handshakeTimeouts == 1)
            try eventually("the connection is gone") { server.server.metrics.connectionsOpen == 0 }
        }
    }

    @Test("Files that cannot be used are refused at the start, with the file's name")
    func badFiles() async throws {
        let good = listener()
        var cases: [(SiteServerConfiguration.TLS, String)] = []
        for (name, change) in [
            ("missing.pem", \SiteServerConfiguration.TLS.certificateFile), ("missing.key", \.keyFile),
        ] {
            var tls = try #require(good.tls)
            tls[keyPath: change] = certificates.path(name)
            cases.append((tls, name))
        }
        var tls = try #require(good.tls)
        tls.keyFile = certificates.path("till-7.key")
        cases.append((tls, "does the key belong to it"))
        tls = try #require(good.tls)
        tls.requireCertificate = true
        tls.authorityFile = certificates.path("server.key")
        cases.append((tls, "server.key"))
        tls = try #require(good.tls)
        tls.useIdentityAsUsername = true
        cases.append((tls, "require_certificate"))
        for (tls, text) in cases {
            var bad = good
            bad.tls = tls
            let error = await #expect(throws: SiteServerError.self) { try await TestServer.with([bad]) { _ in } }
            #expect(error?.code == .tlsConfiguration)
            #expect(error?.message.contains(text) == true, "\(String(describing: error))")
        }
    }
}
