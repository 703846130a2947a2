import CCRC32C

/// The checksums of one journal. They start from a number that only the journal's own files hold, so that what a client
/// puts into a payload can never be taken for a record of the journal, not even where recovery searches damaged bytes.
struct Checksum: Sendable, Hashable {
    let seed: UInt32

    init(of identity: JournalIdentity) {
        seed = Checksum.plain(identity.bytes)
    }

    func over(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        ccrc32c_update(seed, bytes.baseAddress, bytes.count)
    }

    func over(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> UInt32 {
        ccrc32c_update(over(first), second.baseAddress, second.count)
    }

    /// CRC-32C without a seed.
    static func plain(_ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { ccrc32c_update(0, $0.baseAddress, $0.count) }
    }
}

/// The 24 bytes before every payload, little-endian, at a multiple of 8:
/// ```
///  0  UInt32  CRC-32C of bytes 4..<20 and the payload
///  4  UInt32  length of the payload
///  8  UInt64  sequence
/// 16  UInt32  kind (upper 4 bits), and how many records before this one, with it, were not yet synced when it was
///             written (lower 28 bits; all ones: unknown)
/// 20  UInt32  CRC-32C of bytes 0..<20
/// ```
/// The last number is what lets recovery tell a torn tail from corruption: a frame that was written after record n was
/// synced proves that n had been stored, so a missing n was damaged, not torn.
struct Frame {
    /// What a frame is.
    enum Kind: UInt8 {
        /// A record.
        case record = 1
        /// No record: it says only that everything up to its sequence was synced. Overwritten by the next record.
        case mark = 2
        /// A record that is encrypted, see ``SegmentCipher``.
        case sealed = 3
    }

    static let headerBytes = 24
    static let alignment = 8
    /// No journal lives this long: arithmetic on sequences below it cannot overflow.
    static let maxSequence = UInt64(Int64.max) / 2
    private static let unsyncedUnknown: UInt32 = 0x0fff_ffff
    private static let checkedOffset = 4
    private static let headerChecksumOffset = 20

    let kind: Kind
    let sequence: UInt64
    let payloadBytes: Int
    /// Everything up to here was on the disk when this frame was written.
    let syncedThrough: UInt64
    /// Kind and ``syncedThrough`` as they stand in the header.
    let flags: UInt32
    private let checksum: UInt32

    /// The whole frame's length with its padding.
    var byteCount: Int { Frame.byteCount(payload: payloadBytes) }

    /// How many bytes a frame of such a payload takes.
    static func byteCount(payload: Int) -> Int {
        (headerBytes + payload + (alignment - 1)) & ~(alignment - 1)
    }

    /// Reads a header; nil if these 24 bytes are none.
    init?(at pointer: UnsafeRawPointer, _ checksums: Checksum) {
        let sequence = UInt64(littleEndian: pointer.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        // Cheap first: most of what recovery looks at is unused space.
        guard sequence != 0, sequence <= Frame.maxSequence else { return nil }
        let flags = UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: flags >> 28)) else { return nil }
        let offset = Frame.headerChecksumOffset
        let stored = UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        let head = UnsafeRawBufferPointer(start: pointer, count: Frame.headerChecksumOffset)
        guard checksums.over(head) == stored else { return nil }
        let unsynced = flags & Frame.unsyncedUnknown
        self.flags = flags
        self.kind = kind
        self.sequence = sequence
        self.payloadBytes = Int(UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        self.checksum = UInt32(littleEndian: pointer.loadUnaligned(as: UInt32.self))
        let known = unsynced != Frame.unsyncedUnknown && UInt64(unsynced) <= sequence
        self.syncedThrough = known ? sequence - UInt64(unsynced) : 0
    }

    /// Whether header and payload belong together. `pointer` is where the header is; the payload follows it.
    func isIntact(at pointer: UnsafeRawPointer, _ checksums: Checksum) -> Bool {
        let head = UnsafeRawBufferPointer(start: pointer + Frame.checkedOffset, count: 16)
        let payload = UnsafeRawBufferPointer(start: pointer + Frame.headerBytes, count: payloadBytes)
        return checksums.over(head, payload) == checksum
    }

    /// What ``flags`` of such a frame are.
    static func flags(_ kind: Kind, sequence: UInt64, syncedThrough: UInt64) -> UInt32 {
        let unsynced = UInt32(min(sequence &- min(syncedThrough, sequence), UInt64(unsyncedUnknown)))
        return UInt32(kind.rawValue) << 28 | unsynced
    }

    /// Writes a frame to `pointer`, which has room for ``byteCount(payload:)`` bytes.
    static func write(
        _ kind: Kind,
        sequence: UInt64,
        syncedThrough: UInt64,
        payload: UnsafeRawBufferPointer,
        to pointer: UnsafeMutableRawPointer,
        _ checksums: Checksum
    ) {
        let flags = flags(kind, sequence: sequence, syncedThrough: syncedThrough)
        pointer.storeBytes(of: UInt32(payload.count).littleEndian, toByteOffset: 4, as: UInt32.self)
        pointer.storeBytes(of: sequence.littleEndian, toByteOffset: 8, as: UInt64.self)
        pointer.storeBytes(of: flags.littleEndian, toByteOffset: 16, as: UInt32.self)
        if let base = payload.baseAddress, !payload.isEmpty {
            (pointer + headerBytes).copyMemory(from: base, byteCount: payload.count)
        }
        let padding = byteCount(payload: payload.count) - headerBytes - payload.count
        (pointer + headerBytes + payload.count).initializeMemory(as: UInt8.self, repeating: 0, count: padding)
        let head = UnsafeRawBufferPointer(start: pointer + checkedOffset, count: 16)
        let body = UnsafeRawBufferPointer(start: pointer + headerBytes, count: payload.count)
        pointer.storeBytes(of: checksums.over(head, body).littleEndian, as: UInt32.self)
        let whole = UnsafeRawBufferPointer(start: pointer, count: headerChecksumOffset)
        pointer.storeBytes(of: checksums.over(whole).littleEndian, toByteOffset: headerChecksumOffset, as: UInt32.self)
    }
}
