import HandlerKit
import Repeatable
import Testing

@Suite("Topic patterns and templates")
struct TopicPatternTests {
    @Test(
        "A pattern matches as the MQTT filter it stands for",
        arguments: [
            ("ward/+/bed/{bed}/cgm", "ward/3/bed/12/cgm", true), ("ward/+/bed/{bed}/cgm", "ward/3/bed/12", false),
            ("ward/+/bed/{bed}/cgm", "ward/3/bed/12/cgm/x", false), ("a/#", "a", true), ("a/#", "a/b/c", true),
            ("a/#", "b", false), ("a/{rest...}", "a/b/c", true), ("#", "a/b", true), ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false), ("{a}/x", "$SYS/x", false), ("$SYS/#", "$SYS/x", true), ("+", "", true),
            ("a/+", "a/", true), ("a/+", "a", false), ("a//b", "a//b", true), ("a/+/b", "a//b", true),
            ("a", "a/", false), ("/a", "/a", true), ("/+", "/a", true), ("é/+", "é/x", true),
        ]
    )
    func matching(pattern: String, topic: String, matches: Bool) throws {
        let pattern = try TopicPattern(pattern)
        #expect(pattern.matches(topic) == matches)
        #expect((pattern.captures(of: topic) != nil) == matches)
    }

    @Test("Captures have numbers and names")
    func captures() throws {
        let pattern = try TopicPattern("ward/+/bed/{bed}/{rest...}")
        #expect(pattern.filter == "ward/+/bed/+/#")
        let captures = try #require(pattern.captures(of: "ward/7/bed/12/pump/state"))
        #expect(captures.count == 3)
        #expect(captures[1] == "7" && captures[2] == "12" && captures[3] == "pump/state")
        #expect(captures["bed"] == "12" && captures["rest"] == "pump/state" && captures["2"] == "12")
        #expect(captures[0] == nil && captures[4] == nil && captures["none"] == nil)
        #expect(try TopicPattern("a/#").captures(of: "a")?[1] == "")
    }

    @Test(
        "What is no pattern is refused with the reason",
        arguments: [
            "", "a/#/b", "a+/b", "a/b#", "{rest...}/a", "{}/a", "{1}/a", "{a b}/c", "{a}/{a}", "a/{b", "a/b}",
            "$share/group/a", String(repeating: "a/", count: 32) + "a", String(repeating: "a", count: 1025),
        ]
    )
    func refused(pattern: String) {
        let error = #expect(throws: TopicPatternError.self) { try TopicPattern(pattern) }
        #expect(error?.problem.isEmpty == false)
    }

    @Test("A template is filled from captures, then from the payload's fields")
    func templates() throws {
        let pattern = try TopicPattern("pos/{till}/sale")
        let captures = try #require(pattern.captures(of: "pos/4/sale"))
        let payload: JSONValue = ["customer": "c9", "till": "no", "basket": ["id": 17], "deep": ["list": [1]]]
        func fill(_ text: String) throws -> String? {
            try TopicTemplate(text).filled(captures: captures, payload: payload)
        }
        #expect(try fill("{till}") == "4")
        #expect(try fill("{1}-{customer}") == "4-c9")
        #expect(try fill("{payload.basket.id}") == "17")
        #expect(try fill("{payload.till}") == "no")
        #expect(try fill("{nobody}") == nil)
        #expect(try fill("{payload.deep.list}") == nil, "A list is no key")
        #expect(try fill("{2}") == nil)
        #expect(try TopicTemplate("{till}").needsPayload(for: pattern) == false)
        #expect(try TopicTemplate("{customer}").needsPayload(for: pattern))
        #expect(throws: TopicPatternError.self) { try TopicTemplate("a{b") }
        #expect(throws: TopicPatternError.self) { try TopicTemplate("a}b") }
        #expect(throws: TopicPatternError.self) { try TopicTemplate("{}") }
        #expect(throws: TopicPatternError.self) { try TopicTemplate("") }
    }

    @Test("What is filled into a topic stays one level, and different values stay different")
    func escaping() throws {
        let template = try TopicTemplate("hnd/{key}/x")
        let values = ["a/b", "a%2Fb", "+", "#", "\u{0}", "a b", "é", "%", "%25"]
        let topics = values.compactMap { template.topic(["key": $0]) }
        #expect(Set(topics).count == values.count)
        for topic in topics {
            #expect(topic.split(separator: "/", omittingEmptySubsequences: false).count == 3)
            #expect(!topic.contains("+") && !topic.contains("#") && !topic.utf8.contains(0))
        }
    }

    @Test("No topic and no pattern makes it trap")
    func fuzz() {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        let pieces = ["a", "+", "#", "/", "{", "}", "x", "...", "$", "é", "1", "{n}", "{r...}", ""]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...8, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            let topic = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                ["a", "/", "x", "$", "é"].randomElement(using: &random) ?? ""
            }.joined()
            _ = (try? TopicPattern(text))?.captures(of: topic)
            _ = (try? TopicTemplate(text))?.filled(captures: .none, payload: .null)
        }
    }
}
