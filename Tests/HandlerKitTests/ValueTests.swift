import Crypto
import Foundation
import Repeatable
import Testing

@testable import HandlerKit

@Suite("JSON values, instants, identifiers")
struct ValueTests {
    static func parse(_ text: String) throws -> JSONValue { try JSONValue(parsing: text.utf8) }

    @Test("JSON is read as RFC 8259 has it")
    func reading() throws {
        let text = #" {"a":[1,-2.5e1,true,false,null,"x\n\u00e9\ud83d\ude00\/"],"b":{},"a2":9007199254740993} "#
        let value = try Self.parse(text)
        #expect(value["a"] == [1, -25.0, true, false, .null, "x\né😀/"])
        #expect(value["b"] == .object([:]))
        #expect(value["a2"]?.int == 9_007_199_254_740_993)
        #expect(try Self.parse(#"{"a":1,"a":2}"#)["a"] == 2)
        #expect(value[path: ["b", "c"]] == nil)
    }

    @Test(
        "What is not JSON is refused",
        arguments: [
            "", " ", "{", "}", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "-", "1.", ".5", "1e", "+1", "nul", "tru",
            "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\u{1}\"", "1 2", "1e999", "NaN",
            "[1", "{\"a\":1,}", "\"a\nb\"", "'a'", "\u{FEFF}1",
        ]
    )
    func refused(text: String) {
        #expect(throws: JSONError.self) { try Self.parse(text) }
    }

    @Test("Depth and size are limited, and invalid UTF-8 is refused")
    func limits() throws {
        let deep = String(repeating: "[", count: 15) + "1" + String(repeating: "]", count: 15)
        #expect(throws: Never.self) { try Self.parse(deep) }
        #expect(throws: JSONError.self) { try Self.parse("[" + deep + "]") }
        #expect(throws: JSONError.self) { try Self.parse(String(repeating: "[", count: 60_000)) }
        #expect(throws: JSONError.self) { try Self.parse("\"" + String(repeating: "a", count: 64 * 1024) + "\"") }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0x5C, 0x6E, 0xFF, 0x22]) }
    }

    @Test("What is written is read back, and always the same bytes")
    func roundTrip() throws {
        let value: JSONValue = [
            "z": 1, "a": [0.1, 1e300, -0.0, 1e-7, true, .null], "text": "\"\\\u{7}\u{7F}é\n", "": .object([:]),
        ]
        let bytes = value.encoded()
        #expect(try JSONValue(parsing: bytes).encoded() == bytes)
        #expect(
            String(decoding: JSONValue.object(["b": 1.5, "a": 2.0]).encoded(), as: UTF8.self) == #"{"a":2,"b":1.5}"#
        )
        #expect(JSONValue.number(.nan).encoded() == Array("null".utf8))
        #expect((try? JSONSerialization.jsonObject(with: Data(bytes))) != nil)
    }

    @Test("Random bytes never trap the reader")
    func fuzz() {
        var random = SeededRandom(seed: 99)
        let alphabet = Array(#"{}[]":,.-+eE0123456789truefalsnl\u d8"#.utf8) + [0, 0xC3, 0xFF, 0x0A]
        for _ in 0..<50_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                alphabet.randomElement(using: &random) ?? 0
            }
            guard let value = try? JSONValue(parsing: bytes) else { continue }
            #expect((try? JSONValue(parsing: value.encoded())) != nil)
        }
    }

    @Test(
        "Instants are read and written",
        arguments: [
            ("1970-01-01T00:00:00.000Z", 0), ("2026-11-22T10:15:30.250Z", 1_795_342_530_250),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999), ("1969-12-31T23:59:59.999Z", -1),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999), ("0001-01-01T00:00:00.000Z", -62_135_596_800_000),
        ] as [(String, Int64)]
    )
    func instants(text: String, milliseconds: Int64) {
        #expect(WallTime(iso8601: text)?.milliseconds == milliseconds)
        #expect(WallTime(milliseconds: milliseconds).description == text)
    }

    @Test("Instants with offsets and odd fractions are read, others are not")
    func otherInstants() {
        #expect(WallTime(iso8601: "2026-11-22T12:15:30+02:00")?.description == "2026-11-22T10:15:30.000Z")
        #expect(WallTime(iso8601: "2026-11-22 10:15:30.5z")?.milliseconds == 1_795_342_530_500)
        #expect(WallTime(iso8601: "2026-11-22T10:15:30.123456789Z")?.milliseconds == 1_795_342_530_123)
        let wrong = [
            "", "2026-11-22", "2026-11-22T10:15:30", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z", "2026-11-22T10:15:30.Z", "2026-11-22T10:15:30Zx", "0000-01-01T00:00:00Z",
            "2026-11-22T10:15:30+2:00", "2026-1-2T10:15:30Z", "२०२६-11-22T10:15:30Z",
        ]
        for text in wrong { #expect(WallTime(iso8601: text) == nil, "\(text)") }
        #expect(JSONValue.integer(1_700_000_000).instant == JSONValue.integer(1_700_000_000_000).instant)
        #expect(JSONValue.integer(-1).instant == nil && JSONValue.number(1e16).instant == nil)
        #expect(WallTime(milliseconds: .max).adding(seconds: .infinity).milliseconds == 253_402_300_799_999)
        #expect(WallTime(milliseconds: -1).day() == -1 && WallTime(milliseconds: -1).minuteOfDay() == 1439)
        #expect(WallTime(milliseconds: 0).minuteOfDay(offsetMinutes: -90) == 22 * 60 + 30)
    }

    @Test("Our SHA-256 is that of swift-crypto for every length around a block")
    func digest() {
        for length in Array(0...200) + [1000, 4096] {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) }
            #expect(HandlerKit.SHA256.digest(bytes) == Array(Crypto.SHA256.hash(data: bytes)), "\(length)")
        }
    }

    @Test("Identifiers are version 8 UUIDs that depend on every part and on nothing else")
    func identifiers() {
        let context = HandlerContext(now: WallTime(milliseconds: 0), handler: "h", site: "s", key: "k")
        var later = context
        later.now = WallTime(milliseconds: 5)
        later.totals = ["x": 1]
        #expect(context.id("a", "bc") == later.id("a", "bc"))
        #expect(context.id("a", "bc") != context.id("ab", "c"))
        later.key = "other"
        #expect(context.id("a") != later.id("a"))
        let id = UUID(uuidString: context.id("a"))
        #expect(id != nil && id?.uuid.6 ?? 0 >> 4 != 0)
        #expect(context.id("a").dropFirst(14).first == "8")
    }
}
