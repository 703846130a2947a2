/// Finds the number under the key `value` at the top level of a JSON object, without building the document.
///
/// Reads tolerantly: what is not such an object has no value. Never traps and reads each byte at most once; payloads
/// longer than ``scanBytesMax`` are not looked into.
enum NumericField {
    /// The longest payload that is scanned.
    static let scanBytesMax = 16_384
    /// The longest number that is read.
    static let numberBytesMax = 64

    private static let key = Array("\"value\"".utf8)

    /// The value, if there is one and it is finite.
    static func value(in payload: [UInt8]) -> Double? {
        guard payload.count <= scanBytesMax, payload.count > key.count + 3 else { return nil }
        return payload.withUnsafeBytes { value(in: $0) }
    }

    private static func value(in bytes: UnsafeRawBufferPointer) -> Double? {
        var index = skipSpace(bytes, 0)
        guard index < bytes.count, bytes[index] == UInt8(ascii: "{") else { return nil }
        index += 1
        var depth = 1
        // Only a string right after `{` or `,` at depth 1 is a key; elsewhere it is a value.
        var expectsKey = true
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                let start = index
                guard let end = endOfString(bytes, start) else { return nil }
                index = end
                guard depth == 1, expectsKey else { continue }
                expectsKey = false
                if bytes[start..<end].elementsEqual(key) { return number(bytes, after: end) }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return nil }
            case UInt8(ascii: ","):
                if depth == 1 { expectsKey = true }
            default:
                break
            }
            index += 1
        }
        return nil
    }

    /// The index after the string that begins at `start`; nil if it does not end.
    private static func endOfString(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        var index = start + 1
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\\"): index += 2
            case UInt8(ascii: "\""): return index + 1
            default: index += 1
            }
        }
        return nil
    }

    private static func number(_ bytes: UnsafeRawBufferPointer, after key: Int) -> Double? {
        var index = skipSpace(bytes, key)
        guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else { return nil }
        index = skipSpace(bytes, index + 1)
        let start = index
        while index < bytes.count, index - start <= numberBytesMax, isOfNumber(bytes[index]) { index += 1 }
        guard index > start, index - start <= numberBytesMax else { return nil }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        guard let value = Double(text), value.isFinite else { return nil }
        return value
    }

    private static func isOfNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default:
            false
        }
    }

    private static func skipSpace(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        var index = start
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return index
            }
        }
        return index
    }
}
