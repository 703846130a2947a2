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
            #expect(findings(.certificates, folder + "/site.pem") == [])
            #expect(findings(.privateKey, folder + "/site.pem").first?.contains("holds no private key") == true)
            #expect(findings(.secret, folder + "/empty").first?.contains("is empty") == true)
            #expect(findings(.readable, folder).first?.contains("is not a file") == true)
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
