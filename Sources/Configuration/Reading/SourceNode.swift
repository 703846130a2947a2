internal import Yams

/// A YAML node of our own: what Yams parsed, with positions, without anchors and tags, and of bounded size.
struct SourceNode {
    /// What kind of node.
    enum Content {
        /// A scalar. Quoted ones are always text.
        case scalar(String, isQuoted: Bool)
        case sequence([SourceNode])
        case mapping([Entry])
    }

    /// One entry of a mapping.
    struct Entry {
        var key: String
        var keyPosition: SourcePosition
        var value: SourceNode
    }

    var content: Content
    var position: SourcePosition

    /// What a person would call it.
    var kindName: String {
        switch content {
        case .scalar(let text, let isQuoted):
            if !isQuoted {
                if ScalarType.isNull(text) { return "nothing" }
                if ScalarType.bool(text) != nil { return "a truth value" }
                if Int64(text) != nil || Double(text) != nil { return "a number" }
            }
            return "text"
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        }
    }

    /// True for `~`, `null` and an empty value.
    var isNull: Bool {
        guard case .scalar(let text, false) = content else { return false }
        return ScalarType.isNull(text)
    }
}

/// How plain scalars read: the core schema of YAML 1.2, without its octal and hexadecimal corners.
enum ScalarType {
    static func isNull(_ text: String) -> Bool { text.isEmpty || text == "~" || text == "null" || text == "Null" }

    static func bool(_ text: String) -> Bool? {
        switch text {
        case "true", "True", "TRUE": true
        case "false", "False", "FALSE": false
        default: nil
        }
    }
}

/// Turns YAML text into a ``SourceNode``.
struct SourceParser {
    /// The largest text that is parsed.
    static let bytesMax = 4 << 20
    /// The most nodes a text may amount to once its aliases are written out.
    static let nodesMax = 100_000
    /// How deep lists and mappings may nest.
    static let depthMax = 64
    /// How far a line may be indented.
    static let indentationMax = 4 * depthMax

    /// Why there is no node.
    struct Failure: Error {
        var position: SourcePosition
        var path = ""
        var message: String
        var hint: String?
    }

    private var nodeCount = 0
    private let environment: [String: String]
    /// Mistakes that do not keep the rest from being read, such as an unset environment variable.
    private(set) var failures: [Failure] = []

    private init(environment: [String: String]) {
        self.environment = environment
    }

    /// Parses one document.
    ///
    /// - Returns: the root, nil for an empty document, and what was wrong inside scalars.
    static func parse(_ text: String, environment: [String: String]) throws(Failure) -> (SourceNode?, [Failure]) {
        guard text.utf8.count <= bytesMax else {
            throw Failure(position: .start, message: "the file is larger than \(bytesMax >> 20) MiB")
        }
        try refuseDeepNesting(text)
        let root: Node?
        do {
            // Left out, the encoding would be a variable of the environment.
            root = try compose(yaml: text, .default, .default, .utf8)
        } catch let error as YamlError {
            throw failure(of: error)
        } catch {
            throw Failure(position: .start, message: "the file cannot be read as YAML")
        }
        guard let root else { return (nil, []) }
        var parser = SourceParser(environment: environment)
        let node = try parser.convert(root, path: "", depth: 0)
        return (node, parser.failures)
    }

