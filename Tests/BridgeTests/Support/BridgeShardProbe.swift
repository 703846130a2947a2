import MosquittoClient

enum BridgeShardProbe {
    static func number(_ site: String) -> Int { BridgeShard.number(site: site) }
}
