/// Which shard a site belongs to: part of the upstream topic, so that each aggregator subscribes to its shards and the
/// order of a site holds on every broker. Site and cloud must use the same number of shards.
public enum BridgeShard {
    /// How many shards there are unless the configuration says otherwise.
    public static let defaultCount = 64

    /// The shard of a site, from 0. FNV-1a of 64 bits over the name's UTF-8, both halves folded together, modulo the
    /// count; it never changes.
    public static func number(site: String, count: Int = defaultCount) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in site.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return Int((hash ^ hash >> 32) & 0x7FFF_FFFF) % max(1, count)
    }

    /// The shard as it stands in a topic: at least two digits.
    public static func name(site: String, count: Int = defaultCount) -> String {
        let number = number(site: site, count: count)
        return number < 10 ? "0\(number)" : "\(number)"
    }
}
