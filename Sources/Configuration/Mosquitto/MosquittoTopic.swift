/// What Mosquitto takes for topics and filters in its configuration.
enum MosquittoTopic {
    /// Whether a text may stand in a topic that is published to.
    static func isName(_ text: String) -> Bool {
        isBounded(text) && !text.contains("+") && !text.contains("#")
    }

    /// Whether a text is a topic filter.
    static func isFilter(_ text: String) -> Bool {
        guard isBounded(text) else { return false }
        let levels = text.split(separator: "/", omittingEmptySubsequences: false)
        return levels.enumerated().allSatisfy { index, level in
            if level == "#" { return index == levels.count - 1 }
            return level == "+" || !(level.contains("+") || level.contains("#"))
        }
    }

    private static func isBounded(_ text: String) -> Bool {
        text.utf8.count <= TopicSyntax.bytesMax
            && text.utf8.count(where: { $0 == UInt8(ascii: "/") }) < TopicSyntax.levelsMax
    }
}
