/// Finds what a misspelt word was probably meant to be.
enum Suggestion {
    /// A longer word is a paste that went wrong, not a slip of the finger; the distance is quadratic in the length.
    private static let wordBytesMax = 64

    /// The candidate closest to the word, or nil if none is close. Neither capitals nor `-` for `_` count.
    static func closest(to word: String, among candidates: some Sequence<String>) -> String? {
        guard word.utf8.count <= wordBytesMax else { return nil }
        let folded = folded(word)
        let allowed = max(1, folded.count / 3)
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            // Each byte more or less is one step at least.
            guard abs(candidate.utf8.count - folded.count) <= allowed else { continue }
            let distance = distance(folded, Self.folded(candidate))
            if distance <= allowed, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.candidate
    }

    private static func folded(_ word: String) -> [UInt8] {
        word.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
            case UInt8(ascii: "-"): UInt8(ascii: "_")
            default: byte
            }
        }
    }

    /// The optimal string alignment distance: insertions, deletions, replacements, and swapped neighbours.
    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard !left.isEmpty else { return right.count }
        guard !right.isEmpty else { return left.count }
        var beforePrevious = Array(repeating: 0, count: right.count + 1)
        var previous = Array(0...right.count)
        var current = previous
        for row in 1...left.count {
            current[0] = row
            for column in 1...right.count {
                let replaces = left[row - 1] == right[column - 1] ? 0 : 1
                var cost = min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + replaces)
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    cost = min(cost, beforePrevious[column - 2] + 1)
                }
                current[column] = cost
            }
            (beforePrevious, previous, current) = (previous, current, beforePrevious)
        }
        return previous[right.count]
    }
}
