/// A topic with holes: literal text and what the wildcards of a pattern stood for.
struct TopicTemplate: Sendable {
    enum Piece: Sendable, Hashable {
        case text(String)
        /// The wildcard with this place among the pattern's, from 0.
        case capture(Int)
        /// What `#` stood for: any number of levels, also none.
        case rest
    }

    /// The levels, each a list of pieces.
    let levels: [[Piece]]

    /// Parses a template.
    /// - Parameter names: the captures' names, by their place; unnamed ones are empty.
    init(_ text: String, names: [String], hasRest: Bool, site: String) throws(BridgeError) {
        guard !text.isEmpty, !text.contains("+"), !text.contains("#") else {
            throw BridgeError(.invalidRoute, "a route's `to` is a topic without wildcards")
        }
        var levels: [[Piece]] = []
        for level in text.split(separator: "/", omittingEmptySubsequences: false) {
            levels.append(try Self.pieces(level, names: names, hasRest: hasRest, site: site))
        }
        self.levels = levels
    }

    private static func pieces(
        _ level: Substring,
        names: [String],
        hasRest: Bool,
        site: String
    ) throws(BridgeError) -> [Piece] {
        var pieces: [Piece] = []
        var remaining = level
        while let open = remaining.firstIndex(of: "{") {
            if open > remaining.startIndex { pieces.append(.text(String(remaining[..<open]))) }
            guard let close = remaining[open...].firstIndex(of: "}") else {
                throw BridgeError(.invalidRoute, "a route's `to` has a `{` without `}`")
            }
            let name = String(remaining[remaining.index(after: open)..<close])
            if name == "rest", hasRest {
                guard level == "{rest}" else {
                    throw BridgeError(.invalidRoute, "`{rest}` is a level of its own in a route's `to`")
                }
                pieces.append(.rest)
            } else if name == "site" {
                pieces.append(.text(site))
            } else if let number = Int(name), (1...max(1, names.count)).contains(number), !names.isEmpty {
                pieces.append(.capture(number - 1))
            } else if let place = names.firstIndex(of: name), !name.isEmpty {
                pieces.append(.capture(place))
            } else {
                throw BridgeError(.invalidRoute, "a route's `to` uses `{\(name)}`, which its topic does not have")
            }
            remaining = remaining[remaining.index(after: close)...]
        }
        if !remaining.isEmpty { pieces.append(.text(String(remaining))) }
        return pieces
    }

    /// Fills the holes. With `encoding`, every level is held to the narrow alphabet.
    func fill(captures: [Substring], rest: ArraySlice<Substring>, encoding: Bool) -> String {
        var result: [String] = []
        func add(_ text: String) { result.append(encoding ? UpstreamTopic.encode(level: text.utf8) : text) }
        for level in levels {
            if level == [.rest] {
                for text in rest { add(String(text)) }
                continue
            }
            var text = ""
            for piece in level {
                switch piece {
                case .text(let literal): text += literal
                case .capture(let place): text += captures[place]
                case .rest: break
                }
            }
            add(text)
        }
        return result.joined(separator: "/")
    }
}
