/// Whether every topic that one filter matches is matched by another, so that a wildcard subscription cannot reach
/// beyond what is allowed.
enum FilterCover {
    /// Whether `allowed` matches every topic that `wanted` matches. Neither has a `$share` prefix.
    static func covers(_ allowed: String, _ wanted: String) -> Bool {
        let allowedLevels = allowed.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let wantedLevels = wanted.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        // [MQTT-4.7.2-1]: a wildcard at the start does not match `$` topics.
        if wanted.utf8.first == UInt8(ascii: "$"), allowed.utf8.first != UInt8(ascii: "$") { return false }
        for (index, level) in allowedLevels.enumerated() {
            // `a/#` matches `a` too (section 4.7.1.2), so `#` also covers a filter that ends here.
            if level.elementsEqual("#".utf8) { return true }
            guard index < wantedLevels.count else { return false }
            let wantedLevel = wantedLevels[index]
            if wantedLevel.elementsEqual("#".utf8) { return false }
            if level.elementsEqual("+".utf8) { continue }
            guard level.elementsEqual(wantedLevel) else { return false }
        }
        return allowedLevels.count == wantedLevels.count
    }
}
