import CertificateAuthority
import Foundation
import Testing

@Suite struct FilesTests {
    @Test func `keys are closed to others and certificates open`() throws {
        try withFolder { folder in
            let authority = try CertificateAuthority.create(name: "CA")
            try authority.write(to: folder + "/new/certs")
            let device = try authority.issueDevice(name: "pump-17")
            try device.write(certificate: folder + "/new/certs/d.pem", key: folder + "/new/certs/d.key")
            #expect(try mode(of: folder + "/new/certs/ca.key") == 0o600)
            #expect(try mode(of: folder + "/new/certs/d.key") == 0o600)
            #expect(try mode(of: folder + "/new/certs/ca.pem") == 0o644)
            #expect(try mode(of: folder + "/new/certs/d.pem") == 0o644)
            let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/new/certs").sorted()
            #expect(files == ["ca.key", "ca.pem", "d.key", "d.pem"])
        }
    }

    @Test func `what is there is not overwritten unless asked, and nothing is half written`() throws {
        try withFolder { folder in
            let first = try CertificateAuthority.create(name: "first")
            try first.write(to: folder)
            let before = try String(contentsOfFile: folder + "/ca.key", encoding: .utf8)
            let second = try CertificateAuthority.create(name: "second")
            #expect(throws: CertificateAuthorityError.self) { try second.write(to: folder) }
            try FileManager.default.removeItem(atPath: folder + "/ca.pem")
            #expect(throws: CertificateAuthorityError.self) { try second.write(to: folder) }
            #expect(try String(contentsOfFile: folder + "/ca.key", encoding: .utf8) == before)
            #expect(FileManager.default.fileExists(atPath: folder + "/ca.pem") == false)
            try second.write(to: folder, replacing: true)
            #expect(try CertificateAuthority(folder: folder).details.commonName == "second")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
        }
    }

    @Test func `a folder that cannot be made is an error that names it`() throws {
        try withFolder { folder in
            try Data("x".utf8).write(to: URL(fileURLWithPath: folder + "/file"))
            let authority = try CertificateAuthority.create(name: "CA")
            let error = #expect(throws: CertificateAuthorityError.self) {
                try authority.write(to: folder + "/file/below")
            }
            #expect(error?.code == .disk)
            #expect(error?.message.contains("/file") == true)
        }
    }

    @Test func `certificate and key of different authorities are refused`() throws {
        try withFolder { folder in
            let one = try CertificateAuthority.create(name: "one")
            try one.write(to: folder + "/1")
            try CertificateAuthority.create(name: "two").write(to: folder + "/2")
            let key = try String(contentsOfFile: folder + "/2/ca.key", encoding: .utf8)
            let error = #expect(throws: CertificateAuthorityError.self) {
                try CertificateAuthority(certificatePEM: one.certificatePEM, keyPEM: key)
            }
            #expect(error?.code == .mismatch)
        }
    }

    @Test(arguments: ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "nonsense", "\u{0}"])
    func `what is no certificate is an error`(text: String) {
        let error = #expect(throws: CertificateAuthorityError.self) { try CertificateDetails(pem: text) }
        #expect(error?.code == .unreadable)
    }

    @Test(arguments: ["", " a", "a/b", "a+b", "#", "100%u", "a\nb", String(repeating: "x", count: 65)])
    func `a name that would mean something in a topic filter is refused`(name: String) throws {
        let authority = try CertificateAuthority.create(name: "CA")
        let error = #expect(throws: CertificateAuthorityError.self) { try authority.issueDevice(name: name) }
        #expect(error?.code == .invalidName)
    }

    @Test(arguments: ["", "a b", "-a.example", "1.2.3", "300.1.1.1", "*.*.example", "a..b", "ex*mple"])
    func `what is no host is refused`(host: String) throws {
        let authority = try CertificateAuthority.create(name: "CA")
        #expect(throws: CertificateAuthorityError.self) { try authority.issueServer(hosts: [host]) }
    }

    @Test func `serial numbers are random and long`() throws {
        let authority = try CertificateAuthority.create(name: "CA")
        var numbers: Set<String> = [authority.details.serialNumber]
        for index in 0..<50 { numbers.insert(try authority.issueDevice(name: "d\(index)").details.serialNumber) }
        #expect(numbers.count == 51)
        #expect(numbers.allSatisfy { $0.count >= 32 })
    }

    @Test func `an authority's description and errors do not show its key`() throws {
        let authority = try CertificateAuthority.create(name: "CA")
        let device = try authority.issueDevice(name: "pump-17")
        #expect("\(authority) \(device)".contains("PRIVATE KEY") == false)
        #expect(String(reflecting: authority).contains("PRIVATE KEY") == false)
        let bad = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n"
        let error = #expect(throws: CertificateAuthorityError.self) {
            try CertificateAuthority(certificatePEM: authority.certificatePEM, keyPEM: bad)
        }
        #expect(error?.description.contains("c2VjcmV0") == false)
    }
}
