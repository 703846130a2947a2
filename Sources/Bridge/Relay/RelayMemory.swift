/// What a relay knows over a restart: a small text file, replaced whole.
struct RelayMemory: Sendable, Hashable {
    /// QoS 2 exchanges under way: the core's identifier and the one towards the other broker.
    var exchanges: [UInt16: UInt16] = [:]
    /// The last identifier that was used there, so that a session that the other broker kept never sees one twice.
    var lastRemoteID: UInt16 = 0
    /// The filters that the session on this side is subscribed to.
    var filters: [String] = []

    /// Remembers nothing.
    init() {}

    /// The file's text.
    func encode() -> [UInt8] {
        var body = "relay 1\nlast \(lastRemoteID)\n"
        for filter in filters { body += "filter \(filter)\n" }
        for (local, remote) in exchanges.sorted(by: { $0.key < $1.key }) { body += "exchange \(local) \(remote)\n" }
        return Array((body + "check \(Self.checksum(body))\n").utf8)
    }

    /// Reads the file; nil if it is damaged.
    init?(decoding bytes: [UInt8]) {
        var body = ""
        var isChecked = false
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
            guard !isChecked else { break }
            let words = line.split(separator: " ", maxSplits: 1)
            switch words.first {
            case "check": isChecked = words.last.map(String.init) == "\(Self.checksum(body))"
            case "last": lastRemoteID = words.last.flatMap { UInt16($0) } ?? 0
            case "filter": filters.append(words.count == 2 ? String(words[1]) : "")
            case "exchange":
                let pair = (words.last ?? "").split(separator: " ").compactMap { UInt16($0) }
                if pair.count == 2 { exchanges[pair[0]] = pair[1] }
            default: break
            }
            body += line + "\n"
        }
        guard isChecked, body.hasPrefix("relay 1\n") else { return nil }
    }

    private static func checksum(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}

/// Where a relay's ``RelayMemory`` stands.
struct RelayMemoryFile: Sendable {
    private let file: StateFile?
    private let directory: String?

    init(_ settings: RelaySettings) {
        directory = settings.stateDirectory
        file = settings.stateDirectory.map { StateFile(path: "\($0)/\(Self.fileName(settings.name))") }
    }

    /// A name that stands for just this relay, whatever bytes its own name has.
    private static func fileName(_ name: String) -> String {
        let plain: Set<UInt8> = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8)
        let text = name.utf8.map { byte in
            plain.contains(byte) ? String(UnicodeScalar(byte)) : "%" + String(Int(byte) + 256, radix: 16).suffix(2)
        }
        return text.joined() + ".relay"
    }

    /// What an earlier run kept. A damaged file is as none: QoS 2 messages that were under way may come twice then.
    func read() throws(BridgeError) -> RelayMemory {
        guard let file, let bytes = try file.read() else { return RelayMemory() }
        return RelayMemory(decoding: bytes) ?? RelayMemory()
    }

    /// Keeps it; durable when this returns.
    func write(_ memory: RelayMemory) throws(BridgeError) {
        guard let file, let directory else { return }
        try StateFile.makeDirectory(directory)
        try file.write(memory.encode())
    }

    /// What cannot be kept up to date must not be found after a restart.
    func remove() { file?.remove() }
}
