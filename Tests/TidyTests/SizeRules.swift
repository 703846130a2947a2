/// Sizes are a hint to look, kept as a ratchet: a file over the hint is listed here with the reason it reads better
/// whole and a ceiling it may not pass; a listed file that has shrunk below the hint leaves the list.
enum SizeRules {
    static let sourceLinesMax = 600
    static let testLinesMax = 800
    static let lineCharactersMax = 120

    struct Exception {
        let ceiling: Int
        let reason: String
    }

    static let exceptions: [String: Exception] = [:]

    /// Tables and recorded bytes: their length says nothing about how they read.
    static func isData(_ path: String) -> Bool {
        path.contains("/Fixtures/") || path.contains("/Generated/")
    }

    /// Whether a line holds a string literal, or is within one: a text is not broken for the sake of its length.
    private static func holdsLiteral(_ line: Substring, code: Substring, comments: Substring) -> Bool {
        let space = UInt8(ascii: " ")
        return zip(line.utf8, zip(code.utf8, comments.utf8)).contains { byte, views in
            byte != space && views.0 == space && views.1 == space
        }
    }

    static func findings(in file: SourceFile, exceptions: [String: Exception] = exceptions) -> [Finding] {
        guard !isData(file.path) else { return [] }
        let lines = file.lines
        var found: [Finding] = []
        let long = lines.indices.filter { lines[$0].count > lineCharactersMax }
        let text = long.isEmpty ? SwiftText("") : SwiftText(file.text)
        for index in long {
            let line = lines[index]
            guard !holdsLiteral(line, code: text.code[index], comments: text.comments[index]) else { continue }
            let message = "\(line.count) characters, at most \(lineCharactersMax)"
            found.append(Finding(path: file.path, line: index + 1, message: message))
        }
        let hint = file.path.hasPrefix("Tests/") ? testLinesMax : sourceLinesMax
        let exception = exceptions[file.path]
        let ceiling = exception?.ceiling ?? hint
        if lines.count > ceiling {
            let message = "\(lines.count) lines, at most \(ceiling): split it, or list it in SizeRules with the reason"
            found.append(Finding(path: file.path, line: ceiling + 1, message: message))
        } else if exception != nil, lines.count <= hint {
            let message = "\(lines.count) lines need no exception any more: remove it from SizeRules"
            found.append(Finding(path: file.path, line: 1, message: message))
        }
        if let exception, exception.reason.isEmpty {
            found.append(Finding(path: file.path, line: 1, message: "an exception in SizeRules gives its reason"))
        }
        return found
    }
}
