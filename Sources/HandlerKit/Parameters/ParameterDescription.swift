/// One parameter of a plugin.
public struct ParameterDescription: Sendable, Hashable {
    /// What may be written.
    public enum Kind: Sendable, Hashable {
        /// A number in a range, in a unit (empty: none).
        case number(ClosedRange<Double>, unit: String)
        /// A whole number in a range.
        case integer(ClosedRange<Int64>)
        /// A duration in a range of seconds, written as in `90s`, `15m`, `24h`, `28d`, or as a number of seconds.
        case duration(ClosedRange<Double>)
        /// Text of at most so many bytes.
        case text(bytesMax: Int)
        /// A secret of at least so many bytes. It is never shown.
        case secret(bytesMin: Int)
        /// One of these words.
        case choice([String])
        /// Yes or no.
        case flag
    }

    /// The name in the configuration.
    public var name: String
    /// What may be written.
    public var kind: Kind
    /// What counts if nothing is written; nil if the parameter is required.
    public var defaultValue: JSONValue?
    /// One sentence.
    public var summary: String

    /// Makes a description.
    public init(_ name: String, _ kind: Kind, default defaultValue: JSONValue?, _ summary: String) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.summary = summary
    }

    /// What may be written, in words.
    public var expectation: String {
        switch kind {
        case .number(let range, let unit):
            "a number from \(Self.text(range.lowerBound)) to \(Self.text(range.upperBound))"
                + (unit.isEmpty ? "" : " \(unit)")
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .duration(let range):
            "a duration such as 90s, 15m, 24h or 28d, from \(Self.text(range.lowerBound)) to "
                + "\(Self.text(range.upperBound)) seconds"
        case .text(let bytesMax): "text of at most \(bytesMax) bytes"
        case .secret(let bytesMin): "a secret of at least \(bytesMin) bytes"
        case .choice(let words): "one of " + words.joined(separator: ", ")
        case .flag: "true or false"
        }
    }

    private static func text(_ value: Double) -> String {
        Int64(exactly: value).map(String.init) ?? value.description
    }

    /// The value in the form that ``ResolvedParameters`` holds, or nil if it is not allowed.
    func resolved(_ value: JSONValue) -> JSONValue? {
        switch kind {
        case .number(let range, _):
            guard let number = value.double, range.contains(number) else { return nil }
            return .number(number)
        case .integer(let range):
            guard let number = value.int, range.contains(number) else { return nil }
            return .integer(number)
        case .duration(let range):
            let seconds = value.text.map(Self.seconds) ?? value.double
            guard let seconds, range.contains(seconds) else { return nil }
            return .number(seconds)
        case .text(let bytesMax):
            guard let text = value.text, text.utf8.count <= bytesMax else { return nil }
            return value
        case .secret(let bytesMin):
            guard let text = value.text, text.utf8.count >= bytesMin else { return nil }
            return value
        case .choice(let words):
            guard let text = value.text, words.contains(text) else { return nil }
            return value
        case .flag: return value.bool.map(JSONValue.bool)
        }
    }

    private static func seconds(_ text: String) -> Double? {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        if text.hasSuffix("ms") { return Double(text.dropLast(2)).map { $0 / 1000 } }
        guard let last = text.last, let unit = units[last] else { return Double(text) }
        return Double(text.dropLast()).map { $0 * unit }
    }
}
