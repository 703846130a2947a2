/// A pattern for names in which `*` stands for any run of characters, also none. Linear in the name, so no pattern can
/// be made to take long.
struct NamePattern: Sendable, Hashable {
    private let pieces: [[UInt8]]

    /// Whether it is `*` alone, which nameless clients match too.
    let matchesAnybody: Bool

    init(_ text: String) {
        matchesAnybody = text == "*"
        pieces = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map(Array.init)
    }

    /// Whether the name matches; nil is a client without one.
    func matches(_ name: String?) -> Bool {
        guard !matchesAnybody else { return true }
        guard let name, let first = pieces.first, let last = pieces.last else { return false }
        let bytes = Array(name.utf8)
        guard pieces.count > 1 else { return bytes == first }
        guard bytes.count >= first.count + last.count, bytes.starts(with: first), bytes.suffix(last.count) == last[...]
        else { return false }
        var position = first.count
        let end = bytes.count - last.count
        for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
            guard let found = Self.find(piece, in: bytes, from: position, to: end) else { return false }
            position = found + piece.count
        }
        return true
    }

    private static func find(_ piece: [UInt8], in bytes: [UInt8], from start: Int, to end: Int) -> Int? {
        guard end - start >= piece.count else { return nil }
        return (start...(end - piece.count)).first { bytes[$0..<($0 + piece.count)] == piece[...] }
    }
}

/// A topic filter of a rule, with `%u` for the user name and `%c` for the client identifier.
struct AccessFilter: Sendable, Hashable {
    private let text: String
    private let usesUsername: Bool
    private let usesClientID: Bool

    init(_ text: String) {
        self.text = text
        usesUsername = text.contains("%u")
        usesClientID = text.contains("%c")
    }

    /// The filter for one client; nil if a name it needs is missing or could mean more than itself: `/`, `+` and `#` in
    /// a name would reach into other clients' topics.
    func resolved(username: String?, clientID: String) -> String? {
        var resolved = text
        if usesUsername {
            guard let username, Self.isLiteral(username) else { return nil }
            resolved = resolved.split(separator: "%u", omittingEmptySubsequences: false).joined(separator: username)
        }
        if usesClientID {
            guard Self.isLiteral(clientID) else { return nil }
            // A `%c` that came in by the user name is not a place holder.
            resolved = substitute(username: username, clientID: clientID)
        }
        return resolved
    }

    private func substitute(username: String?, clientID: String) -> String {
        text.split(separator: "%c", omittingEmptySubsequences: false)
            .map { $0.split(separator: "%u", omittingEmptySubsequences: false).joined(separator: username ?? "") }
            .joined(separator: clientID)
    }

    static func isLiteral(_ name: String) -> Bool {
        !name.isEmpty
            && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
    }
}
