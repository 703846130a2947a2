/// A topic filter of a rule, with `%u` for the user name, `%c` for the client identifier, and names in braces for what
/// a user pattern has bound.
struct AccessFilter: Sendable, Hashable {
    private enum Piece: Sendable, Hashable {
        case text(String)
        case username
        case clientID
        case capture(String)
    }

    private let pieces: [Piece]

    /// Splits the text once.
    ///
    /// - Parameter hasCaptures: Whether `{name}` is a place holder; if not, braces are text.
    init(_ text: String, hasCaptures: Bool = false) {
        var pieces: [Piece] = []
        var literal = ""
        func flush() {
            if !literal.isEmpty { pieces.append(.text(literal)) }
            literal = ""
        }
        var rest = Substring(text)
        while let character = rest.first {
            if rest.hasPrefix("%u") || rest.hasPrefix("%c") {
                flush()
                pieces.append(rest.hasPrefix("%u") ? .username : .clientID)
                rest = rest.dropFirst(2)
            } else if hasCaptures, character == "{", let end = rest.firstIndex(of: "}") {
                flush()
                pieces.append(.capture(String(rest[rest.index(after: rest.startIndex)..<end])))
                rest = rest[rest.index(after: end)...]
            } else {
                literal.append(character)
                rest = rest.dropFirst()
            }
        }
        flush()
        self.pieces = pieces
    }

    /// The names in braces.
    var captures: Set<String> {
        Set(pieces.compactMap { if case .capture(let name) = $0 { name } else { nil } })
    }

    /// Whether the user name stands in it.
    var usesUsername: Bool { pieces.contains(.username) }

    /// The filter for one client; nil if a name it needs is missing or could mean more than itself: `/`, `+` and `#` in
    /// a name would reach into other clients' topics.
    func resolved(username: String?, clientID: String, captures: [String: String] = [:]) -> String? {
        var resolved = ""
        for piece in pieces {
            let name: String?
            switch piece {
            case .text(let text):
                resolved += text
                continue
            case .username: name = username
            case .clientID: name = clientID
            case .capture(let key): name = captures[key]
            }
            guard let name, Self.isLiteral(name) else { return nil }
            resolved += name
        }
        return resolved
    }

    /// Whether a name means nothing but itself in a filter.
    static func isLiteral(_ name: String) -> Bool {
        !name.isEmpty
            && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
    }
}
