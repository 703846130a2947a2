import CertificateAuthority
import Foundation
import Testing

@Suite struct ChainTests {
    @Test func `openssl accepts server, device and client for their purpose and for no other`() throws {
        try withFolder { folder in
            let authority = try CertificateAuthority.create(name: "store-0042 CA")
            try authority.write(to: folder)
            let server = try authority.issueServer(hosts: ["site.local", "127.0.0.1", "::1", "*.store.example"])
            try server.write(certificate: folder + "/site.pem", key: folder + "/site.key")
            let device = try authority.issueDevice(name: "pump-17")
            try device.write(certificate: folder + "/pump.pem", key: folder + "/pump.key")
            let bridge = try authority.issueClient(name: "store-0042")
            try bridge.write(certificate: folder + "/bridge.pem", key: folder + "/bridge.key")
            let both = try authority.issueServer(hosts: ["localhost"], alsoClient: true)
            try both.write(certificate: folder + "/both.pem", key: folder + "/both.key")

            let ca = folder + "/ca.pem"
            let verdicts: [(file: String, purpose: String, isAccepted: Bool)] = [
                ("site", "sslserver", true), ("site", "sslclient", false),
                ("pump", "sslclient", true), ("pump", "sslserver", false),
                ("bridge", "sslclient", true), ("bridge", "sslserver", false),
                ("both", "sslserver", true), ("both", "sslclient", true),
            ]
            for verdict in verdicts {
                let outcome = try OpenSSL.verify(
                    "\(folder)/\(verdict.file).pem",
                    authority: ca,
                    purpose: verdict.purpose
                )
                #expect((outcome.status == 0) == verdict.isAccepted, "\(verdict): \(outcome.text)")
            }
        }
    }

    @Test func `a server's certificate is for its hosts and for no others`() throws {
        try withFolder { folder in
            let authority = try CertificateAuthority.create(name: "CA")
            try authority.write(to: folder)
            let server = try authority.issueServer(hosts: ["Site.local", "10.1.2.3", "fd00::7", "*.store.example"])
            try server.write(certificate: folder + "/s.pem", key: folder + "/s.key")
            #expect(server.details.hosts == ["site.local", "10.1.2.3", "fd00::7", "*.store.example"])
            let hosts: [(option: String, host: String, isAccepted: Bool)] = [
                ("-verify_hostname", "site.local", true), ("-verify_hostname", "till.store.example", true),
                ("-verify_hostname", "other.local", false), ("-verify_hostname", "a.b.store.example", false),
                ("-verify_ip", "10.1.2.3", true), ("-verify_ip", "fd00::7", true), ("-verify_ip", "10.1.2.4", false),
            ]
            for host in hosts {
                let outcome = try OpenSSL.verify(
                    folder + "/s.pem",
                    authority: folder + "/ca.pem",
                    purpose: "sslserver",
                    [host.option, host.host]
                )
                #expect((outcome.status == 0) == host.isAccepted, "\(host): \(outcome.text)")
            }
        }
    }

    @Test func `a certificate of another authority of the same name is refused`() throws {
        try withFolder { folder in
            try CertificateAuthority.create(name: "CA").write(to: folder)
            let other = try CertificateAuthority.create(name: "CA")
            let device = try other.issueDevice(name: "pump-17")
            try device.write(certificate: folder + "/d.pem", key: folder + "/d.key")
            let outcome = try OpenSSL.verify(folder + "/d.pem", authority: folder + "/ca.pem", purpose: "sslclient")
            #expect(outcome.status != 0)
        }
    }

    @Test func `an expired certificate is refused for being expired`() throws {
        try withFolder { folder in
            let authority = try CertificateAuthority.create(
                name: "CA",
                validity: CertificateValidity(
                    notBefore: Date(timeIntervalSinceNow: -1e6),
                    notAfter: Date(timeIntervalSinceNow: 1e6)
                )
            )
            try authority.write(to: folder)
            let device = try authority.issueDevice(name: "old", validity: .expired())
            try device.write(certificate: folder + "/d.pem", key: folder + "/d.key")
            let outcome = try OpenSSL.verify(folder + "/d.pem", authority: folder + "/ca.pem", purpose: "sslclient")
            #expect(outcome.status != 0)
            #expect(outcome.text.contains("certificate has expired"))
            #expect(device.details.daysLeft() < 0)
        }
    }

