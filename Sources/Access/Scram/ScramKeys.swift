internal import Crypto
internal import CryptoExtras

/// What a server keeps of a SCRAM-SHA-256 password (RFC 5802 section 3): enough to check a proof, not enough to make
/// one.
struct ScramKeys: Sendable, Hashable {
    let storedKey: [UInt8]
    let serverKey: [UInt8]

    init(storedKey: [UInt8], serverKey: [UInt8]) {
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// Takes as long as the iterations take: never on a loop.
    init(password: [UInt8], salt: [UInt8], iterations: Int) throws {
        let salted = try KDF.Insecure.PBKDF2.deriveKey(
            from: password,
            salt: salt,
            using: .sha256,
            outputByteCount: 32,
            // At least 4,096 by what a file may hold (RFC 7677 section 4).
            unsafeUncheckedRounds: iterations
        )
        let clientKey = Self.hmac(salted, Array("Client Key".utf8))
        storedKey = Array(SHA256.hash(data: clientKey))
        serverKey = Self.hmac(salted, Array("Server Key".utf8))
    }

    static func hmac(_ key: SymmetricKey, _ data: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: data, using: key))
    }

    static func hmac(_ key: [UInt8], _ data: [UInt8]) -> [UInt8] { hmac(SymmetricKey(data: key), data) }
}
