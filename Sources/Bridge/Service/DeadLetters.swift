internal import Glibc
internal import Journal
internal import MosquittoClient

/// Messages that the other side will not take, kept as files for a human: `EPOCH-SEQUENCE.json`, an envelope as on the
/// wire, or sealed where the outbox is encrypted. What is in them was redacted before it was queued. The files are also
/// the memory of what was set aside: for these sequences a gap is sent. Confined to the bridge's thread.
struct DeadLetters {
    private let directory: String
    private let countMax: Int
    private let keys: KeyRing?
    /// What was set aside in this epoch and is not confirmed yet, with the reason.
    private(set) var reasons: [UInt64: String] = [:]
    private var files = 0

    init(directory: String, countMax: Int, epoch: UInt64, keys: KeyRing?) throws(BridgeError) {
        self.keys = keys
        self.directory = directory
        self.countMax = countMax
        try StateFile.makeDirectory(directory)
        for name in Self.list(directory) {
            files += 1
            let parts = name.split { $0 == "-" || $0 == "." }
            guard parts.count == 4, UInt64(parts[0]) == epoch, let sequence = UInt64(parts[1]) else { continue }
            reasons[sequence] = String(parts[2])
        }
    }

    /// Keeps a message, or only its number if there are too many files.
    mutating func add(_ record: OutboxRecord, stamp: BridgeStamp, reason: String) throws(BridgeError) {
        reasons[stamp.sequence] = reason
        guard files < countMax else { return }
        files += 1
        let name = "\(stamp.epoch)-\(stamp.sequence)-\(reason).json"
        let envelope = BridgeEnvelope(stamp: stamp, topic: record.topic, payload: record.payload)
        let content = envelope.encode()
        try StateFile(path: directory + "/" + name).write(keys?.seal(content, name: name) ?? content)
    }

    /// Forgets (but keeps the files of) what is confirmed.
    mutating func forget(through sequence: UInt64) {
        guard !reasons.isEmpty else { return }
        reasons = reasons.filter { $0.key > sequence }
    }

    /// A new epoch has other numbers.
    mutating func forgetAll() { reasons = [:] }

    private static func list(_ directory: String) -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { buffer in
                String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".json") { names.append(name) }
        }
        return names
    }
}