    @Test func `an end certificate cannot sign another`() throws {
        let authority = try CertificateAuthority.create(name: "CA")
        let device = try authority.issueDevice(name: "pump-17")
        let key = try #require(device.keyPEM)
        #expect(throws: CertificateAuthorityError.self) {
            try CertificateAuthority(certificatePEM: device.certificatePEM, keyPEM: key)
        }
    }

    @Test func `a certificate ends with its authority at the latest`() throws {
        let authority = try CertificateAuthority.create(name: "CA", validity: .days(30))
        let device = try authority.issueDevice(name: "pump-17")
        #expect(device.details.validity.notAfter == authority.details.validity.notAfter)
        #expect(device.details.daysLeft() <= 30)
    }

    @Test func `an authority with domains signs for those and for private addresses only`() throws {
        try withFolder { folder in
            let authority = try CertificateAuthority.create(name: "CA", domains: ["store.example"])
            try authority.write(to: folder)
            for host in [
                "www.example.com", "store.example.com", "mystore.example", "8.8.8.8", "2001:db8::1", "*.example",
            ] {
                #expect(throws: CertificateAuthorityError.self) { try authority.issueServer(hosts: [host]) }
            }
            let hosts = ["store.example", "a.b.store.example", "*.store.example", "192.168.7.7", "::1", "localhost"]
            let server = try authority.issueServer(hosts: hosts)
            try server.write(certificate: folder + "/s.pem", key: folder + "/s.key")
            let device = try authority.issueDevice(name: "pump-17")
            try device.write(certificate: folder + "/d.pem", key: folder + "/d.key")
            #expect(throws: CertificateAuthorityError.self) { try authority.issueDevice(name: "www.example.com") }
            let ca = folder + "/ca.pem"
            #expect(try OpenSSL.verify(folder + "/s.pem", authority: ca, purpose: "sslserver").status == 0)
            #expect(try OpenSSL.verify(folder + "/d.pem", authority: ca, purpose: "sslclient").status == 0)

            // Whoever steals the key and leaves our checks out is stopped by those who verify.
            let text = "subjectAltName=DNS:www.example.com\nextendedKeyUsage=serverAuth\n"
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/ext"))
            _ = try OpenSSL.run([
                "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                "-keyout", folder + "/x.key", "-out", folder + "/x.csr",
            ])
            let signed = try OpenSSL.run([
                "x509", "-req", "-in", folder + "/x.csr", "-CA", ca, "-CAkey", folder + "/ca.key", "-set_serial", "7",
                "-days", "1", "-extfile", folder + "/ext", "-out", folder + "/x.pem",
            ])
            #expect(signed.status == 0, "\(signed.text)")
            let outcome = try OpenSSL.verify(folder + "/x.pem", authority: ca, purpose: "sslserver")
            #expect(outcome.text.contains("permitted subtree violation"))
        }
    }

    @Test func `an authority made with openssl is taken`() throws {
        try withFolder { folder in
            let made = try OpenSSL.run([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=Example/CN=Example Root", "-days", "30",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", folder + "/ca.key", "-out",
                folder + "/ca.pem",
            ])
            #expect(made.status == 0, "\(made.text)")
            let authority = try CertificateAuthority(folder: folder)
            #expect(authority.details.commonName == "Example Root")
            let device = try authority.issueDevice(name: "pump-17")
            try device.write(certificate: folder + "/d.pem", key: folder + "/d.key")
            let outcome = try OpenSSL.verify(folder + "/d.pem", authority: folder + "/ca.pem", purpose: "sslclient")
            #expect(outcome.status == 0, "\(outcome.text)")
        }
    }

    @Test func `a renewed certificate keeps names, purpose and key and has a new lifetime and number`() throws {
        try withFolder { folder in
            let authority = try CertificateAuthority.create(name: "CA")
            try authority.write(to: folder)
            let old = try authority.issueServer(hosts: ["site.local", "10.0.0.1"], validity: .days(10))
            let renewed = try authority.renew(certificatePEM: old.certificatePEM, validity: .days(400))
            #expect(renewed.keyPEM == nil)
            #expect(renewed.details.hosts == old.details.hosts)
            #expect(renewed.details.commonName == old.details.commonName)
            #expect(renewed.details.purposes == ["server"])
            #expect(renewed.details.serialNumber != old.details.serialNumber)
            #expect(renewed.details.daysLeft() >= 399)
            try old.write(certificate: folder + "/s.pem", key: folder + "/s.key")
            try renewed.write(certificate: folder + "/s.pem", key: folder + "/s.key", replacing: true)
            let certificateKey = try OpenSSL.run(["x509", "-in", folder + "/s.pem", "-noout", "-pubkey"])
            let key = try OpenSSL.run(["pkey", "-in", folder + "/s.key", "-pubout"])
            #expect(certificateKey.text == key.text)
            let other = try CertificateAuthority.create(name: "CA")
            #expect(throws: CertificateAuthorityError.self) { try other.renew(certificatePEM: old.certificatePEM) }
        }
    }
}
