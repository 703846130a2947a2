/// Base 64 with padding (RFC 4648, section 4).
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")

    /// Encodes.
    static func encode(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let present = min(3, bytes.count - index)
            var word: UInt32 = 0
            for offset in 0..<3 {
                word = word << 8 | (offset < present ? UInt32(bytes[index + offset]) : 0)
            }
            for offset in 0..<4 {
                let digit = Int(word >> (18 - 6 * UInt32(offset)) & 63)
                output.append(offset <= present ? alphabet[digit] : padding)
            }
            index += 3
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Decodes; nil for anything that `encode` would not have written.
    static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 4 == 0 else { return nil }
        let paddings = digits.reversed().prefix(while: { $0 == padding }).count
        guard paddings <= 2 else { return nil }
        var output: [UInt8] = []
        output.reserveCapacity(digits.count / 4 * 3)
        var word: UInt32 = 0
        for (place, digit) in digits.dropLast(paddings).enumerated() {
            guard let value = value(of: digit) else { return nil }
            word = word << 6 | value
            if place % 4 == 3 {
                output.append(contentsOf: [UInt8(word >> 16 & 255), UInt8(word >> 8 & 255), UInt8(word & 255)])
                word = 0
            }
        }
        switch paddings {
        case 1:
            guard word & 3 == 0 else { return nil }
            output.append(contentsOf: [UInt8(word >> 10 & 255), UInt8(word >> 2 & 255)])
        case 2:
            guard word & 15 == 0 else { return nil }
            output.append(UInt8(word >> 4 & 255))
        default: break
        }
        return output
    }

    private static func value(of digit: UInt8) -> UInt32? {
        switch digit {
        case 0x41...0x5A: UInt32(digit - 0x41)
        case 0x61...0x7A: UInt32(digit - 0x61) + 26
        case 0x30...0x39: UInt32(digit - 0x30) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
