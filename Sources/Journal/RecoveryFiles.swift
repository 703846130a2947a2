/// The files of a journal's directory as recovery finds them, before anything is changed.
struct RecoveryFiles {
    struct SegmentFile {
        var name: String
        /// The number in the name.
        var named: UInt64
        var header: FileHeader?
        var file: any DiskFile
        var byteCount: Int

        /// Its first record: what the header says, else the name.
        var firstSequence: UInt64 { header?.sequence ?? named }
    }

    struct CheckpointFile {
        var name: String
        var named: UInt64
        var header: FileHeader?
        var bytes: [UInt8]?
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
                try files.add(name, configuration.path(name), disk)
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
        return files
    }

    private mutating func add(_ name: String, _ path: String, _ disk: any Disk) throws(DiskError) {
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
            checkpoints.append(try RecoveryFiles.checkpoint(name, named, try disk.open(path, create: false)))
        } else if let named = FileName.number(of: name, suffix: FileName.segmentSuffix), named > 0 {
            let file = try disk.open(path, create: false)
            // Both copies in one read; a bad block makes only one of them unreadable.
            let first = RecoveryFiles.head(of: file, FileHeader.byteCount)
            let second = RecoveryFiles.head(of: file, FileHeader.byteCount, at: Segment.headerCopyOffset)
            var header = FileHeader(.segment, from: first) ?? FileHeader(.segment, from: second)
            if let sequence = header?.sequence, sequence == 0 || sequence > Frame.maxSequence { header = nil }
            segments.append(
                SegmentFile(name: name, named: named, header: header, file: file, byteCount: try file.size())
            )
        }
    }

    private static func checkpoint(
        _ name: String,
        _ named: UInt64,
        _ file: any DiskFile
    ) throws(DiskError) -> CheckpointFile {
        var result = CheckpointFile(name: name, named: named)
        let size = try file.size()
        result.header = FileHeader(.checkpoint, from: head(of: file, FileHeader.byteCount))
        let length = size - FileHeader.byteCount
        guard let header = result.header, length >= 0, UInt64(length) == header.bytes else { return result }
        let bytes = head(of: file, length, at: FileHeader.byteCount)
        if UInt64(bytes.count) == header.bytes, Checksum.plain(bytes) == header.contentChecksum { result.bytes = bytes }
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
