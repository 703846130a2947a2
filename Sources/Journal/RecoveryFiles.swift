/// The files of a journal's directory as recovery finds them, before anything is changed.
struct RecoveryFiles {
    struct SegmentFile {
        var name: String
        /// The number in the name.
        var named: UInt64
        var header: FileHeader?
        var file: any DiskFile
        var byteCount: Int
        /// How its records are told.
        var reading = SegmentScan.Reading.plain

        var cipher: SegmentCipher? {
            guard case .sealed(let cipher) = reading else { return nil }
            return cipher
        }

        /// Its first record: what the header says, else the name.
        var firstSequence: UInt64 { header?.sequence ?? named }
    }

    struct CheckpointFile {
        var name: String
        var named: UInt64
        var header: FileHeader?
        var file: any DiskFile
        /// The content, opened; nil if it is damaged, or nobody has the key.
        var bytes: [UInt8]?
        /// Whether the checksum fits: what more there is to say, the key says.
        var isIntact = false
    }

    var segments: [SegmentFile] = []
    var checkpoints: [CheckpointFile] = []
    var spares: [Catalogue.Spare] = []
    var temporaries: [String] = []
    var corruptBytes = 0
    var identityFile: FileHeader?
    var hasIdentityFile = false

    /// Reads names and headers. Refuses what a newer version wrote, before a byte is changed.
    static func survey(_ configuration: Journal.Configuration, _ disk: any Disk) throws(JournalError) -> RecoveryFiles {
        var files = RecoveryFiles()
        do throws(DiskError) {
            for name in try disk.list(configuration.directory).sorted() {
                try files.add(name, configuration, disk)
            }
        } catch {
            throw JournalError(error, as: .accessFailed)
        }
        let headers = files.segments.compactMap(\.header) + files.checkpoints.compactMap(\.header)
        let newest = (headers + [files.identityFile].compactMap(\.self)).map(\.version).max() ?? 0
        guard newest <= FileHeader.currentVersion else {
            throw JournalError(
                .unsupportedVersion,
                "The journal has format version \(newest); this program reads up to \(FileHeader.currentVersion). "
                    + "Nothing was changed: use the newer program, or another path.",
                path: configuration.directory
            )
        }
        if !configuration.readsUnopened { try files.checkKeys(configuration) }
        files.chooseReadings(configuration.keys)
        return files
    }

    /// Without the key of a file nothing is changed: it would look like damage.
    private func checkKeys(_ configuration: Journal.Configuration) throws(JournalError) {
        let used = segments.compactMap { $0.header?.keyID } + checkpoints.compactMap { $0.header?.keyID }
        guard let missing = used.first(where: { configuration.keys?.key($0) == nil }) else { return }
        let known = (configuration.keys?.all ?? []).map(\.name).sorted().joined(separator: ", ")
        throw JournalError(
            .keyMissing,
            "The journal is encrypted with the key \(JournalKey.name(missing)), and "
                + (known.isEmpty ? "no key is configured." : "the configured keys are \(known).")
                + " Nothing was changed: configure that key, among the retired ones if another one is used now.",
            path: configuration.directory
        )
    }

    /// Settles how the records of each segment are told from other bytes.
    private mutating func chooseReadings(_ keys: KeyRing?) {
        guard let identity else { return }
        for index in segments.indices {
            let segment = segments[index]
            let first = segment.firstSequence
            if let header = segment.header {
                let cipher = header.keyID.flatMap { keys?.key($0) }.map {
                    SegmentCipher($0, identity, firstSequence: first)
                }
                segments[index].reading = SegmentScan.reading(cipher, isEncrypted: header.keyID != nil)
            } else {
                // Both copies of the header are gone: the records themselves tell which key is theirs.
                let ciphers = (keys?.all ?? []).map { SegmentCipher($0, identity, firstSequence: first) }
                let fitting = ciphers.first { SegmentScan.opens(segment.file, segment.byteCount, identity, $0) }
                if let fitting { segments[index].reading = .sealed(fitting) }
            }
        }
    }

