/// Finds what a misspelt word was probably meant to be.
enum Suggestion {
    /// The candidate closest to the word, or nil if none is close.
    static func closest(to word: String, among candidates: some Sequence<String>) -> String? {
        // A long key is a paste that went wrong, not a slip of the finger; the distance is quadratic in the length.
        guard word.count <= 64 else { return nil }
        let lowered = Array(word.lowercased().replacing("-", with: "_"))
        let allowed = max(1, word.count / 3)
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            // Each character more or less is one step at least.
            guard abs(candidate.count - lowered.count) <= allowed else { continue }
            let distance = distance(lowered, Array(candidate.lowercased()))
            if distance <= allowed, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.candidate
    }

    /// The optimal string alignment distance: insertions, deletions, replacements, and swapped neighbours.
    static func distance(_ left: [Character], _ right: [Character]) -> Int {
        guard !left.isEmpty else { return right.count }
        guard !right.isEmpty else { return left.count }
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in 1...left.count {
            var current = [row]
            for column in 1...right.count {
                let replaces = left[row - 1] == right[column - 1] ? 0 : 1
                var cost = min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + replaces)
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    cost = min(cost, beforePrevious[column - 2] + 1)
                }
                current.append(cost)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }
}
