import Crypto
import Foundation

/// The identifier of a coupon: it follows from who gets it, from which campaign and in which window of time, so that
/// deciding again, or on a second machine, gives the same coupon and never a second one.
enum CouponID {
    /// The letters of base32 (RFC 4648).
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
    static let length = 12

    /// Twelve letters of an HMAC-SHA256 under the site's key, and a check letter.
    static func make(key: SymmetricKey, campaign: String, customer: String, window: Int64) -> String {
        let message = Data("\(campaign)|\(customer)|\(window)".utf8)
        let code = base32(Array(HMAC<SHA256>.authenticationCode(for: message, using: key))).prefix(length)
        return String(decoding: code + [check(code)], as: UTF8.self)
    }

    /// Whether the check letter fits, as a till asks before it asks the site: any one wrong letter is found, and almost
    /// any two neighbours that changed places.
    static func isPlausible(_ text: String) -> Bool {
        let code = Array(text.utf8)
        guard code.count == length + 1, let last = code.last, code.allSatisfy(letters.contains) else { return false }
        return check(code.dropLast()) == last
    }

    /// Whether a customer belongs to the group that gets nothing, against which the campaign's effect is measured.
    static func isHeldOut(campaign: String, customer: String, percent: Int64) -> Bool {
        let digest = SHA256.hash(data: Data("\(campaign)|\(customer)".utf8))
        return digest.reduce(0) { ($0 * 256 + Int64($1)) % 100 } < percent
    }

    static func base32(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        var buffer: UInt32 = 0
        var bits = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(letters[Int(buffer >> UInt32(bits) & 31)])
            }
            buffer &= (1 << UInt32(bits)) - 1
        }
        if bits > 0 { text.append(letters[Int(buffer << UInt32(5 - bits) & 31)]) }
        return text
    }

    /// Luhn's algorithm modulo 32.
    private static func check(_ code: some BidirectionalCollection<UInt8>) -> UInt8 {
        var sum = 0
        for (index, letter) in code.reversed().enumerated() {
            let value = (letters.firstIndex(of: letter) ?? 0) * (index.isMultiple(of: 2) ? 2 : 1)
            sum += value / 32 + value % 32
        }
        return letters[(32 - sum % 32) % 32]
    }
}
