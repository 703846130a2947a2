import Repeatable
import Testing

@testable import Cloud

@Suite struct RollupTests {
    @Test(arguments: [
        (#"{"value":4.5}"#, 4.5), (#" { "a" : {"value":1} , "value" : -2e3 }"#, -2_000), (#"{"value":0}"#, 0),
        (#"{"a":"\"value\":7","value":8}"#, 8), (#"{"a":["value",1],"value":9}"#, 9),
    ])
    func `the value at the top level is found`(payload: String, value: Double) {
        #expect(NumericField.value(in: Array(payload.utf8)) == value)
    }

    @Test(arguments: [
        "", "{", "17", "[1]", #"{"value":"4"}"#, #"{"value":null}"#, #"{"value":1e999}"#, #"{"a":{"value":1}}"#,
        #"{"value""#, #"{"value":"#, #"{"a":"value"}"#, #"{"value":--1}"#, #"{"a":"\"#, "\u{0}\u{1}", #"{"VALUE":1}"#,
        #"{"b":"value","c":1}"#,
    ])
    func `what has no such value has none`(payload: String) {
        #expect(NumericField.value(in: Array(payload.utf8)) == nil)
    }

    @Test func `random bytes never trap`() {
        var random = SeededRandom(seed: runSeed)
        let alphabet = Array(#"{}[]",:\ value0123456789eE+-."#.utf8) + [0, 0xFF]
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...40, using: &random)
            let bytes = (0..<count).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            _ = NumericField.value(in: Array("{\"value\"".utf8) + bytes)
            _ = NumericField.value(in: bytes)
        }
    }

    @Test(arguments: [
        ("sales/1", "sales/1"), ("ward/3/bed/7/cgm", "ward/3"), ("alarm", "alarm"), ("a//b", "a/"), ("//", "/"),
    ])
    func `the stream is the first two levels`(topic: String, stream: String) {
        #expect(RollupKey.stream(of: topic) == stream)
    }

    @Test func `a long stream is cut at a character`() {
        let stream = RollupKey.stream(of: String(repeating: "é", count: 200))
        #expect(stream.utf8.count == RollupKey.streamBytesMax)
    }

    @Test func `a message counts in the hour of its event, or of its arrival if that cannot be`() {
        let hour: Int64 = 3_600_000
        #expect(RollupKey.hour(event: noon - 5 * hour + 17, received: noon) == noon - 5 * hour)
        #expect(RollupKey.hour(event: 0, received: noon + 5) == noon)
        #expect(RollupKey.hour(event: -4, received: noon) == noon)
        #expect(RollupKey.hour(event: .max, received: noon) == noon)
        #expect(RollupKey.hour(event: .min, received: .min) == 0)
        #expect(RollupKey.hour(event: noon + hour, received: noon) == noon + hour)
    }

    @Test func `least, greatest and mean are of the values only`() {
        var rollup = Rollup()
        rollup.add(bytes: 10, value: nil)
        #expect(rollup.average == nil && rollup.minimum == nil)
        for value in [3.0, -1, 7] { rollup.add(bytes: 10, value: value) }
        #expect(rollup.count == 4 && rollup.bytes == 40)
        #expect(rollup.minimum == -1 && rollup.maximum == 7 && rollup.average == 3)
    }
}
