import Broker
import Foundation
import NIOCore
import Testing

@testable import Access

@Suite("SCRAM-SHA-256") struct ScramTests {
    /// The exchange of RFC 7677 section 3.
    private let salt = Array(Data(base64Encoded: "W22ZaJ0SNY7soEsUEjb6gQ==") ?? Data())
    private let clientFirst = Array("n,,n=user,r=rOprNGfwEbeRWgbNEkqO".utf8)
    private let serverNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    private let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

    private func credential(isKnown: Bool = true) throws -> ScramServer.Credential {
        let keys = try ScramKeys(password: Array("pencil".utf8), salt: salt, iterations: 4_096)
        return ScramServer.Credential(salt: salt, iterations: 4_096, keys: keys, isKnown: isKnown)
    }

    private func clientFinal(_ proof: String, nonce: String? = nil, header: String = "biws") -> [UInt8] {
        let nonce = nonce ?? "rOprNGfwEbeRWgbNEkqO\(serverNonce)"
        return Array("c=\(header),r=\(nonce),p=\(proof)".utf8)
    }

    private func started(isKnown: Bool = true) throws -> ScramServer {
        let credential = try credential(isKnown: isKnown)
        var server = ScramServer()
        let action = server.start(clientFirst, serverNonce: serverNonce) { _ in credential }
        let expected = "r=rOprNGfwEbeRWgbNEkqO\(serverNonce),s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        #expect(action == .challenge(Array(expected.utf8)))
        return server
    }

    @Test("RFC 7677 section 3: the exchange of the standard, byte for byte")
    func vector() throws {
        var server = try started()
        let final = Array("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".utf8)
        #expect(server.finish(clientFinal(proof)) == .accept(username: "user", serverFinal: final))
        #expect(server.finish(clientFinal(proof)) == .refuse, "an exchange ends once")
    }

    @Test("A wrong proof, nonce or header is refused, and so is a right proof of nobody")
    func refusals() throws {
        var wrong = try started()
        #expect(wrong.finish(clientFinal("AAAAZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")) == .refuse)
        var nonce = try started()
        #expect(nonce.finish(clientFinal(proof, nonce: "rOprNGfwEbeRWgbNEkqO")) == .refuse)
        var header = try started()
        #expect(header.finish(clientFinal(proof, header: "eSws")) == .refuse)
        var nobody = try started(isKnown: false)
        #expect(nobody.finish(clientFinal(proof)) == .refuse)
        var early = ScramServer()
        #expect(early.finish(clientFinal(proof)) == .refuse)
    }

    @Test(
        "RFC 5802 section 7: what is no client-first-message is refused",
        arguments: [
            "", "n", "n,,", "p=tls-unique,,n=user,r=abc", "n,a=other,n=user,r=abc", "n,,m=ext,n=user,r=abc",
            "n,,n=,r=abc", "n,,n=user,r=", "n,,n=us=er,r=abc", "n,,n=user,r=a\u{7F}b", "x,,n=user,r=abc",
            "n,,n=a\u{1},r=b",
        ]
    )
    func malformed(message: String) {
        #expect(ScramServer.ClientFirst(Array(message.utf8)) == nil)
    }

    @Test("Escaped names are read, and only in their one spelling")
    func names() {
        #expect(ScramServer.ClientFirst(Array("n,,n=a=2Cb=3Dc,r=x".utf8))?.username == "a,b=c")
        #expect(ScramServer.ClientFirst(Array("y,a=user,n=user,r=x".utf8))?.username == "user")
        // U+FB01, the ligature fi, is not what NFKC makes of itself.
        #expect(ScramServer.ClientFirst(Array("n,,n=\u{FB01},r=x".utf8)) == nil)
        #expect(ScramServer.prepared("I\u{AD}X") != nil)
    }

    @Test("A user of the password file authenticates by SCRAM and by its plain password")
    func passwordFile() async throws {
        let stored = PasswordHash(
            form: .scram(iterations: 4_096),
            salt: salt,
            hash: try credential().keys.storedKey + credential().keys.serverKey
        )
        let file = try PasswordFile(text: "user:\(stored.text)\n", path: "users")
        let passwords = PasswordFileAuthenticator(file: file)
        let door = ListenerAuthenticator(AuthenticationSet(passwords: passwords, offersScram: true))
        #expect(door.methods == ["SCRAM-SHA-256"])
        let plain = await answer { door.authenticate(request("user", "pencil"), completion: $0) }
        #expect(plain == .accepted(username: "user"))
        for (name, isKnown) in [("user", true), ("nobody", false)] {
            var first = request(nil, nil)
            first.method = "SCRAM-SHA-256"
            first.data = .init(string: "n,,n=\(name),r=rOprNGfwEbeRWgbNEkqO")
            let challenge = await answer { door.authenticate(first, completion: $0) }
            guard case .challenge(let data, let state) = challenge, let text = data.map({ String(buffer: $0) }) else {
                Issue.record("no challenge: \(challenge)")
                return
            }
            let fields = Dictionary(
                uniqueKeysWithValues: text.split(separator: ",").map { (String($0.prefix(2)), String($0.dropFirst(2))) }
            )
            let nonce = try #require(fields["r="])
            let challengeSalt = try #require(fields["s="].flatMap { Data(base64Encoded: $0) })
            let iterations = try #require(fields["i="].flatMap { Int($0) })
            let bare = "n=\(name),r=rOprNGfwEbeRWgbNEkqO"
            let proof = try ScramClient.proof(
                password: "pencil",
                salt: Array(challengeSalt),
                iterations: iterations,
                authMessage: "\(bare),\(text),c=biws,r=\(nonce)"
            )
            var second = first
            second.data = .init(string: "c=biws,r=\(nonce),p=\(proof)")
            second.state = state
            let result = await answer { door.authenticate(second, completion: $0) }
            if case .completed(let username, _) = result {
                #expect(isKnown && username == "user")
            } else {
                #expect(!isKnown, "\(result)")
            }
        }
    }
}
