import Testing

@testable import Bridge

private let key = [UInt8](repeating: 9, count: 32)

private func redact(_ rules: [String: Redaction], _ json: String) throws -> String {
    String(decoding: try Redactor(rules, key: key).redact(Array(json.utf8)), as: UTF8.self)
}

@Suite("Redaction")
struct RedactorTests {
    @Test("drops fields wherever a path leads, and copies the rest byte for byte")
    func drop() throws {
        #expect(try redact(["card": .drop], #"{"a":1,"card":"4111","b":2}"#) == #"{"a":1,"b":2}"#)
        #expect(try redact(["card": .drop], #"{"card":"4111"}"#) == "{}")
        #expect(
            try redact(["c.card": .drop], #"{"card":1,"c":{"card":2,"x":3}}"#)
                == #"{"card":1,"c":{"x":3}}"#
        )
        #expect(
            try redact(["items.card": .drop], #"{"items":[{"card":1,"n":1},{"n":2},[{"card":3}]]}"#)
                == #"{"items":[{"n":1},{"n":2},[{}]]}"#
        )
        #expect(
            try redact(["*.card": .drop], #"{"card":0,"x":{"card":1},"y":{"z":{"card":2}}}"#)
                == #"{"card":0,"x":{},"y":{"z":{"card":2}}}"#
        )
        #expect(
            try redact(["**.card": .drop], #"{"card":0,"x":{"card":1},"y":[{"z":{"card":2}}]}"#)
                == #"{"x":{},"y":[{"z":{}}]}"#
        )
        #expect(try redact(["c\u{e9}": .drop], #"{"c\u00e9":1,"d":2}"#) == #"{"d":2}"#)
        #expect(try redact(["card": .drop], #"{"card":1,"card":2,"\u0063ard":3,"c":4}"#) == #"{"c":4}"#)
        #expect(try redact(["card": .drop], #"[{"card":1},{"n":1.10}]"#) == #"[{},{"n":1.10}]"#)
        let untouched = #"{"n":12345678901234567890.12345678901234567890e-7,"s":"\u0041\/","x":1}"#
        #expect(
            try redact(["x": .drop], untouched)
                == #"{"n":12345678901234567890.12345678901234567890e-7,"s":"\u0041\/"}"#
        )
    }

    @Test("hmac gives equal values equal pseudonyms, and the key decides")
    func pseudonyms() throws {
        let text = try redact(
            ["a": .hmac, "b": .hmac, "c": .hmac, "d": .hmac],
            #"{"a":"x","b":"\u0078","c":"y","d":["x",null]}"#
        )
        let parts = text.split(separator: "\"").map(String.init)
        let hexes = parts.filter { $0.count == 32 && $0.allSatisfy(\.isHexDigit) }
        #expect(hexes.count == 4)
        #expect(hexes[0] == hexes[1] && hexes[0] == hexes[3] && hexes[0] != hexes[2])
        #expect(text.hasSuffix("null]}"))
        let other = try Redactor(["a": .hmac], key: [UInt8](repeating: 8, count: 32)).redact(
            Array(#"{"a":"x"}"#.utf8)
        )
        #expect(!String(decoding: other, as: UTF8.self).contains(hexes[0]))
        #expect(try redact(["a": .hmac], #"{"a":12}"#) == redact(["a": .hmac], #"{"a":"12"}"#))
        #expect(throws: BridgeError.self) { try Redactor(["a": .hmac], key: [1, 2, 3]) }
    }

    @Test(
        "round keeps decimals, exactly and half away from zero",
        arguments: [
            ("1.25", 1, "1.3"), ("-1.25", 1, "-1.3"), ("1.24", 1, "1.2"), ("9.99", 1, "10.0"),
            ("0.04", 1, "0"),
            ("5", 2, "5"),
            ("2.675", 2, "2.68"), ("55.123456789", 3, "55.123"), ("1e2", 1, "1e2"),
            ("12345e-3", 1, "12.3"),
            ("-0.01", 0, "0"),
            ("0.5", 0, "1"), ("99.5", 0, "100"), ("1.0049e1", 2, "10.05"), ("5e-10", 9, "0.000000001"),
            ("4e-10", 9, "0"),
            ("4e-12", 9, "0"), ("0.1e1", 0, "0.1e1"),
        ]
    )
    func rounding(text: String, decimals: Int, expected: String) throws {
        #expect(
            try redact(["v": .round(decimals: decimals)], "{\"v\":\(text)}") == "{\"v\":\(expected)}"
        )
    }

    @Test("round goes into arrays and leaves out what is no number")
    func roundOthers() throws {
        #expect(
            try redact(["v": .round(decimals: 1)], #"{"v":[1.26,"secret",null,{"a":1}]}"#)
                == #"{"v":[1.3,null,null,null]}"#
        )
        #expect(try redact(["v": .round(decimals: 1)], #"{"v":"55.1234","w":1}"#) == #"{"w":1}"#)
        #expect(try redact(["v": .round(decimals: 1)], #"{"v":1e999999}"#) == "{}")
    }

    @Test("the strictest of two paths wins")
    func strictest() throws {
        #expect(try redact(["a": .round(decimals: 0), "*": .drop], #"{"a":1.5}"#) == "{}")
    }

    @Test(
        "what cannot be redacted is refused",
        arguments: [
            "", "x", "5", "\"4111111111111111\"", "{", "{\"a\":1", "{\"a\":1}}", "{'a':1}", "{\"a\":01}",
            "{\"a\":NaN}",
            "[1]",
            "[\"4111\"]", "{\"a\":\"\u{1}\"}", "{\"a\":\"\\x\"}", "{\"a\":1,}", "null",
        ]
    )
    func refused(text: String) {
        #expect(throws: RedactionFailure.self) { try redact(["card": .drop], text) }
    }

    @Test("invalid UTF-8 and depth beyond all use are refused")
    func hostile() throws {
        let redactor = try Redactor(["card": .drop], key: key)
        #expect(throws: RedactionFailure.self) {
            try redactor.redact([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D])
        }
        let deep = Array(
            (String(repeating: "{\"a\":", count: 100_000) + "1" + String(repeating: "}", count: 100_000))
                .utf8
        )
        #expect(throws: RedactionFailure.self) { try redactor.redact(deep) }
    }

    @Test("canaries never leave: 20,000 random documents")
    func canaries() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = SplitMix64(state: seed)
        let redactor = try Redactor(
            ["secret": .drop, "**.pan": .hmac, "person.name": .hmac, "**.place": .round(decimals: 1)],
            key: key
        )
        for round in 0..<20_000 {
            var document = Document(random: random)
            let text = document.object(depth: 0, path: [])
            random = document.random
            let redacted = try redactor.redact(Array(text.utf8))
            let output = String(decoding: redacted, as: UTF8.self)
            #expect(
                !output.contains("CANARY") && !output.contains("5512345"),
                "seed \(seed) round \(round): \(text) → \(output)"
            )
            // What needs no redaction is still there, and the text is still JSON.
            #expect(
                output.split(separator: "HARMLESS").count == text.split(separator: "HARMLESS").count
                    - document.lost
            )
            #expect(throws: Never.self) { try redactor.redact(redacted) }
        }
    }
}

