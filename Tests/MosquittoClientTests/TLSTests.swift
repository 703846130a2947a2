import Foundation
import MosquittoClient
import MosquittoFixture
import Testing

@Suite("TLS", .serialized)
struct TLSTests {
    private func connect(
        _ port: UInt16,
        _ context: MosquittoTLSContext
    ) throws -> (MosquittoConnection, EventLog) {
        var configuration = MosquittoConfiguration.loopback(port, host: context.host)
        configuration.tls = context
        return try MosquittoConnection.started(configuration)
    }

    /// Connects, publishes so that the server's session tickets have been read, and disconnects.
    private func visit(_ port: UInt16, _ context: MosquittoTLSContext) throws -> MosquittoTLSDetails {
        let (connection, log) = try connect(port, context)
        let details = try #require(try log.connected().tls)
        let token = try connection.publish(topic: "t", payload: [1], qos: 1)
        #expect(try log.published(token) < 0x80)
        #expect(connection.stop())
        return details
    }

    @Test("resumes the session on every reconnect", arguments: [MosquittoTLSOptions.Version.tls13, .tls12])
    func resumption(version: MosquittoTLSOptions.Version) throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(directory: folder, lines: certificates.listenerLines())
            try broker.start()
            var options = MosquittoTLSOptions(cafile: certificates.path("ca.pem"))
            options.maximumVersion = version
            let context = try MosquittoTLSContext(options: options, host: "localhost")
            let first = try visit(broker.port, context)
            #expect(!first.resumed)
            #expect(first.version == (version == .tls13 ? "TLSv1.3" : "TLSv1.2"))
            #expect(context.resumableSessions > 0)
            for _ in 0..<3 {
                let next = try visit(broker.port, context)
                #expect(next.resumed, "\(version)")
            }
            // A broker that restarted knows no old session: a full handshake follows by itself.
            broker.kill()
            try broker.start()
            #expect(try !visit(broker.port, context).resumed)
            #expect(try visit(broker.port, context).resumed)
            // A context of its own knows nothing.
            let fresh = try MosquittoTLSContext(options: context.options, host: "localhost")
            #expect(try !visit(broker.port, fresh).resumed)
        }
    }

    @Test("prefers 1.3 and uses an authenticated forward-secret suite on 1.2")
    func versions() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(directory: folder, lines: certificates.listenerLines())
            try broker.start()
            var options = MosquittoTLSOptions(cafile: certificates.path("ca.pem"))
            #expect(try visit(broker.port, .init(options: options, host: "localhost")).version == "TLSv1.3")
            options.maximumVersion = .tls12
            let older = try visit(broker.port, .init(options: options, host: "localhost"))
            #expect(older.version == "TLSv1.2")
            #expect(older.cipher.hasPrefix("ECDHE-ECDSA-"))
            #expect(older.cipher.contains("GCM") || older.cipher.contains("CHACHA20"))
        }
    }

    @Test("takes an address for a host if the certificate names it")
    func addresses() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(directory: folder, lines: certificates.listenerLines())
            try broker.start()
            let context = try MosquittoTLSContext(
                options: .init(cafile: certificates.path("ca.pem")),
                host: "127.0.0.1"
            )
            _ = try visit(broker.port, context)
        }
    }

    @Test("refuses a certificate for another host, unless told to be insecure")
    func wrongHost() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(directory: folder, lines: certificates.listenerLines(server: "elsewhere"))
            try broker.start()
            var options = MosquittoTLSOptions(cafile: certificates.path("ca.pem"))
            for host in ["localhost", "127.0.0.1"] {
                let (connection, log) = try connect(broker.port, .init(options: options, host: host))
                let error = try log.connectFailed()
                #expect(error.code == .tls)
                #expect(error.message.contains("mismatch"), "\(error)")
                connection.stop()
            }
            options.insecure = true
            _ = try visit(broker.port, .init(options: options, host: "localhost"))
        }
    }

    @Test("refuses a certificate of an unknown authority, also when insecure")
    func wrongAuthority() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(directory: folder, lines: certificates.listenerLines())
            try broker.start()
            for insecure in [false, true] {
                var options = MosquittoTLSOptions(cafile: certificates.path("other.pem"))
                options.insecure = insecure
                let (connection, log) = try connect(broker.port, .init(options: options, host: "localhost"))
                let error = try log.connectFailed()
                #expect(error.code == .tls)
                #expect(error.message.contains("certificate"), "\(error)")
                connection.stop()
            }
            // The system's authorities do not know it either.
            let (connection, log) = try connect(broker.port, .init(options: .init(), host: "localhost"))
            #expect(try log.connectFailed().code == .tls)
            connection.stop()
        }
    }

    @Test("refuses TLS 1.1")
    func tooOld() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let port = try freePort()
            let server = Process()
            server.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
            server.arguments = [
                "s_server", "-accept", "127.0.0.1:\(port)", "-cert", certificates.path("localhost.pem"), "-key",
                certificates.path("localhost.key"), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-quiet",
            ]
            server.standardInput = Pipe()
            server.standardOutput = Pipe()
            server.standardError = Pipe()
            try server.run()
            defer {
                // Not SIGTERM: children inherit the signal mask of the pool's thread, which blocks it.
                kill(server.processIdentifier, SIGKILL)
                server.waitUntilExit()
            }
            try eventually("s_server listens") { canConnect(to: port) }
            // The control: such a server does speak with a client that lets it.
            let control = try run(
                "/bin/sh",
                [
                    "-c",
                    "echo | openssl s_client -connect 127.0.0.1:\(port) -tls1_1 -cipher 'ALL:@SECLEVEL=0' 2>&1",
                ],
                in: folder
            )
            #expect(control.contains("TLSv1.1"))
            let context = try MosquittoTLSContext(
                options: .init(cafile: certificates.path("ca.pem")),
                host: "localhost"
            )
            let (connection, log) = try connect(port, context)
            #expect(try log.connectFailed().code == .tls)
            connection.stop()
        }
    }

    @Test("proves itself with a client certificate, and says when the server misses it")
    func mutual() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(directory: folder, lines: certificates.listenerLines(mutual: true))
            try broker.start()
            var options = MosquittoTLSOptions(cafile: certificates.path("ca.pem"))
            let (connection, log) = try connect(broker.port, .init(options: options, host: "localhost"))
            let error = try log.connectFailed()
            #expect(error.code == .tls || error.code == .connectionLost || error.code == .unreachable, "\(error)")
            connection.stop()
            options.certfile = certificates.path("site.pem")
            options.keyfile = certificates.path("site.key")
            _ = try visit(broker.port, .init(options: options, host: "localhost"))
        }
    }

    @Test("says which file is wrong, and notices when one was replaced")
    func files() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let ca = certificates.path("ca.pem")
            let bad: [MosquittoTLSOptions] = [
                .init(cafile: "/nowhere/ca.pem"),
                .init(cafile: ca, certfile: certificates.path("site.pem")),
                .init(cafile: ca, certfile: certificates.path("site.pem"), keyfile: certificates.path("localhost.key")),
                .init(cafile: ca, certfile: certificates.path("site.key"), keyfile: certificates.path("site.key")),
            ]
            for options in bad {
                #expect(throws: MosquittoError.self) { try MosquittoTLSContext(options: options, host: "localhost") }
            }
            let options = MosquittoTLSOptions(
                cafile: ca,
                certfile: certificates.path("site.pem"),
                keyfile: certificates.path("site.key")
            )
            let context = try MosquittoTLSContext(options: options, host: "localhost")
            #expect(context.isCurrent)
            try certificates.issue("site", extension: "extendedKeyUsage=clientAuth")
            #expect(!context.isCurrent)
        }
    }
}
