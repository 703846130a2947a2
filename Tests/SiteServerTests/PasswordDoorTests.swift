import Access
import Foundation
import MQTT
import Testing

@testable import SiteServer

@Suite("Passwords at the door") struct PasswordDoorTests {
    private func authenticator(_ users: [(String, String)]) throws -> PasswordFileAuthenticator {
        let lines = try users.map { name, password in
            "\(name):\(try PasswordHash(password: Array(password.utf8), iterations: 101).text)"
        }
        return PasswordFileAuthenticator(file: try PasswordFile(text: lines.joined(separator: "\n"), path: ""))
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
}
