import ArgumentParser
import Foundation
import MosquittoClient

/// A moment of the wall clock.
struct WallClock: Sendable {
    var seconds: Int
    var nanoseconds: Int

    static func now() -> WallClock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallClock(seconds: time.tv_sec, nanoseconds: time.tv_nsec)
    }

    /// The moment in local time, by strftime's letters.
    func formatted(_ format: String) -> String {
        var seconds = time_t(seconds)
        var parts = tm()
        guard localtime_r(&seconds, &parts) != nil else { return "" }
        var buffer = [CChar](repeating: 0, count: 256)
        let count = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `2026-11-22T21:40:00+0100`.
    var iso8601: String { formatted("%Y-%m-%dT%H:%M:%S%z") }

    /// The same with microseconds.
    var iso8601Micro: String {
        formatted("%Y-%m-%dT%H:%M:%S.") + Self.padded(nanoseconds / 1_000, 6) + formatted("%z")
    }

    static func padded(_ number: Int, _ width: Int) -> String {
        let digits = "\(number)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// The output format of mosquitto_sub's `-F`.
struct MessageFormat: Sendable {
    private struct Field: Sendable {
        var letter: Character
        var isLeft = false
        var isZeroPadded = false
        var width = 0
        var precision: Int?
    }

    private enum Part: Sendable {
        case bytes([UInt8])
        case field(Field)
        case time(Character)
    }

    /// The widest field.
    static let widthMax = 10_000

    private let parts: [Part]

    /// Reads a format.
    init(_ text: String) throws {
        var parts: [Part] = []
        var rest = text[...]
        while let character = rest.popFirst() {
            switch character {
            case "%": parts.append(try Self.field(&rest))
            case "@":
                guard let letter = rest.popFirst() else {
                    throw ValidationError("a format ends with @; write @@ for one")
                }
                parts.append(letter == "@" ? .bytes([UInt8(ascii: "@")]) : .time(letter))
            case "\\": parts.append(.bytes([try Self.escape(rest.popFirst())]))
            default: parts.append(.bytes(Array(String(character).utf8)))
            }
        }
        self.parts = parts
    }

    /// The message in this format, or nil if it wants JSON (`%J`) and the payload is none.
    func bytes(_ message: MosquittoMessage, now: WallClock) -> [UInt8]? {
        var output: [UInt8] = []
        for part in parts {
            switch part {
            case .bytes(let bytes): output += bytes
            case .time("N"): output += WallClock.padded(now.nanoseconds, 9).utf8
            case .time(let letter): output += now.formatted("%\(letter)").utf8
            case .field(let field):
                guard let value = Self.value(of: field.letter, message, now) else { return nil }
                output += Self.fit(value, field)
            }
        }
        return output
    }

    private static func field(_ rest: inout Substring) throws -> Part {
        if rest.first == "%" {
            rest.removeFirst()
            return .bytes([UInt8(ascii: "%")])
        }
        var field = Field(letter: "p")
        while let flag = rest.first, flag == "-" || flag == "0" {
            if flag == "-" { field.isLeft = true } else { field.isZeroPadded = true }
            rest.removeFirst()
        }
        field.width = try number(&rest) ?? 0
        if rest.first == "." {
            rest.removeFirst()
            field.precision = try number(&rest) ?? 0
        }
        guard let letter = rest.popFirst(), "ACDEFIJPRSUjlmpqrtxX".contains(letter) else {
            throw ValidationError("a format has an unknown letter after %; write %% for one")
        }
        field.letter = letter
        return .field(field)
    }

    private static func number(_ rest: inout Substring) throws -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        guard !digits.isEmpty else { return nil }
        rest = rest[digits.endIndex...]
        guard let number = Int(digits), number <= widthMax else {
            throw ValidationError("a width in a format is at most \(widthMax)")
        }
        return number
    }

    private static func escape(_ character: Character?) throws -> UInt8 {
        switch character {
        case "\\": UInt8(ascii: "\\")
        case "0": 0
        case "a": 7
        case "e": 27
        case "n": 10
        case "r": 13
        case "t": 9
        case "v": 11
        default: throw ValidationError("a format has an unknown letter after \\; write \\\\ for one")
        }
    }

    private static func value(of letter: Character, _ message: MosquittoMessage, _ now: WallClock) -> [UInt8]? {
        switch letter {
        case "t": return Array(message.topic.utf8)
        case "p": return message.payload
        case "x": return Array(message.payload.map { hexadecimal($0) }.joined().utf8)
        case "X": return Array(message.payload.map { hexadecimal($0).uppercased() }.joined().utf8)
        case "l": return Array("\(message.payload.count)".utf8)
        case "q": return Array("\(message.qos)".utf8)
        case "r": return Array((message.retain ? "1" : "0").utf8)
        case "C": return Array((message.contentType ?? "").utf8)
        case "D": return message.correlationData ?? []
        case "E": return Array((message.messageExpirySeconds.map { "\($0)" } ?? "").utf8)
        case "R": return Array((message.responseTopic ?? "").utf8)
        case "P": return Array(message.userProperties.map { "\($0.name):\($0.value)" }.joined(separator: " ").utf8)
        case "I": return Array(now.iso8601.utf8)
        case "U": return Array("\(now.seconds).\(WallClock.padded(now.nanoseconds, 9))".utf8)
        case "j": return MessageJSON.quoted(message, now)
        case "J": return MessageJSON.raw(message, now)
        // Topic alias, payload format, packet and subscription identifiers are settled below this level.
        default: return []
        }
    }

    private static func fit(_ value: [UInt8], _ field: Field) -> [UInt8] {
        guard field.width > 0 || field.precision != nil, "ACEFIRSlmptxX".contains(field.letter) else { return value }
        var value = value
        if let precision = field.precision, "CIRt".contains(field.letter) {
            value = Array(String(decoding: value, as: UTF8.self).prefix(precision).utf8)
        }
        let length =
            "px".contains(field.letter) || field.letter == "X"
            ? value.count : String(decoding: value, as: UTF8.self).count
        guard length < field.width else { return value }
        let isZero = field.isZeroPadded && !field.isLeft && "AEFSlmxX".contains(field.letter)
        let padding = [UInt8](repeating: UInt8(ascii: isZero ? "0" : " "), count: field.width - length)
        return field.isLeft ? value + padding : padding + value
    }

    private static func hexadecimal(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
}

/// `%j` and `%J`.
enum MessageJSON {
    /// With the payload as a JSON string; bytes that are no UTF-8 are repaired.
    static func quoted(_ message: MosquittoMessage, _ now: WallClock) -> [UInt8] {
        head(message, now) + Array("\"payload\":".utf8) + string(String(decoding: message.payload, as: UTF8.self))
            + [UInt8(ascii: "}")]
    }

    /// With the payload as it is, or nil if it is not JSON.
    static func raw(_ message: MosquittoMessage, _ now: WallClock) -> [UInt8]? {
        let isJSON = (try? JSONSerialization.jsonObject(with: Data(message.payload), options: .fragmentsAllowed)) != nil
        guard isJSON else { return nil }
        return head(message, now) + Array("\"payload\":".utf8) + message.payload + [UInt8(ascii: "}")]
    }

    private static func head(_ message: MosquittoMessage, _ now: WallClock) -> [UInt8] {
        var text = Array("{\"tst\":\"\(now.iso8601Micro)\",\"topic\":".utf8)
        text += string(message.topic)
        text +=
            ",\"qos\":\(message.qos),\"retain\":\(message.retain ? 1 : 0),\"payloadlen\":\(message.payload.count),".utf8
        return text + properties(message)
    }

    private static func properties(_ message: MosquittoMessage) -> [UInt8] {
        var members: [[UInt8]] = []
        func add(_ name: String, _ value: [UInt8]) { members.append(string(name) + [UInt8(ascii: ":")] + value) }
        if let type = message.contentType { add("content-type", string(type)) }
        if let data = message.correlationData { add("correlation-data", string(String(decoding: data, as: UTF8.self))) }
        if let seconds = message.messageExpirySeconds { add("message-expiry-interval", Array("\(seconds)".utf8)) }
        if let topic = message.responseTopic { add("response-topic", string(topic)) }
        if !message.userProperties.isEmpty {
            let pairs = message.userProperties.map { string($0.name) + [UInt8(ascii: ":")] + string($0.value) }
            add(
                "user-properties",
                [UInt8(ascii: "{")] + pairs.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "}")]
            )
        }
        guard !members.isEmpty else { return [] }
        return Array("\"properties\":{".utf8) + members.joined(separator: [UInt8(ascii: ",")]) + Array("},".utf8)
    }

    private static func string(_ text: String) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return (try? encoder.encode(text)).map(Array.init) ?? Array("\"\"".utf8)
    }
}
