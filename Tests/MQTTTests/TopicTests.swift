import NIOCore
import Repeatable
import Testing

@testable import MQTT

/// What the standard says of names and filters, row by row.
private enum TopicTable {
    static let matches: [(String, String, Bool)] = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/tennis/player1/#", "sport/tennis/player10", false),
        ("sport/#", "sport", true),
        ("#", "a", true), ("#", "/", true), ("#", "a/b/c", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false), ("sport/+", "sport/", true),
        ("+/+", "/finance", true), ("/+", "/finance", true), ("+", "/finance", false),
        ("+", "a", true), ("+", "", false), ("+/tennis/#", "a/tennis", true),
        ("#", "$SYS/monitor", false), ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor", true), ("$SYS/#", "$SYS", true), ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/#", "a/$SYS", true), ("a/+", "a/$b", true), ("+/#", "$a", false),
        ("Accounts", "ACCOUNTS", false), ("a", "a/", false), ("/a", "a", false), ("a//b", "a/b", false),
        ("a/+/b", "a//b", true), ("a/+/#", "a", false), ("a/+/#", "a/", true), ("//", "//", true),
        ("$share/group/a/+", "a/b", true), ("$share/group/#", "$SYS/a", false), ("$share/g//a", "/a", true),
        ("a", "b", false), ("ab", "a", false), ("a", "ab", false), ("a/b/#", "a", false),
    ]

    static let invalidFilters: [(String, String)] = [
        ("", "MQTT-4.7.3-1"), ("sport/tennis#", "MQTT-4.7.1-1"), ("sport/#/ranking", "MQTT-4.7.1-1"),
        ("##", "MQTT-4.7.1-1"), ("#/", "MQTT-4.7.1-1"), ("sport+", "MQTT-4.7.1-2"), ("+a", "MQTT-4.7.1-2"),
        ("a/+b/c", "MQTT-4.7.1-2"), ("++", "MQTT-4.7.1-2"), ("a/b+/c", "MQTT-4.7.1-2"),
        ("$share", "MQTT-4.8.2-1"), ("$share/", "MQTT-4.8.2-1"), ("$share//t", "MQTT-4.8.2-1"),
        ("$share/ab", "MQTT-4.8.2-2"), ("$share/+/t", "MQTT-4.8.2-2"), ("$share/a#/t", "MQTT-4.8.2-2"),
        ("$share/g/", "MQTT-4.7.3-1"), ("$share/g/a+", "MQTT-4.7.1-2"), ("$share/g/#/a", "MQTT-4.7.1-1"),
        ("a\u{0}b", "MQTT-1.5.4-1"), ("a\nb", "1.5.4"), ("a\u{85}", "1.5.4"), ("a\u{FFFE}", "1.5.4"),
    ]

    static let invalidNames: [(String, UInt8)] = [
        ("", 0x82), ("a/+", 0x90), ("#", 0x90), ("a\u{0}", 0x81), ("a\u{1B}[31m", 0x90),
        (String(repeating: "/", count: 32), 0x90), (String(repeating: "a", count: 65_536), 0x90),
    ]
}

@Suite("Topic names and filters")
struct TopicTests {
    @Test("A filter matches what section 4.7 says", arguments: TopicTable.matches)
    func matching(_ filter: String, _ topic: String, _ matches: Bool) throws {
        let filter = try TopicFilter(filter)
        let topic = TopicName(stringLiteral: topic)
        #expect(filter.matches(topic) == matches)
        var tree = SubscriptionTree<Int, Int>()
        tree.insert(filter, subscriber: 1, value: 1)
        var found = 0
        tree.forEachMatch(topic) { _, _ in found += 1 }
        #expect(found == (matches ? 1 : 0))
        guard !topic.isEmpty else { return }
        var index = RetainedIndex<Int>()
        index.set(topic, 1)
        found = 0
        index.forEachMatch(filter) { _, _ in found += 1 }
        #expect(found == (matches ? 1 : 0))
    }

    @Test("A filter that is not valid is refused with 0x8F", arguments: TopicTable.invalidFilters)
    func invalidFilters(_ text: String, _ statement: String) throws {
        let error = try #require(throws: MQTTError.self) { try TopicFilter(text) }
        #expect(error.reason == .topicFilterInvalid)
        #expect(error.statement == statement)
    }