    private mutating func add(
        _ name: String,
        _ configuration: Journal.Configuration,
        _ disk: any Disk
    ) throws(DiskError) {
        let path = configuration.path(name)
        let keys = configuration.keys
        if name == FileName.identity {
            hasIdentityFile = true
            let bytes = RecoveryFiles.head(of: try disk.open(path, create: false), FileHeader.byteCount)
            identityFile = FileHeader(.identity, from: bytes)
        } else if name.hasSuffix(FileName.temporarySuffix) {
            temporaries.append(name)
        } else if name.hasSuffix(FileName.corruptSuffix) {
            corruptBytes += try disk.open(path, create: false).size()
        } else if name.hasSuffix(FileName.spareSuffix) {
            spares.append(.init(name: name, byteCount: try disk.open(path, create: false).size()))
        } else if let named = FileName.number(of: name, suffix: FileName.checkpointSuffix) {
            checkpoints.append(try RecoveryFiles.checkpoint(name, named, try disk.open(path, create: false), keys))
        } else if let named = FileName.number(of: name, suffix: FileName.segmentSuffix), named > 0 {
            let file = try disk.open(path, create: false)
            // Both copies in one read; a bad block makes only one of them unreadable.
            let first = RecoveryFiles.head(of: file, FileHeader.sealedByteCount)
            let second = RecoveryFiles.head(of: file, FileHeader.sealedByteCount, at: Segment.headerCopyOffset)
            var header = RecoveryFiles.header(first, keys) ?? RecoveryFiles.header(second, keys)
            if let sequence = header?.sequence, sequence == 0 || sequence > Frame.maxSequence { header = nil }
            segments.append(
                SegmentFile(name: name, named: named, header: header, file: file, byteCount: try file.size())
            )
        }
    }

    /// A segment's header; nil also if it was changed by somebody without its key.
    private static func header(_ bytes: [UInt8], _ keys: KeyRing?) -> FileHeader? {
        guard let header = FileHeader(.segment, from: bytes) else { return nil }
        guard let key = header.keyID.flatMap({ keys?.key($0) }) else { return header }
        return header.isAuthentic(.segment, key) ? header : nil
    }

    private static func checkpoint(
        _ name: String,
        _ named: UInt64,
        _ file: any DiskFile,
        _ keys: KeyRing?
    ) throws(DiskError) -> CheckpointFile {
        var result = CheckpointFile(name: name, named: named, file: file)
        let size = try file.size()
        result.header = FileHeader(.checkpoint, from: head(of: file, FileHeader.sealedByteCount))
        guard let header = result.header, size >= header.headBytes, UInt64(size - header.headBytes) == header.bytes
        else {
            return result
        }
        let bytes = head(of: file, size - header.headBytes, at: header.headBytes)
        guard UInt64(bytes.count) == header.bytes, Checksum.plain(bytes) == header.contentChecksum else {
            return result
        }
        result.isIntact = true
        guard let keyID = header.keyID else {
            result.bytes = bytes
            return result
        }
        if let key = keys?.key(keyID) { result.bytes = CheckpointCipher.open(bytes, header, key) }
        return result
    }

    /// The bytes, or none where the disk cannot read them: to recovery a bad block is damage like any other.
    private static func head(of file: any DiskFile, _ count: Int, at offset: Int = 0) -> [UInt8] {
        (try? file.readBytes(count, at: offset)) ?? []
    }

    /// The journal's identity: its own file's, else the one most files carry, else nil.
    var identity: JournalIdentity? {
        if let identityFile { return identityFile.identity }
        var votes: [JournalIdentity: Int] = [:]
        for header in segments.compactMap(\.header) + checkpoints.compactMap(\.header) {
            votes[header.identity, default: 0] += 1
        }
        return votes.max { ($0.value, $0.key.high, $0.key.low) < ($1.value, $1.key.high, $1.key.low) }?.key
    }
}
