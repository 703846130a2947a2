internal import Crypto
internal import CryptoExtras
internal import Foundation

/// A password as mosquitto_passwd stores it: `$7$iterations$salt$hash`, PBKDF2 with HMAC-SHA-512.
public struct PasswordHash: Sendable, Hashable {
    /// Rounds of a new hash. mosquitto_passwd takes 101; more costs an attacker more, and us about 1 ms for each 2,000.
    public static let defaultIterations = 20_000
    /// Rounds accepted from a file. More would let one line stop everybody from entering.
    static let iterationsMax = 10_000_000
    private static let saltBytes = 16
    private static let hashBytes = 64

    /// The rounds of PBKDF2.
    let iterations: Int
    private let salt: [UInt8]
    private let hash: [UInt8]

    /// Reads one from a password file; nil if it is not in the format.
    public init?(parsing text: some StringProtocol) {
        let fields = text.split(separator: "$", omittingEmptySubsequences: false)
        guard
            fields.count == 5, fields[0].isEmpty, fields[1] == "7",
            let iterations = Int(fields[2]), (1...Self.iterationsMax).contains(iterations),
            let salt = Data(base64Encoded: String(fields[3])), !salt.isEmpty,
            let hash = Data(base64Encoded: String(fields[4])), hash.count == Self.hashBytes
        else { return nil }
        self.iterations = iterations
        self.salt = Array(salt)
        self.hash = Array(hash)
    }

    /// Hashes a password under a new random salt. Takes as long as the iterations take: never on a loop.
    public init(password: [UInt8], iterations: Int = defaultIterations) throws {
        var generator = SystemRandomNumberGenerator()
        let salt = (0..<Self.saltBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
        self.iterations = min(max(1, iterations), Self.iterationsMax)
        self.salt = salt
        self.hash = try Self.derive(password, salt: salt, iterations: self.iterations)
    }

    /// The form of the password file.
    public var text: String {
        "$7$\(iterations)$\(Data(salt).base64EncodedString())$\(Data(hash).base64EncodedString())"
    }

    /// Whether this is the password. Takes as long as the iterations take, however it ends: never on a loop.
    func matches(_ password: [UInt8]) -> Bool {
        guard let derived = try? Self.derive(password, salt: salt, iterations: iterations) else { return false }
        guard derived.count == hash.count else { return false }
        // All bytes are looked at, so the time says nothing about where they differ.
        var difference: UInt8 = 0
        for index in hash.indices { difference |= derived[index] ^ hash[index] }
        return difference == 0
    }

    private static func derive(_ password: [UInt8], salt: [UInt8], iterations: Int) throws -> [UInt8] {
        let key = try KDF.Insecure.PBKDF2.deriveKey(
            from: password,
            salt: salt,
            using: .sha512,
            outputByteCount: hashBytes,
            // The number is the file's; mosquitto_passwd writes far fewer than the checked variant takes.
            unsafeUncheckedRounds: iterations
        )
        return key.withUnsafeBytes { Array($0) }
    }
}
