/// A line read back: its number, its time, its kind and its fields.
public struct AuditEntry: Sendable, Hashable {
    /// The record's number.
    public var number: UInt64
    /// When it happened, RFC 3339 in UTC.
    public var time: String
    /// What happened.
    public var kind: String
    /// The fields in the order of the line.
    public var fields: [AuditRecord.Field]

    /// The value of a field.
    public subscript(name: String) -> String? { fields.first { $0.name == name }?.value }

    /// Reads a line as ``AuditLog`` writes it; nil for anything else.
    public init?(line: [UInt8]) {
        var reader = AuditLineReader(bytes: line)
        guard reader.take("{\"n\":"), let number = reader.number(), reader.take(",") else { return nil }
        self.number = number
        fields = []
        time = ""
        kind = ""
        repeat {
            guard let name = reader.string(), reader.take(":"), let value = reader.string() else { return nil }
            switch name {
            case "t": time = value
            case "kind": kind = value
            case "previous", "hash": break
            default: fields.append(AuditRecord.Field(name, value))
            }
        } while reader.take(",")
        guard reader.take("}"), reader.isAtEnd || reader.take("\n") && reader.isAtEnd else { return nil }
    }
}

/// Reads the one form of JSON that the log writes.
private struct AuditLineReader {
    let bytes: [UInt8]
    private var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func take(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        let matches = text.withUTF8Buffer { bytes[position..<position + count].elementsEqual($0) }
        if matches { position += count }
        return matches
    }

    mutating func number() -> UInt64? {
        let digits = bytes[position...].prefix { (0x30...0x39).contains($0) }
        position += digits.count
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    mutating func string() -> String? {
        guard take("\"") else { return nil }
        var units: [UInt16] = []
        var plain = position
        func text(_ end: Int) -> [UInt16] { Array(String(decoding: bytes[plain..<end], as: UTF8.self).utf16) }
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                units += text(position)
                position += 1
                return String(decoding: units, as: UTF16.self)
            case UInt8(ascii: "\\"):
                units += text(position)
                position += 1
                guard let unit = escaped() else { return nil }
                units.append(unit)
                plain = position
            default: position += 1
            }
        }
        return nil
    }

    private mutating func escaped() -> UInt16? {
        if take("\"") { return 0x22 }
        if take("\\") { return 0x5C }
        guard take("u"), bytes.count - position >= 4 else { return nil }
        defer { position += 4 }
        return UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    }
}
