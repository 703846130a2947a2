import CausewayConfiguration
import Foundation
import Testing

@Suite struct FileChecksTests {
    /// A folder of its own that is gone afterwards.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.path + "/causeway-filechecks-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private func write(_ text: String, to path: String, mode: Int) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func findings(_ purpose: FileReference.Purpose, _ path: String) -> [String] {
        let reference = FileReference(
            purpose: purpose,
            path: path,
            setting: "x.y",
            position: SourcePosition(line: 3, column: 7)
        )
        return FileChecks.check([reference], file: "site.yaml").map(\.description)
    }

    @Test func `a file that is missing is told with the place of the setting`() throws {
        try withFolder { folder in
            #expect(
                findings(.certificates, folder + "/none.pem") == [
                    "site.yaml:3:7: error: x.y: \(folder)/none.pem: there is no such file "
                        + "(relative paths count from the configuration file's folder)"
                ]
            )
        }
    }

    @Test func `a private key that others can read is refused`() throws {
        try withFolder { folder in
            let key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"
            try write(key, to: folder + "/open.key", mode: 0o644)
            try write(key, to: folder + "/group.key", mode: 0o660)
            try write(key, to: folder + "/read.key", mode: 0o640)
            try write(key, to: folder + "/closed.key", mode: 0o600)
            #expect(findings(.privateKey, folder + "/open.key").count == 1)
            #expect(findings(.privateKey, folder + "/open.key").first?.contains("open to everybody (mode 644)") == true)
            #expect(findings(.privateKey, folder + "/group.key").first?.contains("changed by its group") == true)
            #expect(findings(.privateKey, folder + "/read.key") == [])
            #expect(findings(.privateKey, folder + "/closed.key") == [])
        }
    }

    @Test func `a file that holds something else is refused`() throws {
        try withFolder { folder in
            try write("-----BEGIN CERTIFICATE-----\n", to: folder + "/site.pem", mode: 0o600)
            try write("", to: folder + "/empty", mode: 0o600)
            #expect(findings(.privateKey, folder + "/site.pem").first?.contains("holds no private key") == true)
            #expect(findings(.secret, folder + "/empty").first?.contains("is empty") == true)
            #expect(findings(.readable, folder).first?.contains("is not a file") == true)
        }
    }

    /// A certificate of nobody, as OpenSSL makes it, without the lines around it.
    private static let base64 = """
        MIIBdzCCAR2gAwIBAgIUbfbbgY33fsIyncSnn/E5bcgbtuQwCgYIKoZIzj0EAwIw
        ETEPMA0GA1UEAwwGbm9ib2R5MB4XDTI2MTEyMzAyMTE0N1oXDTI2MTEyNTAyMTE0
        N1owETEPMA0GA1UEAwwGbm9ib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
        aron/5NYeHLbLL5L22CnEhcIIX304lvQh9St/Y6UrT0OKThICy5ICko6wA4fTfO+
        TAnK5QWFfM/+h8qt3WJbBqNTMFEwHQYDVR0OBBYEFAIpgznVQ5G1JhqHFiYcyz1I
        PKDEMB8GA1UdIwQYMBaAFAIpgznVQ5G1JhqHFiYcyz1IPKDEMA8GA1UdEwEB/wQF
        MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgZlDAL7IxSW+q3GetNCc5RZNVIPOjQxTy
        5sx2U7Bj330CIQCUcA9zve2hhJnJ94ronNNakPzytq4hNsdatSSKRucOrg==
        """

    @Test func `a file of certificates holds certificates and nothing that only looks like one`() throws {
        try withFolder { folder in
            let path = folder + "/ca.pem"
            let begin = "-----BEGIN CERTIFICATE-----\n"
            let end = "-----END CERTIFICATE-----\n"
            let certificate = begin + Self.base64 + "\n" + end
            for good in [certificate, "A comment.\n" + certificate + "\n" + certificate, "\u{FEFF}x\r\n" + certificate]
            {
                try write(good, to: path, mode: 0o600)
                #expect(findings(.certificates, path) == [])
            }
            var cut = certificate.split(separator: "\n", omittingEmptySubsequences: false)
            cut.remove(at: 3)
            let broken = [
                begin + "rubbish\n" + end, begin + end, begin, begin + begin + end,
                certificate + begin + "AAAA\n" + end,
                begin + "MAA=\n" + end, begin + "MAYwADAAAwA=\n" + end, cut.joined(separator: "\n"),
                certificate.replacing("-----END CERTIFICATE-----", with: ""), "-----BEGIN CERTIFICATE-----",
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "text\n",
            ]
            for text in broken {
                try write(text, to: path, mode: 0o600)
                let found = findings(.certificates, path)
                #expect(found.count == 1 && found.first?.contains("holds no certificate") == true, "\(text)")
                #expect(found.first?.hasPrefix("site.yaml:3:7: error: x.y: ") == true)
            }
        }
    }

    @Test func `a folder must be there or possible`() throws {
        try withFolder { folder in
            try write("x", to: folder + "/file", mode: 0o600)
            #expect(findings(.folder, folder) == [])
            #expect(findings(.folder, folder + "/a/b/c/") == [])
            #expect(findings(.folder, folder + "/file").first?.contains("is not a folder") == true)
            #expect(findings(.folder, folder + "/file/below").isEmpty == false)
            #expect(findings(.database, folder + "/cloud.sqlite") == [])
            #expect(findings(.database, folder + "/file/cloud.sqlite").isEmpty == false)
        }
    }
}