/// Makes random JSON with canaries exactly where the rules must find them.
private struct Document {
    var random: SplitMix64
    /// Harmless values that stand inside something that is redacted as a whole.
    var lost = 0

    mutating func object(depth: Int, path: [String]) -> String {
        var members: [String] = []
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            switch Int.random(in: 0..<8, using: &random) {
            case 0 where path.isEmpty: members.append("\(space())\(name("secret")):\(canary())")
            case 1: members.append("\(name("pan")):\(space())\(canary())")
            case 2 where path == ["person"]: members.append("\(name("name")):\(canary())")
            case 3:
                members.append(
                    "\(name("place")):55.1\(Bool.random(using: &random) ? "5512345" : "5512345e0")"
                )
            case 4 where depth < 5:
                members.append("\"person\":\(value(depth: depth, path: path + ["person"]))")
            case 5 where depth < 5:
                members.append("\"other\":\(value(depth: depth, path: path + ["other"]))")
            default: members.append("\"x\(members.count)\":\"HARMLESS\"")
            }
        }
        return "{" + members.joined(separator: ",\(space())") + "}"
    }

    private mutating func value(depth: Int, path: [String]) -> String {
        guard Bool.random(using: &random) else { return object(depth: depth + 1, path: path) }
        let count = Int.random(in: 0...3, using: &random)
        var elements: [String] = []
        for _ in 0..<count { elements.append(object(depth: depth + 1, path: path)) }
        return "[" + elements.joined(separator: ",") + "]"
    }

    private mutating func canary() -> String {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return "\"CANARY\""
        case 1: return "[\"CANARY\",[\"\\u0043ANARY CANARY\"]]"
        case 2: return "{\"deep\":\"CANARY\"}"
        default: return "\"a CANARY \\\"quoted\\\"\""
        }
    }

    /// The name as it is, or with one character escaped.
    private mutating func name(_ text: String) -> String {
        guard Int.random(in: 0..<4, using: &random) == 0, let first = text.unicodeScalars.first else {
            return "\"\(text)\""
        }
        let digits = String(first.value, radix: 16)
        return "\"\\u" + String(repeating: "0", count: 4 - digits.count) + digits + text.dropFirst()
            + "\""
    }

    private mutating func space() -> String {
        [" ", "", "\n\t"][Int.random(in: 0..<3, using: &random)]
    }
}
