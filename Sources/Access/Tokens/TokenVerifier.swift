public import Broker
internal import Foundation
internal import JWTKit
internal import MQTT
public import NIOCore
internal import Synchronization

/// What a token must say to let its bearer in.
public struct TokenOptions: Sendable, Hashable {
    /// Algorithms that a token may be signed with. Never `none`, and never a shared secret: the file holds public keys.
    public static let algorithms: Set<String> = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ]

    /// The file with the issuer's public keys, a JWKS.
    public var keyFile: String
    /// What `iss` must be; nil for anything.
    public var issuer: String?
    /// What `aud` must hold; nil for anything.
    public var audience: String?
    /// The claim that holds the user name.
    public var usernameClaim: String
    /// Seconds that the issuer's clock may differ from ours.
    public var leewaySeconds: Int
    /// The algorithms of these that are taken.
    public var algorithms: Set<String>

    /// Makes options.
    public init(
        keyFile: String,
        issuer: String? = nil,
        audience: String? = nil,
        usernameClaim: String = "sub",
        leewaySeconds: Int = 30,
        algorithms: Set<String> = ["RS256", "PS256", "ES256", "EdDSA"]
    ) {
        self.keyFile = keyFile
        self.issuer = issuer
        self.audience = audience
        self.usernameClaim = usernameClaim
        self.leewaySeconds = leewaySeconds
        self.algorithms = algorithms
    }
}

/// Lets in who has a JSON Web Token of a trusted issuer (RFC 7519) in the password field. It asks nobody: the keys are
/// in a file.
///
/// The user name is the token's. One that CONNECT names must be the same. `exp` is required, and ends the connection
/// when it comes.
public final class TokenVerifier: Sendable {
    /// The longest token that is looked at, in bytes.
    static let tokenBytesMax = 16_384
    /// Keys that one file may hold.
    static let keysMax = 256
    /// Checks that may wait at once. Beyond, clients are told that the server is busy, and come again.
    static let pendingMax = 512

    private let options: TokenOptions
    private let keys: Mutex<JWTKeyCollection>
    private let pending = Atomic<Int>(0)
    private let wallSeconds: @Sendable () -> Int64

    /// Reads the keys.
    ///
    /// - Throws: ``AccessError`` if the file cannot be used, or an algorithm is not one that can be taken.
    public convenience init(options: TokenOptions) async throws {
        try await self.init(options: options) { Int64(Date().timeIntervalSince1970) }
    }

    init(options: TokenOptions, wallSeconds: @escaping @Sendable () -> Int64) async throws {
        guard !options.algorithms.isEmpty, options.algorithms.isSubset(of: TokenOptions.algorithms) else {
            let allowed = TokenOptions.algorithms.sorted().joined(separator: ", ")
            throw AccessError(.tokens, "Algorithms of tokens are some of \(allowed)")
        }
        self.options = options
        self.wallSeconds = wallSeconds
        self.keys = Mutex(try await Self.load(options.keyFile))
    }

    /// Reads the key file again. If it cannot be used, the keys stay.
    public func reload() async throws {
        let fresh = try await Self.load(options.keyFile)
        keys.withLock { $0 = fresh }
    }

