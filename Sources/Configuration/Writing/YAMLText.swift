/// Writes YAML line by line: mappings, lists and comments, always in the same form for the same values.
struct YAMLText {
    /// The widest that a list on one line may be.
    private static let widthMax = 110

    private(set) var text = ""
    private var indentation = 0
    /// Whether the next line begins an element of a list.
    private var beginsElement = false

    /// A line for people; an empty one stands between sections.
    mutating func comment(_ comment: String) {
        for line in comment.split(separator: "\n", omittingEmptySubsequences: false) {
            text += String(repeating: " ", count: indentation) + (line.isEmpty ? "#" : "# " + line) + "\n"
        }
    }

    /// An empty line.
    mutating func gap() { text += "\n" }

    /// `key: value`.
    mutating func pair(_ key: String, _ value: String) { line("\(key): \(Self.scalar(value))") }

    /// `key: 7`.
    mutating func pair(_ key: String, _ value: Int) { line("\(key): \(value)") }

    /// `key: true`.
    mutating func pair(_ key: String, _ value: Bool) { line("\(key): \(value)") }

    /// `key: [a, b]`, on one line if it is not too long.
    mutating func pair(_ key: String, _ values: [String]) {
        let flow = "\(key): [" + values.map(Self.quoted).joined(separator: ", ") + "]"
        guard flow.utf8.count + indentation > Self.widthMax else { return line(flow) }
        line("\(key):")
        indentation += 2
        for value in values { line("- " + Self.scalar(value)) }
        indentation -= 2
    }

    /// `key: [1, 2]`.
    mutating func pair(_ key: String, numbers: [Int]) {
        line("\(key): [" + numbers.map(String.init).joined(separator: ", ") + "]")
    }

    /// The same, if it differs from what it is without being written.
    mutating func pair<Value: Equatable>(_ key: String, _ value: Value, unless common: Value) where Value: YAMLScalar {
        if value != common { line("\(key): \(value.yaml)") }
    }

    /// The same, if there is a value.
    mutating func pair<Value: YAMLScalar>(_ key: String, _ value: Value?) {
        if let value { line("\(key): \(value.yaml)") }
    }

    /// `key:` with what `body` writes below it; nothing at all if it writes nothing.
    mutating func mapping(_ key: String, _ body: (inout YAMLText) -> Void) {
        let before = self
        line("\(key):")
        let opened = text.utf8.count
        indentation += 2
        body(&self)
        indentation -= 2
        if text.utf8.count == opened { self = before }
    }

    /// `- ` with what `body` writes as its mapping.
    mutating func element(_ body: (inout YAMLText) -> Void) {
        beginsElement = true
        indentation += 2
        body(&self)
        indentation -= 2
        beginsElement = false
    }

    /// `- { topic: a, qos: 1 }`: for what reads best on one line.
    mutating func flow(_ pairs: [(String, String)]) {
        line("- { " + pairs.map { "\($0): \($1)" }.joined(separator: ", ") + " }")
    }

    private mutating func line(_ content: String) {
        if beginsElement {
            text += String(repeating: " ", count: indentation - 2) + "- " + content + "\n"
            beginsElement = false
        } else {
            text += String(repeating: " ", count: indentation) + content + "\n"
        }
    }

    /// A text as a value: bare where no reader could take it for anything else.
    static func scalar(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: "."), UInt8(ascii: ":"):
                true
            default: false
            }
        }
        guard isPlain, let first = value.first, let last = value.last else { return quoted(value) }
        let begins = first.isLetter || first == "/"
        let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
        guard begins, last != ":", !reserved.contains(value.lowercased()) else { return quoted(value) }
        return value
    }

    /// A text within quotes; `${` stands for itself.
    static func quoted(_ value: String) -> String {
        var result = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\x" + (digits.count < 2 ? "0" : "") + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result.replacing("${", with: "$${") + "\""
    }
}

/// A value that stands on one line of YAML.
protocol YAMLScalar {
    var yaml: String { get }
}

extension String: YAMLScalar {
    var yaml: String { YAMLText.scalar(self) }
}

extension Int: YAMLScalar {
    var yaml: String { String(self) }
}

extension Bool: YAMLScalar {
    var yaml: String { String(self) }
}
