/// One setting: where it stands, and its node if it was given. The reading methods report what is wrong and return nil.
struct Field {
    let reader: Reader
    let path: String
    let position: SourcePosition
    let keyPosition: SourcePosition
    let node: SourceNode?
    var key = ""

    /// True if the setting was given, be it empty.
    var isPresent: Bool { node != nil }

    /// Reports a mistake at the value.
    func report(_ message: String, hint: String? = nil, severity: ConfigurationProblem.Severity = .error) {
        reader.report(severity, at: position, path: path, message, hint: hint)
    }

    /// Reports a mistake at the key.
    func reportKey(_ message: String, hint: String? = nil, severity: ConfigurationProblem.Severity = .error) {
        reader.report(severity, at: keyPosition, path: path, message, hint: hint)
    }

    /// Reports that a required setting is missing.
    func reportMissing(hint: String? = nil) {
        report("is missing", hint: hint)
    }

    private func reportType(expected: String, found node: SourceNode, hint: String? = nil) {
        report("expected \(expected), found \(node.kindName)", hint: hint)
    }

    // MARK: Scalars

    /// The text of a scalar of any type, as written: `site: 0042` keeps its zeros.
    func text(expected: String = "text") -> String? {
        guard let node else { return nil }
        guard case .scalar(let text, _) = node.content, !node.isNull else {
            reportType(expected: expected, found: node)
            return nil
        }
        return text
    }