    @Test("A filter has as many levels and bytes as it may, without its share prefix")
    func filterLimits() throws {
        let levels = String(repeating: "/", count: 31)
        #expect(throws: Never.self) { try TopicFilter(levels) }
        #expect(throws: Never.self) { try TopicFilter("$share/group/" + levels) }
        #expect(throws: MQTTError.self) { try TopicFilter("/" + levels) }
        #expect(throws: MQTTError.self) { try TopicFilter("$share/group//" + levels) }
        #expect(throws: MQTTError.self) { try TopicFilter(String(repeating: "/", count: 201), maxLevels: 10_000) }
        #expect(throws: MQTTError.self) { try TopicFilter(String(repeating: "+/", count: 30_000), maxLevels: 100_000) }
        #expect(throws: MQTTError.self) { try TopicFilter(String(repeating: "a", count: 65_536)) }
        #expect(throws: MQTTError.self) { try TopicFilter(bytes: [0x61, 0xFF]) }
    }

    @Test("A shared filter knows its group and its filter")
    func shared() throws {
        let filter = try TopicFilter("$share/consumer-1/sport/+")
        #expect(filter.isShared)
        #expect(filter.shareName == "consumer-1")
        #expect(filter.unshared.string == "sport/+")
        #expect(filter.unshared.hasWildcards)
        #expect(!filter.unshared.isShared)
        #expect(filter.string == "$share/consumer-1/sport/+")
        let plain = try TopicFilter("$shared/a/b")
        #expect(!plain.isShared)
        #expect(plain.shareName == nil)
        #expect(plain.unshared == plain)
    }

    @Test("Names and filters are compared by their bytes, not as Unicode calls them equal [MQTT-4.7.3-4]")
    func bytesNotCharacters() throws {
        let composed = "caf\u{E9}"
        let decomposed = "cafe\u{301}"
        #expect(composed == decomposed, "as Swift strings they are equal")
        #expect(try TopicFilter(composed) != TopicFilter(decomposed))
        #expect(TopicName(stringLiteral: composed) != TopicName(stringLiteral: decomposed))
        #expect(try !TopicFilter(composed).matches(TopicName(stringLiteral: decomposed)))
    }

    @Test("A topic name is refused where section 4.7 says so", arguments: TopicTable.invalidNames)
    func invalidNames(_ text: String, _ reason: UInt8) throws {
        let error = try #require(throws: MQTTError.self) { try TopicName(validating: text) }
        #expect(error.reason == ReasonCode(rawValue: reason))
    }

    @Test("Equal names hash alike wherever their bytes are, and most unequal ones do not")
    func hashing() throws {
        var hashes: Set<Int> = []
        for number in 0..<2_000 {
            let text = "ward/\(number % 7)/bed/\(number)/cgm"
            let name = try TopicName(validating: text)
            var shifted = ByteBuffer(string: "xyz" + text)
            shifted.moveReaderIndex(forwardBy: 3)
            let other = TopicName(uncheckedBytes: shifted)
            #expect(name == other)
            #expect(name.hashValue == other.hashValue)
            hashes.insert(name.hashValue)
        }
        #expect(hashes.count == 2_000)
        #expect(TopicName(stringLiteral: "a").hashValue != TopicName(stringLiteral: "aa").hashValue)
    }

    @Test("UTF-8 is judged as the standard library judges it, for all scalars and random bytes")
    func utf8() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededRandom(seed: seed)
        func check(_ bytes: [UInt8]) {
            let valid = String(validating: bytes, as: UTF8.self) != nil && !bytes.contains(0)
            let found = bytes.withUnsafeBytes { UTF8Check($0) }
            #expect(found.isValid == valid, "\(Hex.text(bytes)), seed \(seed)")
            guard valid else { return }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(found.separators == bytes.count { $0 == 0x2F })
            #expect(found.hasWildcards == (bytes.contains(0x2B) || bytes.contains(0x23)))
            let controls = text.unicodeScalars.contains {
                $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || $0.value & 0xFFFE == 0xFFFE
                    || (0xFDD0...0xFDEF).contains($0.value)
            }
            #expect(found.hasControls == controls, "\(Hex.text(bytes)), seed \(seed)")
        }
        let interesting: [UInt8] = [
            0, 1, 0x1F, 0x20, 0x23, 0x2B, 0x2F, 0x61, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED,
            0xEF, 0xF0, 0xF4, 0xF5, 0xFF, 0x90, 0x8F,
        ]
        for _ in 0..<20_000 {
            let bytes = (0..<generator.int(0...12)).map { _ in
                generator.oneIn(2) ? 0x61 : generator.pick(interesting)
            }
            check(bytes)
        }
        for value in stride(from: UInt32(1), through: 0x10FFFF, by: 61) {
            guard let scalar = Unicode.Scalar(value) else { continue }
            check(Array(String(repeating: "x", count: generator.int(0...8)).utf8) + Array(String(scalar).utf8))
        }
    }
}
