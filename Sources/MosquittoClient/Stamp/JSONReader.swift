/// What is wrong with a text that should be JSON.
package struct JSONReadError: Error, Sendable, Hashable {
    /// Byte offset.
    package let position: Int
    /// One sentence.
    package let message: String

    package init(position: Int, _ message: String) {
        self.position = position
        self.message = message
    }
}

/// Walks over JSON text (RFC 8259) and checks every byte of it, without building values: whoever changes a field copies
/// all others as they are, so that numbers keep every digit and strings every escape.
package struct JSONReader: Sendable {
    /// Nesting allowed. Deeper text is refused, so that nobody's payload decides about our stack.
    package static let depthMax = 64

    /// The text.
    package let bytes: [UInt8]
    /// Where the reader stands.
    package private(set) var position = 0

    /// Makes a reader; the text must be UTF-8.
    package init(_ bytes: [UInt8]) throws(JSONReadError) {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw JSONReadError(position: 0, "the text is not UTF-8")
        }
        self.bytes = bytes
    }

    /// Whether the bytes are one JSON value, with nothing but white space around it.
    package static func isValid(_ bytes: [UInt8]) -> Bool {
        (try? document(bytes)) != nil
    }

    /// The range of the one value that the bytes are, without the white space around it.
    package static func document(_ bytes: [UInt8]) throws(JSONReadError) -> Range<Int> {
        var reader = try JSONReader(bytes)
        let range = try reader.skipValue()
        try reader.finish()
        return range
    }

    /// The fields of an object, in order, with the ranges of their values.
    package static func fields(_ bytes: [UInt8]) throws(JSONReadError) -> [(name: String, value: Range<Int>)] {
        var reader = try JSONReader(bytes)
        var fields: [(name: String, value: Range<Int>)] = []
        try reader.readObject { (reader, name) throws(JSONReadError) in
            fields.append((reader.decode(name), try reader.skipValue(depth: 1)))
        }
        try reader.finish()
        return fields
    }

    /// The next byte that is not white space, without passing it.
    package mutating func peek() throws(JSONReadError) -> UInt8 {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return bytes[position]
            }
        }
        throw JSONReadError(position: position, "the text ends too early")
    }

    /// Passes one byte, which must be the given one.
    package mutating func expect(_ byte: UInt8) throws(JSONReadError) {
        guard try peek() == byte else {
            throw JSONReadError(position: position, "another character was expected")
        }
        position += 1
    }

    /// Makes sure that nothing follows.
    package mutating func finish() throws(JSONReadError) {
        while position < bytes.count {
            guard [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) else {
                throw JSONReadError(position: position, "something follows the value")
            }
            position += 1
        }
    }

    /// Passes an object, calling `member` with the range of each name, quotes included, when the reader stands before
    /// its value, which it must pass.
    package mutating func readObject(
        _ member: (inout JSONReader, Range<Int>) throws(JSONReadError) -> Void
    ) throws(JSONReadError) {
        try expect(UInt8(ascii: "{"))
        if try peek() == UInt8(ascii: "}") {
            position += 1
            return
        }
        while true {
            _ = try peek()
            let name = try skipString()
            try expect(UInt8(ascii: ":"))
            _ = try peek()
            try member(&self, name)
            if try peek() == UInt8(ascii: "}") {
                position += 1
                return
            }
            try expect(UInt8(ascii: ","))
        }
    }

    /// Passes an array, calling `element` when the reader stands before each value, which it must pass.
    package mutating func readArray(_ element: (inout JSONReader) throws(JSONReadError) -> Void) throws(JSONReadError) {
        try expect(UInt8(ascii: "["))
        if try peek() == UInt8(ascii: "]") {
            position += 1
            return
        }
        while true {
            _ = try peek()
            try element(&self)
            if try peek() == UInt8(ascii: "]") {
                position += 1
                return
            }
            try expect(UInt8(ascii: ","))
        }
    }

    /// Passes one value and returns where it stands.
    @discardableResult
    package mutating func skipValue(depth: Int = 0) throws(JSONReadError) -> Range<Int> {
        guard depth < Self.depthMax else { throw JSONReadError(position: position, "the value is nested too deeply") }
        let first = try peek()
        let start = position
        switch first {
        case UInt8(ascii: "{"):
            try readObject { (reader, _) throws(JSONReadError) in try reader.skipValue(depth: depth + 1) }
        case UInt8(ascii: "["):
            try readArray { (reader) throws(JSONReadError) in try reader.skipValue(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try skipString()
        case UInt8(ascii: "t"): try skipWord("true")
        case UInt8(ascii: "f"): try skipWord("false")
        case UInt8(ascii: "n"): try skipWord("null")
        default: try skipNumber()
        }
        return start..<position
    }

    /// Passes a string and returns its range, quotes included.
    package mutating func skipString() throws(JSONReadError) -> Range<Int> {
        let start = position
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
            throw JSONReadError(position: position, "a string was expected")
        }
        position += 1
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return start..<position
            case UInt8(ascii: "\\"): try skipEscape()
            case 0..<0x20: throw JSONReadError(position: position, "a control character stands in a string")
            default: position += 1
            }
        }
        throw JSONReadError(position: position, "a string does not end")
    }

    /// The text of a string whose range, with its quotes, is given. Half a surrogate pair becomes U+FFFD.
    package func decode(_ range: Range<Int>) -> String {
        guard range.count >= 2 else { return "" }
        let inner = bytes[(range.lowerBound + 1)..<(range.upperBound - 1)]
        guard inner.contains(UInt8(ascii: "\\")) else { return String(decoding: inner, as: UTF8.self) }
        var units: [UInt16] = []
        var plain: [UInt8] = []
        func flush() {
            units.append(contentsOf: String(decoding: plain, as: UTF8.self).utf16)
            plain.removeAll(keepingCapacity: true)
        }
        var index = inner.startIndex
        while index < inner.endIndex {
            guard inner[index] == UInt8(ascii: "\\"), index + 1 < inner.endIndex else {
                plain.append(inner[index])
                index += 1
                continue
            }
            flush()
            let letter = inner[index + 1]
            index += 2
            switch letter {
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "t"): units.append(0x09)
            case UInt8(ascii: "r"): units.append(0x0D)
            case UInt8(ascii: "b"): units.append(0x08)
            case UInt8(ascii: "f"): units.append(0x0C)
            case UInt8(ascii: "u"):
                let end = min(index + 4, inner.endIndex)
                units.append(UInt16(String(decoding: inner[index..<end], as: UTF8.self), radix: 16) ?? 0xFFFD)
                index = end
            default: units.append(UInt16(letter))
            }
        }
        flush()
        return String(decoding: units, as: UTF16.self)
    }

    private mutating func skipEscape() throws(JSONReadError) {
        guard position + 1 < bytes.count else { throw JSONReadError(position: position, "a string does not end") }
        switch bytes[position + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        case UInt8(ascii: "u"):
            guard position + 6 <= bytes.count, bytes[(position + 2)..<(position + 6)].allSatisfy(\.isHexDigit) else {
                throw JSONReadError(position: position, "an escape has four hexadecimal digits")
            }
            position += 6
        default:
            throw JSONReadError(position: position, "there is no such escape")
        }
    }

    private mutating func skipWord(_ word: StaticString) throws(JSONReadError) {
        let count = word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { expected in
            position + count <= bytes.count && bytes[position..<(position + count)].elementsEqual(expected)
        }
        guard matches else { throw JSONReadError(position: position, "there is no such word") }
        position += count
    }

    private mutating func skipNumber() throws(JSONReadError) {
        let start = position
        if at(UInt8(ascii: "-")) { position += 1 }
        let digits = skipDigits()
        let hasLeadingZero = digits > 1 && bytes[position - digits] == UInt8(ascii: "0")
        guard digits > 0, !hasLeadingZero else { throw JSONReadError(position: start, "a value was expected") }
        if at(UInt8(ascii: ".")) {
            position += 1
            guard skipDigits() > 0 else { throw JSONReadError(position: position, "a digit was expected") }
        }
        if at(UInt8(ascii: "e")) || at(UInt8(ascii: "E")) {
            position += 1
            if at(UInt8(ascii: "+")) || at(UInt8(ascii: "-")) { position += 1 }
            guard skipDigits() > 0 else { throw JSONReadError(position: position, "a digit was expected") }
        }
    }

    private func at(_ byte: UInt8) -> Bool { position < bytes.count && bytes[position] == byte }

    private mutating func skipDigits() -> Int {
        let start = position
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
        return position - start
    }
}

extension UInt8 {
    fileprivate var isHexDigit: Bool {
        (0x30...0x39).contains(self) || (0x41...0x46).contains(self) || (0x61...0x66).contains(self)
    }
}

/// Writes JSON text.
package enum JSONText {
    /// The text as a JSON string, with its quotes.
    package static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..<" ", "\u{7F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