    /// Yams recurses per level and hashes whole keys, so nesting is bounded before it sees the text: by open brackets,
    /// by block indicators at the beginning of a line, and by indentation. Brackets in quotes may be counted too.
    private static func refuseDeepNesting(_ text: String) throws(Failure) {
        var line = 1
        var open = 0
        var indicators = 0
        var indentation = 0
        var isLineStart = true
        var isComment = false
        var previous = UInt8(ascii: "\n")
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\n") {
                line += 1
                indicators = 0
                indentation = 0
                isLineStart = true
                isComment = false
            } else if !isComment {
                switch byte {
                case UInt8(ascii: "#"):
                    isComment = previous == UInt8(ascii: " ") || previous == UInt8(ascii: "\n")
                case UInt8(ascii: "["), UInt8(ascii: "{"): open += 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"): open = max(0, open - 1)
                case UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":"):
                    if isLineStart { indicators += 1 }
                case UInt8(ascii: " "):
                    if isLineStart { indentation += 1 }
                default: isLineStart = false
                }
            }
            previous = byte
            guard open <= depthMax, indicators <= depthMax, indentation <= indentationMax else {
                throw Failure(
                    position: SourcePosition(line: line, column: 1),
                    message: "lists and mappings nest deeper than \(depthMax) levels"
                )
            }
        }
    }

    private mutating func convert(_ node: Node, path: String, depth: Int) throws(Failure) -> SourceNode {
        let position = Self.position(node.mark)
        nodeCount += 1
        guard nodeCount <= Self.nodesMax else {
            throw Failure(position: position, message: "the file amounts to more than \(Self.nodesMax) values")
        }
        guard depth <= Self.depthMax else {
            throw Failure(
                position: position,
                message: "lists and mappings nest deeper than \(Self.depthMax) levels"
            )
        }
        switch node {
        case .scalar(let scalar):
            let text = substitute(scalar.string, path: path, position: position)
            // Within braces YAML itself wants quotes around `${PORT}`; the value may be a number all the same.
            let isQuoted = scalar.style != .plain && text == scalar.string
            return SourceNode(content: .scalar(text, isQuoted: isQuoted), position: position)
        case .sequence(let sequence):
            var elements: [SourceNode] = []
            for (index, element) in sequence.enumerated() {
                elements.append(try convert(element, path: "\(path)[\(index)]", depth: depth + 1))
            }
            return SourceNode(content: .sequence(elements), position: position)
        case .mapping(let mapping):
            var entries: [SourceNode.Entry] = []
            for (key, value) in mapping {
                let keyPosition = Self.position(key.mark)
                guard case .scalar(let name) = key else {
                    throw Failure(position: keyPosition, message: "a key must be a word, not a list or a mapping")
                }
                let inner = path.isEmpty ? name.string : "\(path).\(name.string)"
                let converted = try convert(value, path: inner, depth: depth + 1)
                entries.append(.init(key: name.string, keyPosition: keyPosition, value: converted))
            }
            return SourceNode(content: .mapping(entries), position: position)
        case .alias:
            throw Failure(position: position, message: "an alias that leads nowhere")
        }
    }

    private mutating func substitute(_ text: String, path: String, position: SourcePosition) -> String {
        guard text.contains("${") else { return text }
        var result = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                result += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                let body = rest.dropFirst(2)
                guard let close = body.firstIndex(of: "}") else {
                    failures.append(
                        Failure(
                            position: position,
                            path: path,
                            message: "'${' is not closed",
                            hint: "write ${NAME}, or $${ for the characters themselves"
                        )
                    )
                    return text
                }
                result += value(of: String(body[..<close]), path: path, position: position)
                rest = body[body.index(after: close)...]
            } else {
                result.append("$")
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }

    private mutating func value(of name: String, path: String, position: SourcePosition) -> String {
        let isName =
            name.first.map { $0.isASCII && ($0.isLetter || $0 == "_") } ?? false
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        guard isName else {
            failures.append(
                Failure(
                    position: position,
                    path: path,
                    message: "'${\(name)}' is not the name of an environment variable",
                    hint: "write ${NAME}, or $${ for the characters themselves"
                )
            )
            return ""
        }
        guard let value = environment[name] else {
            failures.append(
                Failure(
                    position: position,
                    path: path,
                    message: "the environment variable \(name) is not set",
                    hint: "set it before starting, or write $${\(name)} for the characters themselves"
                )
            )
            return ""
        }
        return value
    }

    private static func position(_ mark: Mark?) -> SourcePosition {
        guard let mark else { return .start }
        return SourcePosition(line: max(1, mark.line), column: max(1, mark.column))
    }

    private static func failure(of error: YamlError) -> Failure {
        switch error {
        case .scanner(_, let problem, let mark, let yaml), .parser(_, let problem, let mark, let yaml):
            let place = position(mark)
            let hint = isVariable(at: place, in: yaml) ? variableHint : hint(for: problem)
            return Failure(position: place, message: "not YAML: \(problem)", hint: hint)
        case .composer(_, let problem, let mark, _):
            return Failure(position: position(mark), message: "not YAML: \(problem)")
        case .reader(let problem, let offset, _, let yaml):
            return Failure(position: place(of: offset, in: yaml), message: "not YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.map { "'\($0)'" }.joined(separator: ", ")
            return Failure(
                position: position(context.mark),
                message: "the key \(names) is given more than once in one mapping",
                hint: "this is the first; keep one"
            )
        default:
            return Failure(position: .start, message: "the file cannot be read as YAML")
        }
    }

    private static let variableHint = "within { } or [ ], a value with ${NAME} needs quotes"

    /// Whether the parser stumbled over the brace of an unquoted `${`.
    private static func isVariable(at position: SourcePosition, in text: String) -> Bool {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.indices.contains(position.line - 1) else { return false }
        return lines[position.line - 1].prefix(position.column).hasSuffix("${")
    }

    private static func hint(for problem: String) -> String? {
        if problem.contains("cannot start any token") {
            return "YAML indents with spaces, and a text that begins with such a character needs quotes"
        }
        if problem.contains("mapping values are not allowed") {
            return "a text that holds ': ' needs quotes; otherwise look at the indentation"
        }
        if problem.contains("did not find expected") {
            return "look for a missing bracket, quote or comma just before, or for wrong indentation"
        }
        return nil
    }

    private static func place(of offset: Int?, in text: String) -> SourcePosition {
        guard let offset else { return .start }
        let before = text.prefix(offset)
        let line = before.reduce(1) { $1.isNewline ? $0 + 1 : $0 }
        let column = before.reversed().prefix { !$0.isNewline }.count + 1
        return SourcePosition(line: line, column: column)
    }
}