    private static func load(_ path: String) async throws -> JWTKeyCollection {
        let data: Data
        let set: JWKS
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
            set = try JSONDecoder().decode(JWKS.self, from: data)
        } catch {
            throw AccessError(.tokens, "\(path):1: this is not a JSON Web Key Set", cause: error)
        }
        guard !set.keys.isEmpty, set.keys.count <= keysMax else {
            throw AccessError(.tokens, "\(path):1: a key set holds 1 to \(keysMax) keys")
        }
        let keys = JWTKeyCollection()
        for (index, key) in set.keys.enumerated() {
            do {
                try await keys.add(jwk: key)
            } catch {
                throw AccessError(
                    .tokens,
                    "\(path):1: key \(index + 1) cannot be used; each needs a `kid`",
                    cause: error
                )
            }
        }
        return keys
    }

    // MARK: -

    /// Whether a password can be a token: three parts, of which the first is a JSON object.
    public func isToken(_ password: ByteBuffer?) -> Bool {
        guard let bytes = password?.readableBytesView, bytes.count <= Self.tokenBytesMax else { return false }
        return bytes.starts(with: Array("eyJ".utf8)) && bytes.count { $0 == UInt8(ascii: ".") } == 2
    }

    /// Checks the token in the password field.
    public func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        guard let password = request.password, isToken(password) else {
            completion(.refused(.badUserNameOrPassword))
            return
        }
        guard pending.wrappingAdd(1, ordering: .relaxed).newValue <= Self.pendingMax else {
            pending.wrappingSubtract(1, ordering: .relaxed)
            completion(.refused(.serverBusy))
            return
        }
        let token = String(decoding: password.readableBytesView, as: UTF8.self)
        // The key collection is an actor; nobody waits for the check but the client.
        Task {
            let result = await check(token, username: request.username)
            pending.wrappingSubtract(1, ordering: .relaxed)
            completion(result)
        }
    }

    /// Checks a token.
    func check(_ token: String, username: String?) async -> AuthenticationResult {
        guard let algorithm = Self.algorithm(of: token), options.algorithms.contains(algorithm) else {
            return .refused(.badUserNameOrPassword)
        }
        let keys = keys.withLock { $0 }
        guard let claims = try? await keys.verify(token, as: TokenClaims.self),
            let name = accept(claims), username == nil || username?.utf8.elementsEqual(name.utf8) == true,
            let expiry = claims.expiry
        else { return .refused(.badUserNameOrPassword) }
        let ends = Int64(clamping: expiry) &+ Int64(options.leewaySeconds)
        return .expiring(username: name, wallMilliseconds: ends.multipliedReportingOverflow(by: 1_000).partialValue)
    }

    /// The user name, if the claims are right.
    private func accept(_ claims: TokenClaims) -> String? {
        let now = Double(wallSeconds())
        let leeway = Double(options.leewaySeconds)
        guard let expiry = claims.expiry, expiry.isFinite, now < expiry + leeway,
            claims.notBefore.map({ now >= $0 - leeway }) ?? true,
            options.issuer.map({ $0 == claims.issuer }) ?? true,
            options.audience.map(claims.audience.contains) ?? true,
            let name = claims.texts[options.usernameClaim], !name.isEmpty
        else { return nil }
        return name
    }

    /// The `alg` of the header, before anything is trusted. Nil also for a header that asks for an extension by `crit`:
    /// whoever does not know it has to refuse the token (RFC 7515 section 4.1.11), and none is known here.
    private static func algorithm(of token: String) -> String? {
        struct Header: Decodable {
            let alg: String
            let crit: [String]?
        }
        guard let first = token.split(separator: ".", omittingEmptySubsequences: false).first else { return nil }
        var base64 = first.replacing("-", with: "+").replacing("_", with: "/")
        base64 += String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4)
        let header = Data(base64Encoded: String(base64)).flatMap { try? JSONDecoder().decode(Header.self, from: $0) }
        return header?.crit == nil ? header?.alg : nil
    }
}

/// The claims of a token that matter here.
struct TokenClaims: JWTPayload {
    var expiry: Double?
    var notBefore: Double?
    var issuer: String?
    var audience: [String] = []
    /// All claims that are text, by name.
    var texts: [String: String] = [:]

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for key in container.allKeys {
            switch key.stringValue {
            case "exp": expiry = try container.decode(Double.self, forKey: key)
            case "nbf": notBefore = try container.decode(Double.self, forKey: key)
            case "aud":
                if let one = try? container.decode(String.self, forKey: key) {
                    audience = [one]
                } else {
                    audience = try container.decode([String].self, forKey: key)
                }
            default:
                guard let text = try? container.decode(String.self, forKey: key) else { continue }
                texts[key.stringValue] = text
            }
        }
        issuer = texts["iss"]
    }

    func encode(to encoder: any Encoder) throws {
        // Tokens are checked here, never made.
        var container = encoder.container(keyedBy: Key.self)
        for (name, text) in texts { try container.encode(text, forKey: Key(stringValue: name)) }
    }

    /// The verifier looks at the claims itself, with its own clock.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}

extension Int64 {
    fileprivate init(clamping value: Double) {
        self = value >= 9e15 ? 9_000_000_000_000_000 : value <= 0 ? 0 : Int64(value)
    }
}
