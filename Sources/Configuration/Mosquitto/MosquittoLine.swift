/// Why a line of a mosquitto.conf is refused, in Mosquitto's words where it has any.
struct MosquittoMistake: Error {
    var message: String
    var hint: String?

    init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }
}

/// One line of a mosquitto.conf: the name of an option, and what is taken from the rest, word by word.
///
/// Words are parted by spaces and by nothing else; what follows a value that is one word is not looked at; a text is
/// everything that is left.
struct MosquittoLine {
    let name: String
    let place: MosquittoPlace
    private var rest: Substring

    /// Nil for a line that says nothing.
    init?(_ text: Substring, place: MosquittoPlace) {
        let content = text.drop { $0 == " " }
        guard let first = content.first, first != "#" else { return nil }
        let end = content.firstIndex(of: " ") ?? content.endIndex
        name = String(content[..<end])
        rest = content[end...]
        self.place = place
    }

    /// The next word, if there is one.
    mutating func nextWord() -> String? {
        rest = rest.drop { $0 == " " }
        guard !rest.isEmpty else { return nil }
        let end = rest.firstIndex(of: " ") ?? rest.endIndex
        defer { rest = rest[end...] }
        return String(rest[..<end])
    }

    /// Everything up to the next quote, and nothing after it; nil if there is none.
    mutating func throughQuote() -> String? {
        guard let quote = rest.firstIndex(of: "\"") else { return nil }
        defer { rest = rest[rest.index(after: quote)...] }
        return String(rest[..<quote])
    }

    /// The next word, which must be there.
    mutating func word(_ label: String? = nil) throws(MosquittoMistake) -> String {
        guard let word = nextWord() else { throw empty(label) }
        return word
    }

    /// Everything that is left, without blanks around it.
    mutating func text(_ label: String? = nil) throws(MosquittoMistake) -> String {
        let text = Self.trimmed(rest)
        rest = rest[rest.endIndex...]
        guard !text.isEmpty else { throw empty(label) }
        guard text.utf8.count <= 65_535 else { throw MosquittoMistake("Value for '\(label ?? name)' too long.") }
        return String(text)
    }

    /// The same, with its place.
    mutating func located() throws(MosquittoMistake) -> MosquittoSettings.Text {
        .init(try text(), place: place)
    }

    /// `true`, `false`, 1 or 0.
    mutating func flag() throws(MosquittoMistake) -> Bool {
        let word = try word()
        switch word {
        case "true", "1": return true
        case "false", "0": return false
        default: throw MosquittoMistake("Invalid '\(name)' value (\(word)).", hint: "true or false")
        }
    }

    /// A whole number: decimal, or hexadecimal with `0x`, or octal with `0`, as C reads it.
    mutating func integer(_ label: String? = nil) throws(MosquittoMistake) -> Int {
        let word = try word(label)
        guard let number = Self.number(word) else {
            throw MosquittoMistake("'\(label ?? name)' value not a number.")
        }
        guard let value = Int32(exactly: number) else {
            throw MosquittoMistake("'\(label ?? name)' value out of range.")
        }
        return Int(value)
    }

    /// A whole number within a range.
    mutating func integer(_ range: ClosedRange<Int>) throws(MosquittoMistake) -> Int {
        let value = try integer()
        guard range.contains(value) else {
            throw MosquittoMistake(
                "Invalid '\(name)' value (\(value)).",
                hint: "from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return value
    }

    /// One of some words.
    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ type: Choice.Type
    ) throws(MosquittoMistake) -> Choice where Choice.RawValue == String {
        let word = try word()
        guard let choice = Choice(rawValue: word) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw MosquittoMistake("Invalid '\(name)' value (\(word)).", hint: "one of \(known)")
        }
        return choice
    }

    /// The number a word begins with, as `atoi` reads it: 0 if it begins with none.
    static func leadingNumber(_ word: String) -> Int {
        var digits = word[...]
        let isNegative = digits.first == "-"
        if isNegative || digits.first == "+" { digits = digits.dropFirst() }
        let value = Int(digits.prefix { $0.isASCIIDigit }.prefix(18)) ?? 0
        return isNegative ? -value : value
    }

    private static func number(_ word: String) -> Int? {
        var digits = word.lowercased()[...]
        let isNegative = digits.first == "-"
        if isNegative || digits.first == "+" { digits = digits.dropFirst() }
        guard let first = digits.first, first != "-", first != "+" else { return nil }
        let radix: Int
        if digits.hasPrefix("0x"), digits.count > 2 {
            radix = 16
            digits = digits.dropFirst(2)
        } else {
            radix = first == "0" && digits.count > 1 ? 8 : 10
        }
        guard digits.allSatisfy({ $0.hexDigitValue.map { $0 < radix } ?? false && $0.isASCII }) else { return nil }
        // Beyond what fits there is no number to tell, only that it is out of range.
        guard let value = Int(digits, radix: radix) else { return isNegative ? Int.min : Int.max }
        return isNegative ? -value : value
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return text
    }

    private func empty(_ label: String?) -> MosquittoMistake {
        MosquittoMistake("Empty '\(label ?? name)' value in configuration.")
    }
}
