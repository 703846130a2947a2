import Crypto
import Synchronization

/// A master key that files of journals are encrypted under: 32 bytes. It never stands on the disk of the journal.
public struct JournalKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// How many bytes a key has.
    public static let byteCount = 32

    /// What files call it: the first eight bytes of a hash of the key. It tells nothing of the key itself.
    public let id: UInt64
    let key: SymmetricKey

    /// Takes 32 bytes, or their hexadecimal or base 64 text with white space around it; nil if it is none of these.
    public init?(_ content: [UInt8]) {
        guard let bytes = Self.raw(content) else { return nil }
        key = SymmetricKey(data: bytes)
        let name = HMAC<SHA256>.authenticationCode(for: Array("causeway journal key".utf8), using: key)
        id = name.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func raw(_ content: [UInt8]) -> [UInt8]? {
        if content.count == byteCount { return content }
        let text = content.filter { !($0 == 0x20 || (0x09...0x0D).contains($0)) }
        if text.count == 2 * byteCount { return hexadecimal(text) }
        return text.count == 44 ? base64(text) : nil
    }

    private static func hexadecimal(_ text: [UInt8]) -> [UInt8]? {
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: text.count, by: 2) {
            guard let byte = UInt8(String(decoding: text[index..<index + 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }

    /// 43 digits and one `=`.
    private static func base64(_ text: [UInt8]) -> [UInt8]? {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        guard text.last == UInt8(ascii: "=") else { return nil }
        var bits: UInt32 = 0
        var count = 0
        var bytes: [UInt8] = []
        for digit in text.dropLast() {
            guard let value = alphabet.firstIndex(of: digit) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes.count == byteCount ? bytes : nil
    }

    /// The name of the key, never the key.
    public var name: String { Self.name(id) }

    static func name(_ id: UInt64) -> String {
        let digits = String(id, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The name of the key, never the key.
    public var description: String { "JournalKey(\(name))" }
    /// The name of the key, never the key.
    public var debugDescription: String { description }

    /// The key of one file, derived from the master key and what makes the file the one it is.
    func derived(for purpose: String, _ place: [UInt8]) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: key,
            salt: place,
            info: Array("causeway journal \(purpose)".utf8),
            outputByteCount: JournalKey.byteCount
        )
    }
}

/// The keys of a site: one that is written with, and those that are still read with. Journals that share it change keys
/// together, while they run: what is written from then on is under the new key.
public final class KeyRing: Sendable {
    private struct State: Sendable {
        var primary: JournalKey
        var keys: [UInt64: JournalKey]
    }

    private let state: Mutex<State>

    /// Makes a ring.
    public init(primary: JournalKey, retired: [JournalKey] = []) {
        state = Mutex(Self.state(primary, retired))
    }

    /// Changes the keys. A retired key that files still need must stay.
    public func replace(primary: JournalKey, retired: [JournalKey]) {
        state.withLock { $0 = Self.state(primary, retired) }
    }

    private static func state(_ primary: JournalKey, _ retired: [JournalKey]) -> State {
        var keys: [UInt64: JournalKey] = [:]
        for key in retired + [primary] { keys[key.id] = key }
        return State(primary: primary, keys: keys)
    }

    /// The key that is written with.
    public var primary: JournalKey { state.withLock { $0.primary } }

    /// Every key.
    var all: [JournalKey] { state.withLock { Array($0.keys.values) } }

    /// The key of this name.
    func key(_ id: UInt64) -> JournalKey? { state.withLock { $0.keys[id] } }
}
