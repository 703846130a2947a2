/// Sixteen random bytes that all files of one journal carry.
public struct JournalIdentity: Sendable, Hashable {
    let high: UInt64
    let low: UInt64

    /// A new, random one.
    public init() {
        self.init(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max))
    }

    /// A given one: simulations want every run to be the same.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    var bytes: [UInt8] {
        withUnsafeBytes(of: high.littleEndian, Array.init) + withUnsafeBytes(of: low.littleEndian, Array.init)
    }
}

/// The first 64 bytes of every file of a journal, little-endian:
/// ```
///  0  8 bytes  magic of the kind of file
///  8  UInt32   format version        12  UInt32  flags
/// 16  16 bytes journal identity
/// 32  UInt64   sequence: a segment's first one, what a checkpoint goes through
/// 40  Int64    when it was made, milliseconds since 1970-01-01 UTC
/// 48  UInt64   bytes: of the whole segment, of a checkpoint's content
/// 56  UInt32   CRC-32C of a checkpoint's content
/// 60  UInt32   CRC-32C of bytes 0..<60
/// ```
/// In an encrypted file (version 2) a seal follows:
/// ```
/// 64  UInt64   name of the key (JournalKey.id)
/// 72  16 bytes HMAC-SHA-256 of bytes 0..<72 under a key of the file, cut off
/// 88  UInt32   CRC-32C of bytes 64..<88     92  4 zero bytes
/// ```
/// Magic, version and the first checksum stay where they are in every future version, so that an older program can tell
/// a newer file from a damaged one and leaves it alone.
struct FileHeader: Sendable, Hashable {
    /// What kind of file it is.
    enum Kind: String {
        case segment = "CWAYSEGM"
        case checkpoint = "CWAYCHKP"
        case identity = "CWAYIDEN"
    }

    static let byteCount = 64
    /// With the seal of an encrypted file.
    static let sealedByteCount = 96
    /// The newest version this program reads. It writes 1 for files that are not encrypted.
    static let currentVersion: UInt32 = 2
    /// Flag: the file was used before, so what lies behind its records may be old records rather than zeros.
    static let recycledFlag: UInt32 = 1
    /// Flag: what follows the header is encrypted.
    static let encryptedFlag: UInt32 = 2
    private static let plainVersion: UInt32 = 1

    var version = plainVersion
    var flags: UInt32 = 0
    var identity: JournalIdentity
    var sequence: UInt64 = 0
    var createdMilliseconds: Int64 = 0
    var bytes: UInt64 = 0
    var contentChecksum: UInt32 = 0
    /// The name of the key of an encrypted file.
    private(set) var keyID: UInt64?
    private var seal: [UInt8] = []

    /// How many bytes stand before what follows.
    var headBytes: Int { keyID == nil ? FileHeader.byteCount : FileHeader.sealedByteCount }

    /// Reads a header from the first 64 of these bytes; nil if they are none of that kind.
    init?(_ kind: Kind, from source: [UInt8], at start: Int = 0) {
        guard source.count >= start + FileHeader.byteCount else { return nil }
        let bytes = Array(source[start..<start + FileHeader.byteCount])
        guard Array(bytes[0..<8]) == Array(kind.rawValue.utf8) else { return nil }
        guard FileHeader.load(UInt32.self, bytes, 60) == Checksum.plain(Array(bytes[0..<60])) else { return nil }
        version = FileHeader.load(UInt32.self, bytes, 8)
        flags = FileHeader.load(UInt32.self, bytes, 12)
        identity = JournalIdentity(
            high: FileHeader.load(UInt64.self, bytes, 16),
            low: FileHeader.load(UInt64.self, bytes, 24)
        )
        sequence = FileHeader.load(UInt64.self, bytes, 32)
        createdMilliseconds = FileHeader.load(Int64.self, bytes, 40)
        self.bytes = FileHeader.load(UInt64.self, bytes, 48)
        contentChecksum = FileHeader.load(UInt32.self, bytes, 56)
        guard flags & FileHeader.encryptedFlag != 0 else { return }
        guard source.count >= start + FileHeader.sealedByteCount else { return nil }
        let whole = Array(source[start..<start + FileHeader.sealedByteCount])
        guard FileHeader.load(UInt32.self, whole, 88) == Checksum.plain(Array(whole[64..<88])) else { return nil }
        keyID = FileHeader.load(UInt64.self, whole, 64)
        seal = Array(whole[72..<88])
    }

