/// Why users, rules or keys could not be read, or not be written.
public struct AccessError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Sendable, Hashable {
        /// The password file cannot be used.
        case passwordFile
        /// An access rule is not valid.
        case accessRule
        /// The ACL file cannot be used.
        case accessFile
        /// The roles, groups and users do not fit together.
        case roles
        /// The key file of tokens cannot be used.
        case tokens
        /// The state file of dynamic security cannot be used.
        case dynamicSecurity
        /// A file could not be written.
        case writing
    }

    /// What kind of failure it is.
    public let code: Code
    /// One sentence for the operator, with file and line where there is one. It holds no secrets.
    public let message: String
    /// What the layer below said.
    public let cause: (any Error)?
    /// Where in the code it was made.
    public let fileID: String
    /// Where in the code it was made.
    public let line: Int

    init(
        _ code: Code,
        _ message: String,
        cause: (any Error)? = nil,
        fileID: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = Self.visible(message)
        self.cause = cause
        self.fileID = fileID
        self.line = line
    }

    /// The text on one line: what a file holds moves no operator's cursor, and ends no line of a log.
    private static func visible(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { line, scalar in
            switch scalar.value {
            case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E: line += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: line.unicodeScalars.append(scalar)
            }
        }
    }

    /// The message, and what the layer below said.
    public var description: String {
        guard let cause else { return message }
        return "\(message) (\(cause))"
    }
}