    /// A text that must not be empty and holds no control characters.
    func words(maxBytes: Int = 1_024) -> String? {
        guard let text = text() else { return nil }
        guard !text.isEmpty else {
            report("is empty")
            return nil
        }
        guard text.utf8.count <= maxBytes else {
            report("is longer than \(maxBytes) bytes")
            return nil
        }
        guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
            report("holds a control character")
            return nil
        }
        return text
    }

    /// A name that is fit for file names, metrics and topics.
    func name(maxBytes: Int = 64) -> String? {
        guard let text = words(maxBytes: maxBytes) else { return nil }
        let isName = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
        guard isName, !text.hasPrefix("."), !text.hasPrefix("-") else {
            report(
                "'\(text)' is not a name",
                hint: "letters, digits, '-', '_' and '.', beginning with a letter, a digit or '_'"
            )
            return nil
        }
        return text
    }

    /// The name of a site: a level of topics that every cloud broker takes, so no '.' either.
    func siteName() -> String? {
        guard let text = name() else { return nil }
        guard !text.contains(".") else {
            report("'\(text)' holds a '.'", hint: "some cloud brokers read it as '/': use '-'")
            return nil
        }
        return text
    }

    /// A truth value.
    func bool(default fallback: Bool) -> Bool { optionalBool() ?? fallback }

    /// A truth value, or nil if it was not given.
    func optionalBool() -> Bool? {
        guard let node else { return nil }
        if case .scalar(let text, let isQuoted) = node.content {
            if !isQuoted, let value = ScalarType.bool(text) { return value }
            if ["yes", "no", "on", "off", "true", "false", "1", "0"].contains(text.lowercased()) {
                report("expected a truth value, found '\(text)'", hint: "write true or false, without quotes")
                return nil
            }
        }
        reportType(expected: "true or false", found: node)
        return nil
    }

    /// Whether the value is just this word.
    func isWord(_ word: String) -> Bool {
        guard case .scalar(word, _) = node?.content else { return false }
        return true
    }

    /// A whole number within a range.
    func integer(_ range: ClosedRange<Int>) -> Int? {
        guard let node else { return nil }
        guard case .scalar(let text, let isQuoted) = node.content, !node.isNull else {
            reportType(expected: "a whole number", found: node)
            return nil
        }
        let digits = text.first == "-" || text.first == "+" ? text.dropFirst() : text[...]
        guard !isQuoted, !digits.isEmpty, digits.allSatisfy(\.isASCIIDigit) else {
            report(
                "expected a whole number, found '\(Self.excerpt(text))'",
                hint: isQuoted ? "take the quotes away" : nil
            )
            return nil
        }
        guard let value = Int(text), range.contains(value) else {
            report("\(Self.excerpt(text)) is out of range", hint: "from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value
    }

    /// A duration within a range of milliseconds. `secondsByDefault` takes a bare number as seconds, where Mosquitto
    /// does.
    func duration(_ range: ClosedRange<Int64>, secondsByDefault: Bool = false) -> Duration? {
        guard var text = text(expected: "a duration such as 30s") else { return nil }
        if secondsByDefault, !text.isEmpty, text.allSatisfy(\.isASCIIDigit) { text += "s" }
        do throws(Quantity.Malformed) {
            let value = try Quantity.milliseconds(text)
            guard range.contains(value) else {
                let low = Quantity.describe(milliseconds: range.lowerBound)
                let high = Quantity.describe(milliseconds: range.upperBound)
                report("\(text) is out of range", hint: "from \(low) to \(high)")
                return nil
            }
            return .milliseconds(value)
        } catch {
            report(error.message, hint: error.hint)
            return nil
        }
    }

    /// A number of bytes within a range.
    func bytes(_ range: ClosedRange<Int>) -> Int? {
        guard let text = text(expected: "a number of bytes such as 64MiB") else { return nil }
        do throws(Quantity.Malformed) {
            let value = try Quantity.bytes(text)
            guard let count = Int(exactly: value), range.contains(count) else {
                let low = Quantity.describe(bytes: Int64(range.lowerBound))
                let high = Quantity.describe(bytes: Int64(range.upperBound))
                report("\(text) is out of range", hint: "from \(low) to \(high)")
                return nil
            }
            return count
        } catch {
            report(error.message, hint: error.hint)
            return nil
        }
    }

    /// One of a few words.
    func choice<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) -> Choice?
    where Choice.RawValue == String {
        guard let text = text() else { return nil }
        if let value = Choice(rawValue: text) { return value }
        let words = Choice.allCases.map(\.rawValue)
        let suggestion = Suggestion.closest(to: text, among: words).map { "did you mean '\($0)'? " } ?? ""
        report(
            "'\(Self.excerpt(text))' is not known here",
            hint: "\(suggestion)one of \(words.joined(separator: ", "))"
        )
        return nil
    }

    /// A path, resolved beside the configuration file and noted for ``FileChecks``.
    func path(_ purpose: FileReference.Purpose) -> String? {
        guard let text = words(maxBytes: 4_096) else { return nil }
        let resolved = PathResolution.resolve(text, besideFile: reader.file)
        reader.refer(to: resolved, purpose, setting: path, at: position)
        return resolved
    }

    // MARK: Collections

    /// The fields of a mapping.
    func fields(hint: String? = nil) -> Fields? {
        guard let node else { return nil }
        guard case .mapping(let entries) = node.content else {
            reportType(expected: "a mapping", found: node, hint: hint)
            return nil
        }
        return Fields(reader: reader, path: path, position: position, entries: entries)
    }

    /// The elements of a list, nil if it was not given or is none.
    func elements(max: Int, hint: String? = nil) -> [Field]? {
        guard let node else { return nil }
        guard case .sequence(let nodes) = node.content else {
            reportType(expected: "a list", found: node, hint: hint)
            return nil
        }
        if nodes.count > max { report("has \(nodes.count) entries", hint: "at most \(max)") }
        return nodes.prefix(max).enumerated().map { index, node in
            Field(
                reader: reader,
                path: "\(path)[\(index)]",
                position: node.position,
                keyPosition: node.position,
                node: node
            )
        }
    }

    /// Reads a mapping with `build` and refuses what `build` did not ask for.
    func mapping<Value>(hint: String? = nil, _ build: (Fields) -> Value?) -> Value? {
        guard let fields = fields(hint: hint) else { return nil }
        let value = build(fields)
        fields.refuseUnknownKeys()
        return value
    }

    /// The value as a free-form tree.
    func value() -> ConfigurationValue? { node.map(Self.value) }

    /// Every position below this field, by path relative to it.
    func positions() -> [String: SourcePosition] {
        var positions: [String: SourcePosition] = [:]
        if let node { Self.gather(node, path: "", into: &positions) }
        return positions
    }

    private static func gather(_ node: SourceNode, path: String, into positions: inout [String: SourcePosition]) {
        if !path.isEmpty { positions[path] = node.position }
        switch node.content {
        case .scalar: break
        case .sequence(let nodes):
            for (index, node) in nodes.enumerated() { gather(node, path: "\(path)[\(index)]", into: &positions) }
        case .mapping(let entries):
            for entry in entries {
                gather(entry.value, path: path.isEmpty ? entry.key : "\(path).\(entry.key)", into: &positions)
            }
        }
    }

    private static func value(_ node: SourceNode) -> ConfigurationValue {
        switch node.content {
        case .scalar(let text, let isQuoted):
            if isQuoted { return .text(text) }
            if ScalarType.isNull(text) { return .null }
            if let bool = ScalarType.bool(text) { return .bool(bool) }
            // Only what begins like a number is one: `Double("nan")` and `Double("infinity")` are words here.
            let unsigned = text.first == "-" || text.first == "+" ? text.dropFirst() : text[...]
            guard let first = unsigned.first, first.isASCIIDigit || first == "." else { return .text(text) }
            if let integer = Int64(text) { return .integer(integer) }
            if let number = Double(text), number.isFinite { return .number(number) }
            return .text(text)
        case .sequence(let nodes): return .list(nodes.map(value))
        case .mapping(let entries):
            return .map(Dictionary(entries.map { ($0.key, value($0.value)) }, uniquingKeysWith: { first, _ in first }))
        }
    }

    /// At most this many characters of a wrong value are repeated in a message.
    private static func excerpt(_ text: String) -> String {
        text.count <= 40 ? text : text.prefix(40) + "…"
    }
}