    /// Says that the file is encrypted under a key.
    mutating func encrypt(under key: JournalKey) {
        version = FileHeader.currentVersion
        flags |= FileHeader.encryptedFlag
        keyID = key.id
    }

    /// Whether the header is as it was written by somebody who has the key.
    func isAuthentic(_ kind: Kind, _ key: JournalKey) -> Bool {
        guard keyID == key.id else { return false }
        return SealedBytes.isEqual(seal, tag(sealedBlock(kind, key.id), key))
    }

    /// What the seal is made over.
    private func sealedBlock(_ kind: Kind, _ keyID: UInt64) -> [UInt8] {
        encode(kind) + withUnsafeBytes(of: keyID.littleEndian, Array.init)
    }

    private func tag(_ bytes: [UInt8], _ key: JournalKey) -> [UInt8] {
        let place = identity.bytes + withUnsafeBytes(of: sequence.littleEndian, Array.init)
        return SealedBytes.tag(bytes, key.derived(for: "header", place))
    }

    init(identity: JournalIdentity) { self.identity = identity }

    /// The header's bytes, with the seal of an encrypted file: `key` is the one that ``encrypt(under:)`` was given.
    func encode(_ kind: Kind, sealedWith key: JournalKey?) -> [UInt8] {
        guard let key, let keyID else { return encode(kind) }
        let block = sealedBlock(kind, keyID)
        let rest = Array((block + tag(block, key))[FileHeader.byteCount...])
        let check = withUnsafeBytes(of: Checksum.plain(rest).littleEndian, Array.init)
        return Array(block[..<FileHeader.byteCount]) + rest + check + [0, 0, 0, 0]
    }

    /// The 64 bytes.
    func encode(_ kind: Kind) -> [UInt8] {
        var result = Array(kind.rawValue.utf8)
        result.reserveCapacity(FileHeader.byteCount)
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { result.append(contentsOf: $0) }
        }
        append(version)
        append(flags)
        append(identity.high)
        append(identity.low)
        append(sequence)
        append(createdMilliseconds)
        append(bytes)
        append(contentChecksum)
        append(Checksum.plain(result))
        return result
    }

    private static func load<T: FixedWidthInteger>(_ type: T.Type, _ bytes: [UInt8], _ offset: Int) -> T {
        bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
    }
}

/// The names of a journal's files.
enum FileName {
    static let lock = "journal.lock"
    /// Shared by who copies the journal, see ``JournalCopy``; taken by the journal itself when it lets segments go.
    static let hold = "journal.hold"
    static let identity = "journal.id"
    static let segmentSuffix = ".segment"
    static let checkpointSuffix = ".checkpoint"
    static let spareSuffix = ".spare"
    static let temporarySuffix = ".tmp"
    static let corruptSuffix = ".corrupt"
    private static let digits = 20

    static func segment(_ first: UInt64) -> String { padded(first) + segmentSuffix }
    static func checkpoint(_ through: UInt64) -> String { padded(through) + checkpointSuffix }
    static func spare(_ formerFirst: UInt64) -> String { padded(formerFirst) + spareSuffix }

    /// The number in a name with this suffix, or nil.
    static func number(of name: String, suffix: String) -> UInt64? {
        guard name.hasSuffix(suffix), name.utf8.count == digits + suffix.utf8.count else { return nil }
        return UInt64(name.dropLast(suffix.count))
    }

    private static func padded(_ number: UInt64) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}
