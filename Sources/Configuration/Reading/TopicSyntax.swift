/// The written form of topic filters, handler patterns and templates. Matching is the broker's business; here only
/// mistakes are found, in words an operator understands.
enum TopicSyntax {
    /// Why a text is not what it should be.
    struct Mistake: Error {
        var message: String
        var hint: String?
    }

    /// The longest topic [MQTT-4.7.3-3].
    static let bytesMax = 65_535
    /// The most levels, the hard limit of `max_topic_levels`: 200 separators, as Mosquitto has it.
    static let levelsMax = 201

    /// What a pattern captures: the number of its wildcards and the names given to them.
    struct Captures: Equatable {
        /// How many wildcards stand for one level.
        var singles = 0
        /// Whether the last stands for the rest.
        var hasRest = false
        var names: [String] = []

        /// All of them.
        var wildcards: Int { singles + (hasRest ? 1 : 0) }
    }

    /// Checks a topic filter whose wildcards may be named: `ward/+/bed/{bed}/#`, or `pos/{rest...}` for the rest.
    @discardableResult
    static func pattern(_ text: String, allowsNames: Bool = true) throws(Mistake) -> Captures {
        try checkCharacters(text)
        var captures = Captures()
        var levels = text.split(separator: "/", omittingEmptySubsequences: false)
        if levels.first == "$share" {
            guard levels.count >= 3, !levels[1].isEmpty, !levels[1].contains("+"), !levels[1].contains("#") else {
                throw Mistake(message: "a shared subscription is written $share/group/filter")
            }
            levels.removeFirst(2)
            if levels == [""] { throw Mistake(message: "a shared subscription is written $share/group/filter") }
        }
        for (index, level) in levels.enumerated() {
            if level == "#" {
                guard index == levels.count - 1 else {
                    throw Mistake(message: "'#' must be the last level", hint: "use '+' for a single level")
                }
                captures.hasRest = true
            } else if level == "+" {
                captures.singles += 1
            } else if level.contains("#") || level.contains("+") {
                throw Mistake(message: "a wildcard must be a whole level, unlike in '\(level)'")
            } else if allowsNames, level.contains("{") || level.contains("}") {
                let isLast = index == levels.count - 1
                captures.names.append(try name(of: level, isLast: isLast, known: captures.names))
                if level.hasSuffix("...}") { captures.hasRest = true } else { captures.singles += 1 }
            }
        }
        return captures
    }

    /// Checks a template such as `sales/{1}` or `{bed}` against what a pattern captures and other words. Numbers are
    /// those of the first `numbers` wildcards.
    static func template(
        _ text: String,
        captures: Captures?,
        numbers: Int = 0,
        words: [String] = []
    ) throws(Mistake) {
        for placeholder in try placeholders(in: text) {
            if words.contains(placeholder) { continue }
            guard let captures else {
                throw Mistake(message: "'{\(placeholder)}' has no meaning here", hint: known(words))
            }
            if captures.names.contains(placeholder) { continue }
            if placeholder.allSatisfy(\.isASCIIDigit) {
                if let number = Int(placeholder), number >= 1, number <= numbers { continue }
                throw Mistake(
                    message: "'{\(placeholder)}' refers to a wildcard the topic does not have",
                    hint: "it has \(numbers)"
                )
            }
            let suggestion = Suggestion.closest(to: placeholder, among: captures.names + words)
            throw Mistake(
                message: "'{\(placeholder)}' is not captured by the topic",
                hint: suggestion.map { "did you mean '{\($0)}'?" }
                    ?? "name a wildcard so: {\(placeholder)} instead of +"
            )
        }
    }

    /// Checks the template of a handler's key. What the topic does not capture is looked for in the payload, so only
    /// numbers can be wrong; a name close to a captured one is returned as a likely slip.
    static func keyTemplate(_ text: String, captures: Captures) throws(Mistake) -> (slip: String, meant: String)? {
        for placeholder in try placeholders(in: text) {
            if placeholder.allSatisfy(\.isASCIIDigit) {
                try template("{\(placeholder)}", captures: captures, numbers: captures.wildcards)
            } else if placeholder.split(separator: ".", omittingEmptySubsequences: false).contains("") {
                throw Mistake(message: "'{\(placeholder)}' is not a field", hint: "write {payload.customer.id}")
            } else if !captures.names.contains(placeholder), !placeholder.contains("."),
                let meant = Suggestion.closest(to: placeholder, among: captures.names)
            {
                return (placeholder, meant)
            }
        }
        return nil
    }

    /// Checks a topic to publish to, in which placeholders may stand.
    static func destination(_ text: String) throws(Mistake) {
        try checkCharacters(text)
        guard !text.contains("+"), !text.contains("#") else {
            throw Mistake(
                message: "a topic to publish to holds no wildcards",
                hint: "use {1} for what the first wildcard stood for"
            )
        }
        guard !text.hasPrefix("/") else { throw Mistake(message: "must not begin with '/'") }
    }

    /// The words in braces.
    static func placeholders(in text: String) throws(Mistake) -> [String] {
        var found: [String] = []
        var open: String?
        for character in text {
            switch (character, open) {
            case ("{", nil): open = ""
            case ("{", _): throw Mistake(message: "a '{' within braces")
            case ("}", nil): throw Mistake(message: "a '}' without '{'")
            case ("}", let name?):
                guard !name.isEmpty else { throw Mistake(message: "nothing between '{' and '}'") }
                found.append(name)
                open = nil
            case (_, let name?): open = name + String(character)
            default: break
            }
        }
        guard open == nil else { throw Mistake(message: "a '{' without '}'") }
        return found
    }

    private static func name(of level: Substring, isLast: Bool, known: [String]) throws(Mistake) -> String {
        var inner = level.dropFirst().dropLast()
        if inner.hasSuffix("...") {
            guard isLast else {
                throw Mistake(message: "'\(level)' must be the last level", hint: "use {name} for a single level")
            }
            inner = inner.dropLast(3)
        }
        guard level.first == "{", level.last == "}", level.count > 2, !inner.contains("{"), !inner.contains("}") else {
            throw Mistake(message: "a named wildcard must be a whole level, unlike in '\(level)'", hint: "write {name}")
        }
        guard let first = inner.first, first.isASCII, first.isLetter || first == "_",
            inner.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") })
        else {
            throw Mistake(
                message: "'\(level)' is not a name",
                hint: "begin with a letter; then letters, digits, '-' and '_'"
            )
        }
        guard !known.contains(String(inner)) else { throw Mistake(message: "'\(level)' is captured twice") }
        return String(inner)
    }

    private static func checkCharacters(_ text: String) throws(Mistake) {
        guard !text.isEmpty else { throw Mistake(message: "is empty") }
        guard text.utf8.count <= bytesMax else { throw Mistake(message: "is longer than \(bytesMax) bytes") }
        guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
            throw Mistake(message: "holds a control character")
        }
        guard text.utf8.count(where: { $0 == UInt8(ascii: "/") }) < levelsMax else {
            throw Mistake(message: "has more than \(levelsMax) levels")
        }
    }

    private static func known(_ words: [String]) -> String? {
        words.isEmpty ? nil : "known here: " + words.map { "{\($0)}" }.joined(separator: ", ")
    }
}
