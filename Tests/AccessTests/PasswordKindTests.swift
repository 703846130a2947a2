import Broker
import Foundation
import Testing

@testable import Access

@Suite("Kinds of passwords") struct PasswordKindTests {
    @Test("Each kind that can be made is read back and tells right from wrong", arguments: PasswordHash.Kind.allCases)
    func roundTrip(kind: PasswordHash.Kind) throws {
        let hash = try PasswordHash(password: Array("correct horse".utf8), kind: kind)
        let again = try #require(PasswordHash(parsing: hash.text))
        #expect(again == hash)
        #expect(again.kindName == kind.rawValue)
        #expect(again.matches(Array("correct horse".utf8)))
        #expect(!again.matches(Array("correct horsf".utf8)))
        #expect(!again.matches([]))
    }

    @Test("S6: what is made by default takes at least 50 ms of a core, and its 32 MiB")
    func cost() throws {
        let hash = try PasswordHash(password: Array("correct horse".utf8), kind: .scrypt)
        let time = ContinuousClock().measure { _ = hash.matches(Array("wrong".utf8)) }
        #expect(time >= .milliseconds(50), "\(time)")
        #expect(hash.form == .scrypt(logN: 15, blockSize: 8, parallelism: 1))
    }

    @Test("RFC 7914 section 12: scrypt of the standard")
    func scryptVector() throws {
        // N = 1024, r = 8, p = 16; the first 32 bytes of the 64 that the standard shows.
        let expected = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
        let bytes = stride(from: 0, to: 64, by: 2).compactMap { index in
            let start = expected.index(expected.startIndex, offsetBy: index)
            return UInt8(expected[start..<expected.index(start, offsetBy: 2)], radix: 16)
        }
        let form = PasswordHash.Form.scrypt(logN: 10, blockSize: 8, parallelism: 16)
        let hash = PasswordHash(form: form, salt: Array("NaCl".utf8), hash: bytes)
        #expect(hash.matches(Array("password".utf8)))
    }

    @Test("Files of mosquitto_passwd are read, of both kinds", arguments: ["sha512-pbkdf2", "sha512"])
    func mosquitto(kind: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path("passwords")
        #expect(try Tool.run("mosquitto_passwd", ["-H", kind, "-c", "-b", path, "nurse", "correct horse"]) == 0)
        let hash = try #require(try PasswordFile(path: path).hash(of: "nurse"))
        #expect(hash.kindName == kind)
        #expect(hash.matches(Array("correct horse".utf8)))
        #expect(!hash.matches(Array("correct horsf".utf8)))
    }

    @Test("mosquitto_passwd changes a file that we wrote")
    func mosquittoReadsOurs() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("passwords")
        var text = try PasswordFileText(text: "", path: path)
        try text.set("nurse", try PasswordHash(password: Array("ours".utf8), kind: .pbkdf2))
        try SecretFileWriter.write(text.text, to: path)
        #expect(try Tool.run("mosquitto_passwd", ["-b", path, "till", "theirs"]) == 0)
        let file = try PasswordFile(path: path)
        #expect(file.hash(of: "nurse")?.matches(Array("ours".utf8)) == true)
        #expect(file.hash(of: "till")?.matches(Array("theirs".utf8)) == true)
    }

    @Test("An edit keeps comments, order and other users' lines byte for byte")
    func editing() throws {
        let hash = try PasswordHash(password: [1], iterations: 1)
        let other = try PasswordHash(password: [2], iterations: 1)
        let before = "# the night shift\nnurse:\(hash.text)\n\n# tills\ntill:\(hash.text)\n"
        var text = try PasswordFileText(text: before, path: "p")
        #expect(text.text == before)
        try text.set("nurse", other)
        #expect(text.text == before.replacingOccurrences(of: "nurse:\(hash.text)", with: "nurse:\(other.text)"))
        let removals = [text.remove("till"), text.remove("till")]
        #expect(removals == [true, false])
        #expect(text.text == "# the night shift\nnurse:\(other.text)\n\n# tills\n")
        #expect(text.users.map(\.name) == ["nurse"])
    }

    @Test("A name that a file could not hold is refused", arguments: ["", "a:b", "a\nb", "#a", "a\u{0}"])
    func names(name: String) throws {
        var text = try PasswordFileText(text: "", path: "p")
        #expect(throws: AccessError.self) { try text.set(name, try PasswordHash(password: [1], iterations: 1)) }
    }

    @Test("E2: a secret file is written with mode 0600, and replaced as a whole")
    func mode() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("old", "secret")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        try SecretFileWriter.write("new", to: path)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "new")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["secret"])
        #expect(throws: AccessError.self) { try SecretFileWriter.write("x", to: "/nonexistent/folder/file") }
    }

    @Test("D7: an empty password file is a mistake, unless it is meant")
    func empty() throws {
        let error = #expect(throws: AccessError.self) { try PasswordFile(text: "# nobody\n", path: "users") }
        #expect(error?.message.hasPrefix("users:1:") == true)
        #expect(try PasswordFile(text: "", path: "users", allowsEmpty: true).count == 0)
    }

    @Test("Two spellings of one character are two users")
    func spellings() throws {
        let hash = try PasswordHash(password: [1], iterations: 1)
        let file = try PasswordFile(text: "caf\u{E9}:\(hash.text)\n", path: "p")
        #expect(file.hash(of: "caf\u{E9}") != nil)
        #expect(file.hash(of: "cafe\u{301}") == nil)
    }

    @Test("A file tells whose connections end when another takes its place")
    func change() throws {
        func text(_ users: [(String, Int)]) throws -> PasswordFile {
            try PasswordFile(
                text: users.map { "\($0):$7$\($1)$AAAA$\(Data(repeating: 1, count: 64).base64EncodedString())\n" }
                    .joined(),
                path: "p"
            )
        }
        let before = try text([("gone", 1), ("same", 1), ("other", 1)])
        let after = try text([("same", 1), ("other", 2), ("new", 1)])
        #expect(before.change(to: after).revokedUsernames == ["gone", "other"])
    }
}
