import Crypto

/// AES-256-GCM with the nonce before and the tag behind: `nonce (12) ‖ ciphertext ‖ tag (16)`.
enum SealedBytes {
    /// Bytes that sealing adds.
    static let overhead = 28
    private static let nonceBytes = 12

    /// Encrypts. The caller answers for a nonce that was never used with this key.
    static func seal(
        _ plain: UnsafeRawBufferPointer,
        _ key: SymmetricKey,
        nonce: [UInt8],
        authenticating context: [UInt8]
    ) -> [UInt8] {
        do {
            let box = try AES.GCM.seal(plain, using: key, nonce: AES.GCM.Nonce(data: nonce), authenticating: context)
            guard let combined = box.combined else { preconditionFailure("a nonce of another length") }
            return [UInt8](combined)
        } catch {
            preconditionFailure("AES-GCM refuses its own sizes")
        }
    }

    /// Decrypts; nil if anything of it, or of the context, is not as it was.
    static func open(
        _ sealed: UnsafeRawBufferPointer,
        _ key: SymmetricKey,
        authenticating context: [UInt8]
    ) -> [UInt8]? {
        guard sealed.count >= overhead, let box = try? AES.GCM.SealedBox(combined: sealed),
            let plain = try? AES.GCM.open(box, using: key, authenticating: context)
        else { return nil }
        return [UInt8](plain)
    }

    /// The first 16 bytes of an HMAC-SHA-256.
    static func tag(_ bytes: [UInt8], _ key: SymmetricKey) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key).prefix(16))
    }

    /// Compares in a time that does not tell where they differ.
    static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// Twelve random bytes: for keys that seal few things.
    static func randomNonce() -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        return (0..<nonceBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
}

/// Nonces for one opening of a segment for writing: 64 random bits that name the opening, and a counter.
///
/// A segment's key is always the same one, so that its records can be read though its header is damaged. After a crash
/// the cut-off tail is written again under the same sequences, at the same places: the random part is another one then,
/// so no nonce comes twice, unless two openings of one segment draw the same 64 bits.
struct NonceSource: Sendable {
    private let opening: UInt64
    private var counter: UInt32 = 0

    init() {
        var random = SystemRandomNumberGenerator()
        opening = random.next()
    }

    /// The next one. A segment has room for fewer records than there are numbers.
    mutating func next() -> [UInt8] {
        let (following, isOver) = counter.addingReportingOverflow(1)
        precondition(!isOver, "a segment with more than 2^32 records")
        counter = following
        return withUnsafeBytes(of: opening.bigEndian, Array.init) + withUnsafeBytes(of: counter.bigEndian, Array.init)
    }
}

/// Encrypts the records of one segment, each bound to its place: journal, segment, sequence, offset and what its frame
/// says. A record that was moved or put into another segment does not open.
struct SegmentCipher: Sendable {
    let keyID: UInt64
    private let key: SymmetricKey

    init(_ master: JournalKey, _ identity: JournalIdentity, firstSequence: UInt64) {
        keyID = master.id
        let place = identity.bytes + withUnsafeBytes(of: firstSequence.littleEndian, Array.init)
        key = master.derived(for: "segment", place)
    }

    func seal(
        _ plain: UnsafeRawBufferPointer,
        sequence: UInt64,
        flags: UInt32,
        offset: Int,
        nonce: [UInt8]
    ) -> [UInt8] {
        SealedBytes.seal(plain, key, nonce: nonce, authenticating: context(sequence, flags, offset))
    }

    func open(_ sealed: UnsafeRawBufferPointer, sequence: UInt64, flags: UInt32, offset: Int) -> [UInt8]? {
        SealedBytes.open(sealed, key, authenticating: context(sequence, flags, offset))
    }

    private func context(_ sequence: UInt64, _ flags: UInt32, _ offset: Int) -> [UInt8] {
        withUnsafeBytes(of: sequence.littleEndian, Array.init) + withUnsafeBytes(of: flags.littleEndian, Array.init)
            + withUnsafeBytes(of: UInt64(offset).littleEndian, Array.init)
    }
}

/// Encrypts the content of a checkpoint, bound to its journal and its record.
enum CheckpointCipher {
    static func seal(_ plain: [UInt8], _ header: FileHeader, _ key: JournalKey) -> [UInt8] {
        plain.withUnsafeBytes {
            SealedBytes.seal($0, self.key(header, key), nonce: SealedBytes.randomNonce(), authenticating: [])
        }
    }

    static func open(_ sealed: [UInt8], _ header: FileHeader, _ key: JournalKey) -> [UInt8]? {
        guard header.isAuthentic(.checkpoint, key) else { return nil }
        return sealed.withUnsafeBytes { SealedBytes.open($0, self.key(header, key), authenticating: []) }
    }

    private static func key(_ header: FileHeader, _ key: JournalKey) -> SymmetricKey {
        let place = header.identity.bytes + withUnsafeBytes(of: header.sequence.littleEndian, Array.init)
        return key.derived(for: "checkpoint", place)
    }
}

extension KeyRing {
    /// The first bytes of a small sealed file.
    private static let magic = Array("CWAYSEAL".utf8)

    /// Encrypts a small file, bound to a name. ``open(_:name:)`` reads it.
    public func seal(_ bytes: [UInt8], name: String) -> [UInt8] {
        let master = primary
        let id = withUnsafeBytes(of: master.id.littleEndian, Array.init)
        let key = master.derived(for: "file", Array(name.utf8))
        let context = Self.magic + id
        let sealed = bytes.withUnsafeBytes {
            SealedBytes.seal($0, key, nonce: SealedBytes.randomNonce(), authenticating: context)
        }
        return context + sealed
    }

    /// Whether bytes are those of a sealed file.
    public static func isSealed(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

    /// Decrypts a small file; nil if it has another name, was changed, or its key is not on the ring.
    public func open(_ bytes: [UInt8], name: String) -> [UInt8]? {
        let start = Self.magic.count + 8
        guard Self.isSealed(bytes), bytes.count >= start else { return nil }
        let id = bytes[Self.magic.count..<start].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let key = key(id)?.derived(for: "file", Array(name.utf8)) else { return nil }
        return bytes.withUnsafeBytes { raw in
            let sealed = UnsafeRawBufferPointer(rebasing: raw[start...])
            return SealedBytes.open(sealed, key, authenticating: Array(bytes[..<start]))
        }
    }
}
