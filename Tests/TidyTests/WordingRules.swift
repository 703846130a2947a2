/// Words that have no place in `Sources/`, each with what to write instead.
enum WordingRules {
    struct Rule {
        let word: String
        let instead: String
        /// A word is looked for at a word boundary: `reprint(` is not `print(`.
        var inComments = false
    }

    static let rules = [
        Rule(word: "try!", instead: "handle the error"),
        Rule(word: "as!", instead: "cast with as? and handle the other case"),
        Rule(word: "print(", instead: "log, or write through the terminal of the executable"),
        Rule(word: "debugPrint(", instead: "log, or write through the terminal of the executable"),
        Rule(word: "fatalError(", instead: "preconditionFailure for our own impossible case, an error for theirs"),
        Rule(word: "TO" + "DO", instead: "do it, or say in Docs/Limits.md what is not done", inComments: true),
        Rule(word: "FIX" + "ME", instead: "fix it, or say in Docs/Limits.md what is wrong", inComments: true),
    ]

    /// The one folder that may write to the terminal.
    static let terminal = "Sources/causeway/Terminal/"

    /// Promises the compiler cannot check: each needs a line that says why it holds.
    static let promises = ["@unchecked Sendable", "nonisolated(unsafe)"]
    /// How far above the promise its reason may stand, and how far below, inside the braces.
    static let reasonLinesAbove = 6
    static let reasonLinesBelow = 2

    static func findings(in file: SourceFile) -> [Finding] {
        let text = SwiftText(file.text)
        var found: [Finding] = []
        for (index, code) in text.code.enumerated() {
            for rule in rules {
                if file.path.hasPrefix(terminal), rule.word.hasSuffix("rint(") { continue }
                let isThere = contains(code, rule.word) || rule.inComments && contains(text.comments[index], rule.word)
                guard isThere else { continue }
                found.append(Finding(path: file.path, line: index + 1, message: "\(rule.word): \(rule.instead)"))
            }
            for promise in promises where code.contains(promise) {
                let last = min(text.comments.count - 1, index + reasonLinesBelow)
                let around = text.comments[max(0, index - reasonLinesAbove)...last]
                guard !around.contains(where: { $0.contains("SAFETY:") }) else { continue }
                let message = "\(promise) needs a `// SAFETY:` line that says why it holds"
                found.append(Finding(path: file.path, line: index + 1, message: message))
            }
        }
        return found
    }

    /// Whether a word occurs with no letter, digit, underscore or dot right before it and none of its own right after.
    private static func contains(_ line: Substring, _ word: String) -> Bool {
        var rest = line
        while let range = rest.firstRange(of: word) {
            let before = line[..<range.lowerBound].last
            let after = line[range.upperBound...].first
            let starts = before.map { !($0.isLetter || $0.isNumber || $0 == "_" || $0 == ".") } ?? true
            // A function of our own may be called print; calling it needs its type's name and a dot.
            if line[..<range.lowerBound].hasSuffix("func ") { return false }
            let isWord = word.last?.isLetter == true
            let ends = !isWord || after.map { !($0.isLetter || $0.isNumber || $0 == "_") } ?? true
            if starts && ends { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }
}
