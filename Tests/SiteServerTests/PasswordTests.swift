import Foundation
import MQTT
import NIOCore
import Synchronization
import Testing

@testable import Broker
@testable import SiteServer

@Suite("Passwords") struct PasswordTests {
    private func authenticator(_ users: [(String, String)]) throws -> PasswordFileAuthenticator {
        let lines = try users.map { name, password in
            "\(name):\(try PasswordHash(password: Array(password.utf8), iterations: 101).text)"
        }
        return try PasswordFileAuthenticator(file: PasswordFile(text: lines.joined(separator: "\n")))
    }

    @Test("A file of mosquitto_passwd is understood")
    func mosquittoFile() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("passwords")
        try Tool.run("mosquitto_passwd", ["-c", "-b", path, "nurse", "correct horse"])
        try Tool.run("mosquitto_passwd", ["-b", path, "till", "pass:word$"])
        let file = try PasswordFile(path: path)
        #expect(file.count == 2)
        #expect(file.hash(of: "nurse")?.matches(Array("correct horse".utf8)) == true)
        #expect(file.hash(of: "nurse")?.matches(Array("correct horsf".utf8)) == false)
        #expect(file.hash(of: "till")?.matches(Array("pass:word$".utf8)) == true)
        #expect(file.hash(of: "till")?.matches([]) == false)
    }

    @Test("A hash that we make is one that mosquitto understands, and ours reads it back")
    func roundTrip() throws {
        let hash = try PasswordHash(password: Array("secret".utf8), iterations: 150)
        let again = try #require(PasswordHash(parsing: hash.text))
        #expect(again == hash)
        #expect(again.matches(Array("secret".utf8)))
        #expect(try PasswordHash(password: Array("secret".utf8), iterations: 150) != hash, "the salt is random")
    }

    @Test(
        "A line that is not understood is an error with its number, never a user or a gap",
        arguments: [
            "nurse", ":$7$101$AAAA$AAAA", "nurse:", "nurse:plain", "nurse:$6$AAAA$AAAA", "nurse:$7$0$AAAA$AAAA",
            "nurse:$7$101$$AAAA", "nurse:$7$101$AAAA$AAAA", "nurse:$7$99999999999$AAAA$AAAA",
        ]
    )
    func badLines(line: String) throws {
        let good = "till:\(try PasswordHash(password: [1], iterations: 1).text)"
        let error = #expect(throws: SiteServerError.self) { try PasswordFile(text: "\(good)\n\(line)", path: "users") }
        #expect(error?.message.hasPrefix("users:2:") == true)
        #expect(throws: SiteServerError.self) { try PasswordFile(text: "\(good)\n\(good)") }
    }

    @Test("A missing file is an error, not an empty one")
    func missingFile() {
        #expect(throws: SiteServerError.self) { try PasswordFile(path: "/nonexistent/passwords") }
    }

    @Test(
        "Over the wire: the right password enters, the wrong one, none and an unknown name get 0x86, nobody anonymous"
    )
    func overTheWire() async throws {
        var listener = TestServer.plain
        listener.allowAnonymous = false
        let authenticator = ListenerAuthenticator(passwords: try authenticator([("nurse", "right")]))
        try await TestServer.with([listener], authenticator: authenticator) { server in
            func answer(_ username: String?, _ password: String?) throws -> ReasonCode {
                try RawClient(port: server.port).connect("c", username: username, password: password).reason
            }
            #expect(try answer("nurse", "right") == .success)
            #expect(try answer("nurse", "wrong") == .badUserNameOrPassword)
            #expect(try answer("nurse", "") == .badUserNameOrPassword)
            #expect(try answer("nurse", nil) == .badUserNameOrPassword)
            #expect(try answer("nobody", "right") == .badUserNameOrPassword)
            #expect(try answer(nil, nil) == .notAuthorized)
            let result = try Tool.run(
                "mosquitto_pub",
                ["-p", "\(server.port)", "-t", "a", "-m", "b", "-u", "nurse", "-P", "right"]
            )
            #expect(result.status == 0, "\(result.text)")
            #expect(!server.log.all.contains { "\($0)".contains("right") || "\($0)".contains("wrong") })
        }
    }

    @Test("An unknown name costs as much as a wrong password")
    func equalCost() throws {
        let usual = try PasswordHash(password: Array("right".utf8), iterations: 101).text
        let rare = try PasswordHash(password: Array("right".utf8), iterations: 7).text
        let file = try PasswordFile(text: "nurse:\(usual)\nold:\(usual)\nolder:\(rare)")
        #expect(file.usualIterations == 101)
        #expect(try PasswordFileAuthenticator(file: file).decoy.iterations == 101)
    }

    @Test("A storm of logins beyond the queue is told that the server is busy")
    func storm() throws {
        let slow = try PasswordHash(password: Array("right".utf8), iterations: 2_000_000)
        let authenticator = try PasswordFileAuthenticator(file: PasswordFile(text: "nurse:\(slow.text)"))
        let request = AuthenticationRequest(
            info: ConnectionInfo(listener: "l", remoteAddress: "r"),
            clientID: "c",
            username: "nurse",
            password: ByteBuffer(string: "wrong")
        )
        let answers = Answers()
        for _ in 0..<(PasswordFileAuthenticator.pendingMax + 50) {
            authenticator.authenticate(request) { answers.add($0) }
        }
        #expect(answers.count { $0 == .refused(.serverBusy) } >= 49)
    }
}

private final class Answers: Sendable {
    private let all = Mutex<[AuthenticationResult]>([])

    func add(_ result: AuthenticationResult) { all.withLock { $0.append(result) } }

    func count(_ isCounted: (AuthenticationResult) -> Bool) -> Int { all.withLock { $0.count(where: isCounted) } }
}
