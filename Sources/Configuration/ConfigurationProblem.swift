/// A place in a configuration file. Lines and columns count from 1.
public struct SourcePosition: Sendable, Hashable, Comparable {
    /// The line.
    public var line: Int
    /// The column, in Unicode scalars.
    public var column: Int

    /// Makes a position.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// The first character of a file.
    public static let start = SourcePosition(line: 1, column: 1)

    /// Orders positions as they stand in the file.
    public static func < (left: SourcePosition, right: SourcePosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// One mistake in a configuration, with its place and, where there is one, the way out.
public struct ConfigurationProblem: Error, Sendable, Hashable {
    /// How bad it is.
    public enum Severity: String, Sendable, Hashable, CaseIterable {
        /// The configuration is refused.
        case error
        /// The configuration works, but hardly as meant.
        case warning
    }

    /// How bad it is.
    public var severity: Severity
    /// The file, as it was named on the command line.
    public var file: String
    /// Where in the file.
    public var position: SourcePosition
    /// Which setting, such as `listeners[0].tls.certfile`. Empty for the file as a whole.
    public var path: String
    /// What is wrong. Never holds a secret: values of the environment are not repeated.
    public var message: String
    /// What to do about it.
    public var hint: String?

    /// What the file at fault is for, where the problem is with a file that the configuration names.
    public var purpose: FileReference.Purpose?

    /// The line, from 1.
    public var line: Int { position.line }
    /// The column, from 1.
    public var column: Int { position.column }

    /// Makes a problem.
    public init(
        severity: Severity = .error,
        file: String,
        position: SourcePosition,
        path: String,
        message: String,
        hint: String? = nil,
        purpose: FileReference.Purpose? = nil
    ) {
        self.severity = severity
        self.file = file
        self.position = position
        self.path = path
        self.message = message
        self.hint = hint
        self.purpose = purpose
    }
}

extension ConfigurationProblem: CustomStringConvertible {
    /// `site.yaml:7:11: error: listeners[0].bind: message (hint)`: the form editors and compilers share, on one line.
    public var description: String {
        var text = "\(file):\(line):\(column): \(severity.rawValue): "
        if !path.isEmpty { text += "\(path): " }
        text += message
        if let hint { text += " (\(hint))" }
        return text.visible
    }
}

/// What became of a configuration text.
public enum ConfigurationOutcome<Value: Sendable>: Sendable {
    /// It is right. The warnings, if any, are worth a line in the log each.
    case loaded(Value, warnings: [ConfigurationProblem])
    /// It is wrong: every mistake found, in the order of the file, warnings included.
    case refused([ConfigurationProblem])

    /// The value, or nil if the text was refused.
    public var value: Value? {
        guard case .loaded(let value, _) = self else { return nil }
        return value
    }

    /// Everything found, errors and warnings, in the order of the file.
    public var problems: [ConfigurationProblem] {
        switch self {
        case .loaded(_, let warnings): warnings
        case .refused(let problems): problems
        }
    }
}
