import Broker
import Foundation
import JWTKit
import MQTT
import NIOCore
import Testing

@testable import Access

@Suite("Tokens") struct TokenTests {
    /// An issuer with two keys, and its public keys in a file.
    private struct Issuer {
        let folder: TemporaryFolder
        let keys = JWTKeyCollection()
        let keyFile: String

        init() async throws {
            folder = try TemporaryFolder()
            let key = ES256PrivateKey()
            let other = try EdDSA.PrivateKey(curve: .ed25519)
            await keys.add(ecdsa: key, kid: "one").add(eddsa: other, kid: "two")
            await keys.add(hmac: "a secret that is long enough for it", digestAlgorithm: .sha256, kid: "three")
            let parameters = key.publicKey.parameters
            func url(_ text: String?) -> String {
                (text ?? "").replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            }
            let x = url(other.publicKey.rawRepresentation.base64EncodedString())
            let json = """
                {"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"one","x":"\(url(parameters?.x))",
                "y":"\(url(parameters?.y))"},{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"two","x":"\(x)"}]}
                """
            keyFile = try folder.write(json, "keys.json")
        }

        func token(
            _ claims: [String: Any],
            kid: String = "one",
            header: JWTHeader = .init()
        ) async throws -> String {
            let data = try JSONSerialization.data(withJSONObject: claims)
            let payload = try JSONDecoder().decode(Raw.self, from: data)
            return try await keys.sign(payload, kid: .init(string: kid), header: header)
        }
    }

    /// Claims that go into a token as they are.
    private struct Raw: JWTPayload {
        var exp: Double?
        var nbf: Double?
        var iss: String?
        var aud: [String]?
        var sub: String?
        var name: String?
        func verify(using algorithm: some JWTAlgorithm) async throws {}
    }

    private static let now: Int64 = 1_800_000_000

    private func verifier(_ issuer: Issuer, _ change: (inout TokenOptions) -> Void = { _ in }) async throws
        -> TokenVerifier
    {
        var options = TokenOptions(keyFile: issuer.keyFile, issuer: "https://id", audience: "site")
        change(&options)
        return try await TokenVerifier(options: options, wallSeconds: { Self.now })
    }

    private func claims(_ change: [String: Any?] = [:]) -> [String: Any] {
        var claims: [String: Any] = [
            "exp": Double(Self.now) + 60, "iss": "https://id", "aud": ["other", "site"], "sub": "nurse",
        ]
        for (name, value) in change { claims[name] = value }
        return claims
    }

    private let refused = AuthenticationResult.refused(.badUserNameOrPassword)

