/// The parts of a bridged message's topic: `up/{shard}/{site}/{relative topic}`.
struct UpstreamTopic: Equatable {
    /// The first level of all bridged topics.
    static let root = "up"
    /// The longest site name.
    static let siteBytesMax = 64
    /// The relative topic of gap records.
    static let gapRecords = "_gap"

    /// The shard's level.
    var shard: Substring
    /// The site's level.
    var site: Substring
    /// What follows.
    var relative: Substring

    /// Takes a topic apart; nil if it is not of this form or the site's name has other characters than `A-Za-z0-9_-`.
    init?(_ topic: String) {
        let levels = topic.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        guard levels.count == 4, levels[0] == Self.root, !levels[1].isEmpty, !levels[3].isEmpty,
            Self.isSite(levels[2])
        else { return nil }
        shard = levels[1]
        site = levels[2]
        relative = levels[3]
    }

    /// Whether text can be a site's name.
    static func isSite(_ text: some StringProtocol) -> Bool {
        (1...siteBytesMax).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default:
                    false
                }
            }
    }
}
