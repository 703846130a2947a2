/// A topic filter whose wildcards may have names: `ward/+/bed/{bed}/cgm`, `fridge/+/temp`, `pos/{till}/{rest...}`.
///
/// `{name}` stands for one level as `+` does, `{name...}` for the rest as `#` does. Matching is on bytes, and a pattern
/// that begins with a wildcard does not match topics that begin with `$` [MQTT-4.7.2-1].
public struct TopicPattern: Sendable, Hashable, CustomStringConvertible {
    /// The most levels of a pattern.
    public static let levelsMax = 32
    /// The most bytes of a pattern.
    public static let bytesMax = 1024

    private enum Level: Sendable, Hashable {
        case literal([UInt8])
        case single
        case rest
    }

    /// The pattern as it was written.
    public let pattern: String
    /// The MQTT topic filter that matches the same topics.
    public let filter: String
    /// The names of the wildcards, in order; nil for one without a name.
    public let names: [String?]
    private let levels: [Level]

    /// The pattern as it was written.
    public var description: String { pattern }

    /// Reads a pattern.
    ///
    /// - Throws: ``TopicPatternError`` that says which level is wrong.
    public init(_ pattern: String) throws(TopicPatternError) {
        guard !pattern.isEmpty else { throw TopicPatternError(pattern: pattern, problem: "it is empty") }
        guard pattern.utf8.count <= Self.bytesMax, !pattern.utf8.contains(0) else {
            throw TopicPatternError(
                pattern: pattern,
                problem: "it is longer than \(Self.bytesMax) bytes or holds U+0000"
            )
        }
        let parts = pattern.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= Self.levelsMax else {
            throw TopicPatternError(pattern: pattern, problem: "it has more than \(Self.levelsMax) levels")
        }
        guard parts[0] != "$share" else {
            throw TopicPatternError(pattern: pattern, problem: "a handler cannot share a subscription")
        }
        var levels: [Level] = []
        var names: [String?] = []
        for (index, part) in parts.enumerated() {
            let isLast = index == parts.count - 1
            switch part {
            case "+":
                levels.append(.single)
                names.append(nil)
            case "#":
                guard isLast else { throw TopicPatternError(pattern: pattern, problem: "# is not the last level") }
                levels.append(.rest)
                names.append(nil)
            default:
                guard part.hasPrefix("{"), part.hasSuffix("}") else {
                    guard !part.contains(where: { "+#{}".contains($0) }) else {
                        throw TopicPatternError(
                            pattern: pattern,
                            problem: "a wildcard must be a whole level, and \(part) is not"
                        )
                    }
                    levels.append(.literal(Array(part.utf8)))
                    continue
                }
                var name = part.dropFirst().dropLast()
                let isRest = name.hasSuffix("...")
                if isRest { name = name.dropLast(3) }
                guard Self.isName(name), !names.contains(String(name)) else {
                    throw TopicPatternError(
                        pattern: pattern,
                        problem: "\(part) needs a name of letters, digits, _ or -, used once, no digit first"
                    )
                }
                guard !isRest || isLast else {
                    throw TopicPatternError(pattern: pattern, problem: "\(part) is not the last level")
                }
                levels.append(isRest ? .rest : .single)
                names.append(String(name))
            }
        }
        self.pattern = pattern
        self.levels = levels
        self.names = names
        self.filter =
            levels.map { level in
                switch level {
                case .literal(let bytes): String(decoding: bytes, as: UTF8.self)
                case .single: "+"
                case .rest: "#"
                }
            }.joined(separator: "/")
    }

    private static func isName(_ name: Substring) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
        }
    }

    /// Whether a topic matches.
    public func matches(_ topic: UnsafeRawBufferPointer) -> Bool {
        walk(topic) { _ in }
    }

    /// Whether a topic matches.
    public func matches(_ topic: String) -> Bool {
        var topic = topic
        return topic.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }

    /// What the wildcards stand for in a topic, or nil if it does not match.
    public func captures(of topic: UnsafeRawBufferPointer) -> TopicCaptures? {
        var values: [String] = []
        guard walk(topic, { values.append(String(decoding: $0, as: UTF8.self)) }) else { return nil }
        return TopicCaptures(values: values, names: names)
    }

    /// What the wildcards stand for in a topic, or nil if it does not match.
    public func captures(of topic: String) -> TopicCaptures? {
        var topic = topic
        return topic.withUTF8 { captures(of: UnsafeRawBufferPointer($0)) }
    }

    private func walk(_ topic: UnsafeRawBufferPointer, _ capture: (Slice<UnsafeRawBufferPointer>) -> Void) -> Bool {
        if topic.first == UInt8(ascii: "$"), let first = levels.first {
            guard case .literal = first else { return false }
        }
        var start = 0
        var isPastEnd = false
        for level in levels {
            if case .rest = level {
                // `a/#` matches `a` as well; its rest is then empty.
                capture(isPastEnd ? topic[topic.count..<topic.count] : topic[start..<topic.count])
                return true
            }
            guard !isPastEnd else { return false }
            var end = start
            while end < topic.count, topic[end] != UInt8(ascii: "/") { end += 1 }
            switch level {
            case .literal(let bytes): guard topic[start..<end].elementsEqual(bytes) else { return false }
            case .single: capture(topic[start..<end])
            case .rest: break
            }
            isPastEnd = end == topic.count
            start = end + 1
        }
        return isPastEnd
    }
}

/// What the wildcards of a pattern stand for in one topic.
public struct TopicCaptures: Sendable, Hashable {
    private let values: [String]
    private let names: [String?]

    /// No wildcards.
    public static let none = TopicCaptures(values: [], names: [])

    init(values: [String], names: [String?]) {
        self.values = values
        self.names = names
    }

    /// How many there are.
    public var count: Int { values.count }

    /// The value of a wildcard by its number, counted from 1 over named and unnamed ones.
    public subscript(number: Int) -> String? { values.indices.contains(number - 1) ? values[number - 1] : nil }

    /// The value of a wildcard by its name, or by its number written as text.
    public subscript(name: String) -> String? {
        if let number = Int(name) { return self[number] }
        guard let index = names.firstIndex(of: name) else { return nil }
        return values[index]
    }
}

/// A topic pattern or template is not one.
public struct TopicPatternError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was written.
    public var pattern: String
    /// What is wrong with it.
    public var problem: String

    /// Makes an error.
    public init(pattern: String, problem: String) {
        self.pattern = pattern
        self.problem = problem
    }

    /// What was written, and what is wrong with it.
    public var description: String { "\(pattern): \(problem)" }
}
