import CCRC32C

/// What recovery finds in one segment file.
struct SegmentScan {
    /// The intact records of the asked range, in the order of their sequences.
    var map = SegmentMap()
    /// What the frames themselves prove to have been synced.
    var syncedThrough: UInt64 = 0
    /// Places of frames that start intact but whose payload does not pass, in file order.
    var brokenFrames: [(sequence: UInt64, offset: Int, end: Int)] = []
    /// Intact records in file order, before sorting: the gaps between them are what a damage report shows.
    var fileRuns: [Run] = []
    /// Where the last byte lies that is not zero. Exact enough to bound a copy of the damage.
    var usedEnd = Segment.dataOffset
    /// True if the bytes where the next record would stand are neither unused nor a mark.
    var isTailDirty = false

    private static let chunkBytes = 1 << 20

    /// How records of a segment are told from bytes that only look like them.
    enum Reading {
        /// They are not encrypted.
        case plain
        /// They are encrypted, and open with this.
        case sealed(SegmentCipher)
        /// They are encrypted, and nobody has the key: their checksums alone count.
        case unopened
    }

    /// Reads the file from the first frame's place to the end, keeping every record in `first..<limit` that passes its
    /// checksum, wherever it stands. Stops early once it has all of them.
    static func run(
        _ file: any DiskFile,
        byteCount: Int,
        _ checksums: Checksum,
        _ reading: Reading = .plain,
        first: UInt64,
        limit: UInt64
    ) throws(DiskError) -> SegmentScan {
        var scan = SegmentScan()
        var window = FileWindow(file, chunkBytes: chunkBytes, isTolerant: true)
        var position = Segment.dataOffset
        // Whole and in order, which is how nearly every segment is found.
        var inOrder = first
        var tail = position
        while let bytes = try window.bytes(at: position, wanted: Frame.headerBytes, limit: byteCount),
            let base = bytes.baseAddress
        {
            guard let frame = Frame(at: base, checksums) else {
                if position == tail {
                    scan.isTailDirty = ccrc32c_zero_prefix(base, Frame.headerBytes) < Frame.headerBytes
                }
                let zeros = ccrc32c_zero_prefix(base, bytes.count) & ~(Frame.alignment - 1)
                position += max(Frame.alignment, zeros - Frame.headerBytes + Frame.alignment)
                if zeros == 0 { scan.usedEnd = position }
                continue
            }
            let end = position + frame.byteCount
            let isInRange = frame.sequence >= first && frame.sequence < limit
            guard let whole = try window.bytes(at: position, wanted: frame.byteCount, limit: byteCount),
                let start = whole.baseAddress, frame.isIntact(at: start, checksums),
                reading.accepts(frame, at: start, offset: position)
            else {
                if isInRange { scan.brokenFrames.append((frame.sequence, position, min(end, byteCount))) }
                // Its length is not trusted: where blocks were misplaced, intact records lie inside.
                position += Frame.alignment
                scan.usedEnd = max(scan.usedEnd, position)
                continue
            }
            switch frame.kind {
            case .mark:
                if frame.sequence >= first &- 1, frame.sequence < limit { scan.note(synced: frame.syncedThrough) }
            case .record, .sealed:
                if isInRange {
                    scan.note(synced: frame.syncedThrough)
                    scan.map.append(sequence: frame.sequence, offset: position, end: end)
                    if position == tail, frame.sequence == inOrder {
                        inOrder &+= 1
                        tail = end
                    }
                }
            }
            position = end
            scan.usedEnd = end
            // Everything up to the next segment's first record was there, in order: behind it is nothing of interest.
            if inOrder == limit { break }
        }
        scan.fileRuns = scan.map.runs
        scan.map.sort(first: first, limit: limit)
        return scan
    }

    /// Whether some record of a file opens with a cipher; the first one whose checksums fit tells.
    static func opens(
        _ file: any DiskFile,
        _ byteCount: Int,
        _ identity: JournalIdentity,
        _ cipher: SegmentCipher
    ) -> Bool {
        let checksums = Checksum(of: identity)
        let whole = try? run(file, byteCount: byteCount, checksums, .sealed(cipher), first: 1, limit: .max)
        return !(whole?.map.runs.isEmpty ?? true)
    }

    /// The cipher, if it is known.
    static func reading(_ cipher: SegmentCipher?, isEncrypted: Bool) -> Reading {
        if let cipher { return .sealed(cipher) }
        return isEncrypted ? .unopened : .plain
    }

    private mutating func note(synced sequence: UInt64) {
        syncedThrough = max(syncedThrough, sequence)
    }
}

extension SegmentScan.Reading {
    /// Whether a frame whose checksums fit belongs here. What somebody put there without the key does not.
    func accepts(_ frame: Frame, at pointer: UnsafeRawPointer, offset: Int) -> Bool {
        switch (self, frame.kind) {
        case (_, .mark), (.plain, .record), (.unopened, .sealed): return true
        case (.sealed(let cipher), .sealed): return open(frame, at: pointer, offset: offset, cipher) != nil
        case (.plain, .sealed), (.sealed, .record), (.unopened, .record): return false
        }
    }

    private func open(_ frame: Frame, at pointer: UnsafeRawPointer, offset: Int, _ cipher: SegmentCipher) -> [UInt8]? {
        let payload = UnsafeRawBufferPointer(start: pointer + Frame.headerBytes, count: frame.payloadBytes)
        return cipher.open(payload, sequence: frame.sequence, flags: frame.flags, offset: offset)
    }
}
