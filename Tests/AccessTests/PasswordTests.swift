import Foundation
import MQTT
import NIOCore
import Synchronization
import Testing

@testable import Access
@testable import Broker

@Suite("Passwords") struct PasswordTests {
    private func authenticator(_ users: [(String, String)]) throws -> PasswordFileAuthenticator {
        let lines = try users.map { name, password in
            "\(name):\(try PasswordHash(password: Array(password.utf8), iterations: 101).text)"
        }
        return PasswordFileAuthenticator(file: try PasswordFile(text: lines.joined(separator: "\n"), path: ""))
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
            "nurse", ":$7$101$AAAA$AAAA", "nurse:", "nurse:plain", "nurse:$6$AAAA$AAAA", "nurse:$s1$30$8$1$AAAA$AAAA",
            "nurse:$7$0$AAAA$AAAA",
            "nurse:$7$101$$AAAA", "nurse:$7$101$AAAA$AAAA", "nurse:$7$99999999999$AAAA$AAAA",
        ]
    )
    func badLines(line: String) throws {
        let good = "till:\(try PasswordHash(password: [1], iterations: 1).text)"
        let error = #expect(throws: AccessError.self) { try PasswordFile(text: "\(good)\n\(line)", path: "users") }
        #expect(error?.message.hasPrefix("users:2:") == true)
        #expect(throws: AccessError.self) { try PasswordFile(text: "\(good)\n\(good)", path: "users") }
    }

    @Test("A missing file is an error, not an empty one")
    func missingFile() {
        #expect(throws: AccessError.self) { try PasswordFile(path: "/nonexistent/passwords") }
    }

    @Test("E3: unknown, known and refused users go through one hash of each cost that stands in the file")
    func equalCost() throws {
        let usual = try PasswordHash(password: Array("right".utf8), iterations: 101)
        let rare = try PasswordHash(password: Array("right".utf8), iterations: 7)
        let file = try PasswordFile(text: "nurse:\(usual.text)\nold:\(usual.text)\nolder:\(rare.text)", path: "")
        let decoys = PasswordFileAuthenticator(file: file).decoys
        #expect(decoys.map(\.form) == [.pbkdf2(iterations: 101), .pbkdf2(iterations: 7)])
        func check(_ password: String, _ found: PasswordLookup) -> (isRight: Bool, work: [PasswordHash.Form]) {
            var work: [PasswordHash.Form] = []
            let isRight = PasswordFileAuthenticator.check(found, decoys) { hash in
                work.append(hash.form)
                return hash.matches(Array(password.utf8))
            }
            return (isRight, work)
        }
        let cases: [(password: String, found: PasswordLookup, isRight: Bool)] = [
            ("right", .password(usual), true), ("right", .password(rare), true), ("wrong", .password(usual), false),
            ("wrong", .password(rare), false), ("right", .unknown, false), ("right", .refused, false),
        ]
        for item in cases {
            let outcome = check(item.password, item.found)
            #expect(outcome.isRight == item.isRight)
            #expect(outcome.work == decoys.map(\.form), "the same hashes in the same order, whoever it is")
        }
    }

    @Test("A storm of logins beyond the queue is told that the server is busy")
    func storm() throws {
        let slow = try PasswordHash(password: Array("right".utf8), iterations: 2_000_000)
        let authenticator = PasswordFileAuthenticator(
            file: try PasswordFile(text: "nurse:\(slow.text)", path: "")
        )
        let request = AuthenticationRequest(
            info: ConnectionInfo(listener: "l", remoteAddress: "r"),
            clientID: "c",
            username: "nurse",
            password: ByteBuffer(string: "wrong")
        )
        let answers = Answers()
        for _ in 0..<(AuthenticationLimits().pendingMax + 50) {
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
