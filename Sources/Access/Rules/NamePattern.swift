/// A pattern for names in which `*` stands for any run of characters, also none, and, where captures are asked for,
/// `{unit}` for a run of at least one that filters may use. Linear in the name, so no pattern can be made to take long;
/// there are no regular expressions that a name could be injected into.
struct NamePattern: Sendable, Hashable {
    private enum Gap: Sendable, Hashable {
        case anything
        case capture(String)

        var bytesMin: Int { self == .anything ? 0 : 1 }
    }

    /// One more than there are gaps.
    private let literals: [[UInt8]]
    private let gaps: [Gap]

    /// Whether it is `*` alone, which nameless clients match too.
    let matchesAnybody: Bool

    /// A pattern with `*` alone.
    init(_ text: String) {
        matchesAnybody = text == "*"
        literals = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map(Array.init)
        gaps = Array(repeating: .anything, count: literals.count - 1)
    }

    /// A pattern with `*` and captures; nil if a brace is not closed, a name is empty or stands twice, or two gaps have
    /// nothing between them, so that nobody could say where one ends.
    init?(capturing text: String) {
        matchesAnybody = text == "*"
        var literals: [[UInt8]] = [[]]
        var gaps: [Gap] = []
        var rest = Substring(text)
        while let character = rest.popFirst() {
            let gap: Gap
            switch character {
            case "*": gap = .anything
            case "{":
                guard let end = rest.firstIndex(of: "}"), end != rest.startIndex else { return nil }
                gap = .capture(String(rest[..<end]))
                rest = rest[rest.index(after: end)...]
                guard !gaps.contains(gap) else { return nil }
            case "}": return nil
            default:
                literals[literals.count - 1] += Array(String(character).utf8)
                continue
            }
            if !gaps.isEmpty && literals.last?.isEmpty == true { return nil }
            gaps.append(gap)
            literals.append([])
        }
        self.literals = literals
        self.gaps = gaps
    }

    /// The names that it binds.
    var captures: Set<String> {
        Set(gaps.compactMap { if case .capture(let name) = $0 { name } else { nil } })
    }

    /// Whether the name matches; nil is a client without one.
    func matches(_ name: String?) -> Bool { bindings(of: name) != nil }

    /// What the captures stand for in a name, the shortest that fits from the left; nil if it does not match.
    func bindings(of name: String?) -> [String: String]? {
        guard !matchesAnybody else { return [:] }
        guard let name, let first = literals.first, let last = literals.last else { return nil }
        let bytes = Array(name.utf8)
        guard !gaps.isEmpty else { return bytes == first ? [:] : nil }
        guard bytes.starts(with: first), bytes.count >= first.count + last.count, bytes.suffix(last.count) == last[...]
        else { return nil }
        var bindings: [String: String] = [:]
        var position = first.count
        let end = bytes.count - last.count
        for (index, gap) in gaps.enumerated() {
            let isLast = index == gaps.count - 1
            let literal = literals[index + 1]
            let start = position + gap.bytesMin
            guard let found = isLast ? (start <= end ? end : nil) : Self.find(literal, in: bytes, from: start, to: end)
            else { return nil }
            if case .capture(let name) = gap {
                // Bytes between two places in valid UTF-8 at which valid UTF-8 was found.
                bindings[name] = String(decoding: bytes[position..<found], as: UTF8.self)
            }
            position = found + literal.count
        }
        return bindings
    }

    private static func find(_ piece: [UInt8], in bytes: [UInt8], from start: Int, to end: Int) -> Int? {
        guard end - start >= piece.count else { return nil }
        return (start...(end - piece.count)).first { bytes[$0..<($0 + piece.count)] == piece[...] }
    }
}