    @Test("A good token lets its bearer in under its own name, until it expires", arguments: ["one", "two"])
    func good(kid: String) async throws {
        let issuer = try await Issuer()
        let verifier = try await verifier(issuer)
        let token = try await issuer.token(claims(), kid: kid)
        let expected = AuthenticationResult.expiring(username: "nurse", wallMilliseconds: (Self.now + 90) * 1_000)
        #expect(await verifier.check(token, username: nil) == expected)
        #expect(await verifier.check(token, username: "nurse") == expected)
        #expect(await verifier.check(token, username: "doctor") == refused)
        let door = ListenerAuthenticator(AuthenticationSet(tokens: verifier))
        #expect(await answer { door.authenticate(request("nurse", token), completion: $0) } == expected)
        #expect(
            await answer { door.authenticate(request("nurse", "secret"), completion: $0) } == .refused(.notAuthorized)
        )
    }

    @Test("A token that says anything else is refused")
    func bad() async throws {
        let issuer = try await Issuer()
        let verifier = try await verifier(issuer)
        let late = Double(Self.now) - 31
        for change: [String: Any?] in [
            ["exp": late], ["exp": nil], ["nbf": Double(Self.now) + 31], ["iss": "https://other"], ["iss": nil],
            ["aud": ["other"]], ["aud": nil], ["sub": nil], ["sub": ""],
        ] {
            let token = try await issuer.token(claims(change))
            #expect(await verifier.check(token, username: nil) == refused, "\(change)")
        }
        let within = try await issuer.token(claims(["exp": Double(Self.now) - 29, "nbf": Double(Self.now) + 29]))
        #expect(await verifier.check(within, username: nil) != refused, "clocks may differ by the leeway")
    }

    @Test("none, shared secrets, algorithms that are not wanted, and changed tokens are refused")
    func algorithms() async throws {
        let issuer = try await Issuer()
        let verifier = try await verifier(issuer)
        let good = try await issuer.token(claims())
        let parts = good.split(separator: ".").map(String.init)
        func base64(_ text: String) -> String {
            Data(text.utf8).base64EncodedString().replacing("=", with: "").replacing("+", with: "-")
                .replacing("/", with: "_")
        }
        #expect(await verifier.check("\(base64(#"{"alg":"none"}"#)).\(parts[1]).", username: nil) == refused)
        #expect(
            await verifier.check("\(base64(#"{"alg":"None","kid":"one"}"#)).\(parts[1]).\(parts[2])", username: nil)
                == refused
        )
        let secret = try await issuer.token(claims(), kid: "three")
        #expect(await verifier.check(secret, username: nil) == refused)
        let forged = base64(#"{"exp":1900000000,"iss":"https://id","aud":"site","sub":"admin"}"#)
        #expect(await verifier.check("\(parts[0]).\(forged).\(parts[2])", username: nil) == refused)
        for text in ["", ".", "..", "a.b.c", "eyJ.eyJ.x", good + "x", String(good.dropLast(2))] {
            #expect(await verifier.check(text, username: nil) == refused, "\(text)")
        }
        let others = try await self.verifier(issuer) { $0.algorithms = ["RS256"] }
        #expect(await others.check(good, username: nil) == refused)
        await #expect(throws: AccessError.self) { try await self.verifier(issuer) { $0.algorithms = ["none"] } }
        await #expect(throws: AccessError.self) { try await self.verifier(issuer) { $0.algorithms = ["HS256"] } }
    }

    @Test("A token that asks for an extension is refused, whatever its signature (RFC 7515 section 4.1.11)")
    func critical() async throws {
        let issuer = try await Issuer()
        let verifier = try await verifier(issuer)
        for names: [JWTHeaderField] in [[.string("b64")], []] {
            let token = try await issuer.token(claims(), header: ["crit": .array(names), "b64": .bool(false)])
            #expect(await verifier.check(token, username: nil) == refused)
        }
    }

    @Test("The user name may stand in another claim")
    func usernameClaim() async throws {
        let issuer = try await Issuer()
        let verifier = try await verifier(issuer) { $0.usernameClaim = "name" }
        let token = try await issuer.token(claims(["name": "till-7"]))
        guard case .expiring(let name, _) = await verifier.check(token, username: nil) else {
            Issue.record("refused")
            return
        }
        #expect(name == "till-7")
        #expect(await verifier.check(try await issuer.token(claims()), username: nil) == refused)
    }

    @Test("A key file that cannot be used is refused at the start, and when it is read again the old keys stay")
    func keyFiles() async throws {
        let issuer = try await Issuer()
        let verifier = try await verifier(issuer)
        for text in ["", "{}", #"{"keys":[]}"#, #"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#] {
            try text.write(toFile: issuer.keyFile, atomically: true, encoding: .utf8)
            await #expect(throws: AccessError.self) { try await verifier.reload() }
            await #expect(throws: AccessError.self) { try await self.verifier(issuer) }
        }
        let token = try await issuer.token(claims())
        #expect(await verifier.check(token, username: nil) != refused)
        await #expect(throws: AccessError.self) {
            try await TokenVerifier(options: TokenOptions(keyFile: "/nonexistent/keys.json"))
        }
    }
}
