/// What one reading of a configuration gathers: its mistakes and the files it names. Confined to the call that reads.
final class Reader {
    let file: String
    private(set) var problems: [ConfigurationProblem] = []
    private(set) var references: [FileReference] = []

    init(file: String) {
        self.file = file
    }

    func report(
        _ severity: ConfigurationProblem.Severity = .error,
        at position: SourcePosition,
        path: String,
        _ message: String,
        hint: String? = nil
    ) {
        problems.append(
            ConfigurationProblem(
                severity: severity,
                file: file,
                position: position,
                path: path,
                message: message,
                hint: hint
            )
        )
    }

    func refer(to path: String, _ purpose: FileReference.Purpose, setting: String, at position: SourcePosition) {
        references.append(FileReference(purpose: purpose, path: path, setting: setting, position: position))
    }

    /// Reads a whole document: `build` is given the root mapping and returns the value.
    static func load<Value: Sendable>(
        text: String,
        file: String,
        environment: [String: String],
        _ build: (Reader, Fields) -> Value?
    ) -> ConfigurationOutcome<Value> {
        let reader = Reader(file: file)
        do throws(SourceParser.Failure) {
            let (root, failures) = try SourceParser.parse(text, environment: environment)
            for failure in failures { reader.report(failure) }
            return reader.outcome(of: root, build)
        } catch {
            reader.report(error)
            return .refused(reader.sortedProblems)
        }
    }

    private func report(_ failure: SourceParser.Failure) {
        report(at: failure.position, path: failure.path, failure.message, hint: failure.hint)
    }

    /// Reads the root of a document: `build` is given its mapping and returns the value.
    func outcome<Value: Sendable>(
        of root: SourceNode?,
        _ build: (Reader, Fields) -> Value?
    ) -> ConfigurationOutcome<Value> {
        var value: Value?
        if let root, case .mapping(let entries) = root.content {
            let fields = Fields(reader: self, path: "", position: root.position, entries: entries)
            value = build(self, fields)
            fields.refuseUnknownKeys()
        } else if let root, !root.isNull {
            report(
                at: root.position,
                path: "",
                "expected settings, found \(root.kindName)",
                hint: "a setting is written 'name: value'"
            )
        } else {
            report(at: .start, path: "", "the file is empty")
        }
        let problems = sortedProblems
        if let value, !problems.contains(where: { $0.severity == .error }) {
            return .loaded(value, warnings: problems)
        }
        return .refused(problems)
    }

    /// In the order of the file; an unset variable's empty value is not reported a second time.
    private var sortedProblems: [ConfigurationProblem] {
        var seen: Set<SourcePosition> = []
        let inOrder = problems.enumerated().sorted {
            ($0.element.position, $0.offset) < ($1.element.position, $1.offset)
        }
        return inOrder.compactMap { entry in
            let problem = entry.element
            let isVariable = problem.message.contains("environment variable") || problem.message.hasPrefix("'${'")
            if isVariable { seen.insert(problem.position) }
            return isVariable || !seen.contains(problem.position) ? problem : nil
        }
    }
}

/// The entries of one mapping. Every key the schema knows is asked for once; what is left over is a mistake.
final class Fields {
    let reader: Reader
    let path: String
    let position: SourcePosition
    private var entries: [String: SourceNode.Entry]
    private let order: [String]
    private var known: [String] = []

    init(reader: Reader, path: String, position: SourcePosition, entries: [SourceNode.Entry]) {
        self.reader = reader
        self.path = path
        self.position = position
        // Yams refuses two equal keys, but tells `"1"` and `1` apart; the first counts here.
        self.entries = Dictionary(entries.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        order = entries.map(\.key)
    }

    /// The field of a key, present or not.
    func field(_ key: String) -> Field {
        known.append(key)
        let entry = entries.removeValue(forKey: key)
        return Field(
            reader: reader,
            path: path.isEmpty ? key : "\(path).\(key)",
            position: entry?.value.position ?? position,
            keyPosition: entry?.keyPosition ?? position,
            node: entry?.value
        )
    }

    /// Keys that are not part of the schema but whose values are free-form, such as a redaction's field names.
    func takeRest() -> [Field] {
        let rest = order.compactMap { entries.removeValue(forKey: $0) }
        return rest.map { entry in
            Field(
                reader: reader,
                path: path.isEmpty ? entry.key : "\(path).\(entry.key)",
                position: entry.value.position,
                keyPosition: entry.keyPosition,
                node: entry.value,
                key: entry.key
            )
        }
    }

    /// Reports what nobody asked for.
    func refuseUnknownKeys() {
        for entry in order.compactMap({ entries.removeValue(forKey: $0) }) {
            let suggestion = Suggestion.closest(to: entry.key, among: known)
            reader.report(
                at: entry.keyPosition,
                path: path.isEmpty ? entry.key : "\(path).\(entry.key)",
                "unknown setting '\(entry.key)'",
                hint: suggestion.map { "did you mean '\($0)'?" } ?? "known here: \(known.joined(separator: ", "))"
            )
        }
    }

    /// Reports a mistake of the mapping as a whole.
    func report(_ message: String, hint: String? = nil) {
        reader.report(at: position, path: path, message, hint: hint)
    }
}
