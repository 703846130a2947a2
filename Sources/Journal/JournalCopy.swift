#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A copy of a journal as of one moment, made beside whoever writes it.
///
/// Everything that was committed before the copy was begun is in it, and nothing that is torn: of the segment that is
/// being written to, what stands there whole and in order is taken. While it is made, the journal lets no segment go
/// (see ``Journal/retire(before:keeping:)``), unless it is short of room; then files are missing and the copy fails.
public struct JournalCopy: Sendable, Hashable {
    /// The oldest record of the copy; where there is none, the one that comes next.
    public let firstSequence: UInt64
    /// The last record of the copy; 0 if there is none.
    public let lastSequence: UInt64

    /// How much is copied at a time.
    private static let chunkBytes = 1 << 20
    /// How often the files are listed again because one of them went in between.
    private static let surveysMax = 8
    /// How often the last segment is looked at again because its end was being written.
    private static let looksMax = 5

    /// Makes a copy. Blocks for as long as it takes to read everything twice.
    ///
    /// - Parameters:
    ///   - source: The directory of a journal; this process must be allowed to take a lock there.
    ///   - target: A directory that holds no journal yet; it is made if need be.
    /// - Throws: ``JournalError``; what stands in the target is then of no use.
    public init(from source: String, to target: String) throws(JournalError) {
        let disk = PosixDisk()
        let hold: any DiskLock
        do throws(DiskError) {
            try disk.createDirectory(target)
            hold = try PosixDisk.share(source + "/" + FileName.hold)
        } catch {
            throw JournalError(error, as: .accessFailed)
        }
        let files = try Self.survey(source)
        do throws(DiskError) {
            (firstSequence, lastSequence) = try Self.copy(files, from: source, to: target, disk)
            try disk.syncDirectory(target)
        } catch {
            throw JournalError(error, as: error.operation == "pread" ? .readFailed : .writeFailed)
        }
        withExtendedLifetime(hold) {}
    }

    /// Names and headers; a checkpoint that was replaced between the list and the look at it is looked for again.
    private static func survey(_ source: String) throws(JournalError) -> RecoveryFiles {
        var configuration = Journal.Configuration(directory: source)
        configuration.readsUnopened = true
        let disk = PosixDisk(isReadOnly: true)
        for _ in 1..<surveysMax {
            do throws(JournalError) {
                return try RecoveryFiles.survey(configuration, disk)
            } catch {
                guard error.errno == ENOENT else { throw error }
            }
        }
        return try RecoveryFiles.survey(configuration, disk)
    }

    /// Checkpoints before segments: so no checkpoint speaks of a record that is not there.
    private static func copy(
        _ files: RecoveryFiles,
        from source: String,
        to target: String,
        _ disk: PosixDisk
    ) throws(DiskError) -> (UInt64, UInt64) {
        if let identity = files.identity {
            var header = files.identityFile ?? FileHeader(identity: identity)
            header.identity = identity
            try write(header.encode(.identity), to: target + "/" + FileName.identity, disk)
        }
        for checkpoint in files.checkpoints where checkpoint.isIntact {
            let bytes = try checkpoint.file.readBytes(try checkpoint.file.size(), at: 0)
            try write(bytes, to: target + "/" + checkpoint.name, disk)
        }
        let segments = files.segments.sorted { $0.firstSequence < $1.firstSequence }
        let checksums = Checksum(of: files.identity ?? JournalIdentity())
        var last = max(segments.first.map { $0.firstSequence - 1 } ?? 0, files.checkpoints.map(\.named).max() ?? 0)
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            let limit = isLast ? UInt64.max : segments[index + 1].firstSequence
            var (scan, end) = try look(at: segment, limit, checksums, isLast: isLast)
            for _ in 1..<looksMax where isLast && scan.fileRuns.count > 1 {
                (scan, end) = try look(at: segment, limit, checksums, isLast: isLast)
            }
            // Pieces that stay apart are damage, not a write under way: then everything is taken as it is.
            if isLast, scan.fileRuns.count > 1 { end = segment.byteCount }
            last = max(last, segment.firstSequence - 1, scan.map.runs.last?.last ?? 0)
            try copy(segment, upTo: min(end, segment.byteCount), to: target + "/" + segment.name, disk)
        }
        return (segments.first?.firstSequence ?? last + 1, last)
    }

    /// What stands in a segment, and where that ends. Of the last one, what is not whole and in order is left out: it
    /// is being written, or a crash cut it off.
    private static func look(
        at segment: RecoveryFiles.SegmentFile,
        _ limit: UInt64,
        _ checksums: Checksum,
        isLast: Bool
    ) throws(DiskError) -> (scan: SegmentScan, end: Int) {
        let scan = try SegmentScan.run(
            segment.file,
            byteCount: segment.byteCount,
            checksums,
            segment.reading,
            first: segment.firstSequence,
            limit: limit
        )
        guard isLast else { return (scan, segment.byteCount) }
        return (scan, scan.fileRuns.first?.end ?? Segment.dataOffset)
    }

    private static func copy(
        _ segment: RecoveryFiles.SegmentFile,
        upTo end: Int,
        to path: String,
        _ disk: PosixDisk
    ) throws(DiskError) {
        let file = try disk.open(path, create: true)
        var offset = 0
        while offset < end {
            let bytes = try segment.file.readBytes(min(chunkBytes, end - offset), at: offset)
            guard !bytes.isEmpty else { break }
            try file.writeAll(bytes, at: offset)
            offset += bytes.count
        }
        // As long as the original: so it can be written on where it ends.
        try file.allocate(segment.byteCount)
        try file.sync()
    }

    private static func write(_ bytes: [UInt8], to path: String, _ disk: PosixDisk) throws(DiskError) {
        let file = try disk.open(path, create: true)
        try file.writeAll(bytes, at: 0)
        try file.sync()
    }
}
