internal import Crypto
internal import CryptoExtras
internal import Foundation

/// A password as a file stores it. Four kinds, told by what they begin with:
///
/// - `$7$iterations$salt$hash`: PBKDF2 with HMAC-SHA-512, as mosquitto_passwd writes it.
/// - `$6$salt$hash`: SHA-512 over password and salt, as mosquitto_passwd 1.x wrote it. Read, never made: quick to
///   guess.
/// - `$s1$logN$r$p$salt$hash`: scrypt, which takes memory to guess. What is made by default.
/// - `$scram-sha-256$iterations$salt$storedKey$serverKey`: for SCRAM-SHA-256 (RFC 5802, RFC 7677).
public struct PasswordHash: Sendable, Hashable {
    /// The kinds that can be made.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// Memory-hard; only Causeway reads it.
        case scrypt
        /// Mosquitto reads it too.
        case pbkdf2 = "sha512-pbkdf2"
        /// For clients that authenticate by SCRAM-SHA-256; a plain password is checked against it too.
        case scram = "scram-sha-256"
    }

    /// Rounds of a new PBKDF2 hash. mosquitto_passwd takes 101; more costs an attacker more, and us about 1 ms for each
    /// 2,000.
    public static let defaultIterations = 20_000
    /// Rounds accepted from a file. More would let one line stop everybody from entering.
    static let iterationsMax = 10_000_000
    /// Memory of one scrypt check accepted from a file, in bytes.
    static let scryptBytesMax = 256 << 20

    enum Form: Sendable, Hashable {
        case pbkdf2(iterations: Int)
        case sha512
        case scrypt(logN: Int, blockSize: Int, parallelism: Int)
        case scram(iterations: Int)

        /// What a new scrypt hash takes: 32 MiB, and more than 50 ms of a core.
        static let usualScrypt = Form.scrypt(logN: 15, blockSize: 8, parallelism: 1)
    }

    /// What a check costs.
    let form: Form
    let salt: [UInt8]
    /// For SCRAM StoredKey followed by ServerKey.
    let hash: [UInt8]

    private static let hashBytes = 64
    private static let scryptHashBytes = 32
    private static let scramKeyBytes = 32
    /// The salt that Mosquitto takes.
    private static let mosquittoSaltBytes = 12
    private static let saltBytes = 16

    init(form: Form, salt: [UInt8], hash: [UInt8]) {
        self.form = form
        self.salt = salt
        self.hash = hash
    }

    /// Reads one from a password file; nil if it is not in a format.
    public init?(parsing text: some StringProtocol) {
        let fields = String(text).split(separator: "$" as Character, omittingEmptySubsequences: false).map(String.init)
        guard fields.count >= 4, fields[0].isEmpty, let parsed = Self.parse(kind: fields[1], Array(fields[2...])) else {
            return nil
        }
        self = parsed
    }

    private static func parse(kind: String, _ fields: [String]) -> PasswordHash? {
        func bytes(_ text: String, _ count: Int? = nil) -> [UInt8]? {
            guard let data = Data(base64Encoded: text), !data.isEmpty, count == nil || data.count == count else {
                return nil
            }
            return Array(data)
        }
        func number(_ text: String, in range: ClosedRange<Int>) -> Int? {
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
        switch (kind, fields.count) {
        case ("7", 3):
            guard let iterations = number(fields[0], in: 1...iterationsMax), let salt = bytes(fields[1]),
                let hash = bytes(fields[2], hashBytes)
            else { return nil }
            return PasswordHash(form: .pbkdf2(iterations: iterations), salt: salt, hash: hash)
        case ("6", 2):
            guard let salt = bytes(fields[0]), let hash = bytes(fields[1], hashBytes) else { return nil }
            return PasswordHash(form: .sha512, salt: salt, hash: hash)
        case ("s1", 5):
            guard let logN = number(fields[0], in: 1...24), let blockSize = number(fields[1], in: 1...64),
                let parallelism = number(fields[2], in: 1...16), (128 << logN) * blockSize <= scryptBytesMax,
                let salt = bytes(fields[3]), let hash = bytes(fields[4], scryptHashBytes)
            else { return nil }
            let form = Form.scrypt(logN: logN, blockSize: blockSize, parallelism: parallelism)
            return PasswordHash(form: form, salt: salt, hash: hash)
        case ("scram-sha-256", 4):
            guard let iterations = number(fields[0], in: 4_096...iterationsMax), let salt = bytes(fields[1]),
                let stored = bytes(fields[2], scramKeyBytes), let server = bytes(fields[3], scramKeyBytes)
            else { return nil }
            return PasswordHash(form: .scram(iterations: iterations), salt: salt, hash: stored + server)
        default: return nil
        }
    }

    /// Hashes a password under a new random salt. Takes tens of milliseconds: never on a loop.
    public init(password: [UInt8], kind: Kind) throws {
        switch kind {
        case .scrypt: try self.init(password: password, form: .usualScrypt, saltBytes: Self.saltBytes)
        case .pbkdf2: try self.init(password: password, iterations: Self.defaultIterations)
        case .scram:
            let form = Form.scram(iterations: Self.defaultIterations)
            try self.init(password: password, form: form, saltBytes: Self.saltBytes)
        }
    }

    /// Hashes a password by PBKDF2 under a new random salt, so that Mosquitto can read it.
    public init(password: [UInt8], iterations: Int) throws {
        let form = Form.pbkdf2(iterations: min(max(1, iterations), Self.iterationsMax))
        try self.init(password: password, form: form, saltBytes: Self.mosquittoSaltBytes)
    }

    /// Hashes a password in a form of a file, so that a check of it costs the same.
    init(password: [UInt8], form: Form, saltBytes: Int = saltBytes) throws {
        var generator = SystemRandomNumberGenerator()
        let salt = (0..<saltBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
        self.init(form: form, salt: salt, hash: try Self.derive(password, salt: salt, form: form))
    }

    /// The form of the password file.
    public var text: String {
        func base64(_ bytes: some Sequence<UInt8>) -> String { Data(bytes).base64EncodedString() }
        switch form {
        case .pbkdf2(let iterations): return "$7$\(iterations)$\(base64(salt))$\(base64(hash))"
        case .sha512: return "$6$\(base64(salt))$\(base64(hash))"
        case .scrypt(let logN, let blockSize, let parallelism):
            return "$s1$\(logN)$\(blockSize)$\(parallelism)$\(base64(salt))$\(base64(hash))"
        case .scram(let iterations):
            let keys = "\(base64(hash.prefix(Self.scramKeyBytes)))$\(base64(hash.suffix(Self.scramKeyBytes)))"
            return "$scram-sha-256$\(iterations)$\(base64(salt))$\(keys)"
        }
    }

    /// What the kind is called; `sha512` is read, but not made.
    public var kindName: String {
        switch form {
        case .pbkdf2: Kind.pbkdf2.rawValue
        case .sha512: "sha512"
        case .scrypt: Kind.scrypt.rawValue
        case .scram: Kind.scram.rawValue
        }
    }

    /// Whether this is the password. Takes as long as its form takes, however it ends: never on a loop.
    public func matches(_ password: [UInt8]) -> Bool {
        guard let derived = try? Self.derive(password, salt: salt, form: form) else { return false }
        return ConstantTime.areEqual(derived, hash)
    }

    private static func derive(_ password: [UInt8], salt: [UInt8], form: Form) throws -> [UInt8] {
        switch form {
        case .pbkdf2(let iterations):
            let key = try KDF.Insecure.PBKDF2.deriveKey(
                from: password,
                salt: salt,
                using: .sha512,
                outputByteCount: hashBytes,
                // The number is the file's; mosquitto_passwd writes far fewer than the checked variant takes.
                unsafeUncheckedRounds: iterations
            )
            return key.withUnsafeBytes { Array($0) }
        case .sha512: return Array(SHA512.hash(data: password + salt))
        case .scrypt(let logN, let blockSize, let parallelism):
            let key = try KDF.Scrypt.deriveKey(
                from: password,
                salt: salt,
                outputByteCount: scryptHashBytes,
                rounds: 1 << logN,
                blockSize: blockSize,
                parallelism: parallelism,
                // What it takes, and some more for its own bookkeeping.
                maxMemory: (128 << logN) * blockSize + 128 * blockSize * parallelism + (1 << 20)
            )
            return key.withUnsafeBytes { Array($0) }
        case .scram(let iterations):
            let text = String(decoding: password, as: UTF8.self)
            let prepared = ScramServer.prepared(text).map { Array($0.utf8) } ?? password
            let keys = try ScramKeys(password: prepared, salt: salt, iterations: iterations)
            return keys.storedKey + keys.serverKey
        }
    }
}

/// Comparing secrets.
enum ConstantTime {
    /// Whether both are equal. All bytes are looked at, so the time says nothing about where they differ.
    static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}
