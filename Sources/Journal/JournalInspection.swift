import Synchronization

/// What stands in a journal's directory, found out as recovery finds it out and without changing anything: neither a
/// site that runs there nor the next one that starts will notice.
///
/// What a running site writes meanwhile may be half there. Whatever looks damaged in a journal that is open is looked
/// at again, and counts only if it stays.
public struct JournalInspection: Sendable {
    /// A segment file.
    public struct SegmentSummary: Sendable, Hashable {
        /// The name of the file.
        public var file: String
        /// The sequence it begins with.
        public var first: UInt64
        /// The last record in it; nil if it has none.
        public var last: UInt64?
        /// How many intact records it has.
        public var records: UInt64
        /// The size of the file.
        public var bytes: Int
        /// How much of it is used.
        public var usedBytes: Int
        /// When it was begun, milliseconds since 1970-01-01 UTC; 0 if its header is damaged.
        public var createdMilliseconds: Int64
    }

    /// A checkpoint file that passes its checksum.
    public struct CheckpointSummary: Sendable, Hashable {
        /// The name of the file.
        public var file: String
        /// The last record that it includes.
        public var through: UInt64
        /// The size of the file.
        public var bytes: Int
    }

    /// The directory.
    public let directory: String
    /// What recovery would say.
    public let recovery: Recovery
    /// The segments, in the order of their sequences.
    public let segments: [SegmentSummary]
    /// The checkpoints, newest first; at most two.
    public let checkpoints: [CheckpointSummary]
    /// Files of retired segments that wait to be written again.
    public let spares: Int
    /// Bytes of all files of the journal.
    public let bytesOnDisk: Int
    /// Whether somebody has the journal open for writing. Its tail goes on while one looks at it.
    public let isOpen: Bool
    /// Whether any of its files is encrypted.
    public let isEncrypted: Bool
    private let hasKeys: Bool
    private let reading: RecordReading

    /// How often an open journal is looked at again before what looks damaged counts.
    private static let attemptsMax = 5

    /// Looks at a journal on this machine.
    ///
    /// - Parameters:
    ///   - directory: The journal's.
    ///   - keys: The keys of an encrypted journal. Without them its records count by their checksums, and cannot be
    ///     read.
    /// - Throws: ``JournalError`` if there is no journal, or it cannot be read, or a newer version wrote it, or it is
    ///   encrypted with a key that `keys` does not have.
    public init(directory: String, keys: KeyRing? = nil) throws(JournalError) {
        let lock = directory + "/" + FileName.lock
        let disk = PosixDisk(isReadOnly: true)
        let isOpen = PosixDisk.isLocked(lock)
        var found = try JournalInspection(directory: directory, disk: disk, isOpen: isOpen, keys: keys)
        for _ in 1..<JournalInspection.attemptsMax where found.recovery.isDamaged && found.isOpen {
            let again = try JournalInspection(directory: directory, disk: disk, isOpen: true, keys: keys)
            let isSame = again.recovery.lost == found.recovery.lost && again.recovery.damage == found.recovery.damage
            found = again
            if isSame { break }
        }
        self = found
    }

    /// Looks at a journal on any disk.
    public init(directory: String, disk: any Disk, isOpen: Bool, keys: KeyRing? = nil) throws(JournalError) {
        var configuration = Journal.Configuration(directory: directory)
        configuration.keys = keys
        configuration.readsUnopened = keys == nil
        let names: [String]
        do throws(DiskError) {
            names = try disk.list(directory)
        } catch {
            throw JournalError(error, as: .accessFailed)
        }
        guard names.contains(where: { $0 == FileName.identity || $0.hasSuffix(FileName.segmentSuffix) }) else {
            throw JournalError(.accessFailed, "There is no journal in \(directory).", path: directory)
        }
        let result = try RecoveryRun.run(configuration, ReadOnlyDisk(base: disk))
        let state = result.state
        self.directory = directory
        self.isOpen = isOpen
        recovery = result.recovery
        isEncrypted = result.isEncrypted
        hasKeys = keys != nil
        segments = state.segments.map { segment in
            let runs = segment.map.withLock { $0.runs(from: 0) }
            return SegmentSummary(
                file: segment.name,
                first: segment.firstSequence,
                last: runs.last?.last,
                records: runs.reduce(0) { $0 + ($1.last - $1.first + 1) },
                bytes: segment.byteCount,
                usedBytes: runs.map(\.end).max() ?? Segment.dataOffset,
                createdMilliseconds: segment.createdMilliseconds
            )
        }
        checkpoints = state.checkpoints.map { sequence in
            CheckpointSummary(
                file: FileName.checkpoint(sequence),
                through: sequence,
                bytes: state.checkpointBytes[sequence] ?? 0
            )
        }
        spares = state.spares.count
        let catalogue = Catalogue(state)
        bytesOnDisk = catalogue.bytesOnDisk
        reading = RecordReading(
            configuration: configuration,
            catalogue: catalogue,
            checksums: Checksum(of: result.identity)
        )
    }

    /// Whether its records can be read: they are not encrypted, or the keys were given.
    public var isReadable: Bool { !isEncrypted || hasKeys }

    /// The last record; 0 if there is none.
    public var lastSequence: UInt64 { recovery.nextSequence - 1 }

    /// Gives the intact records from a sequence on to the closure, in order; see ``Journal/read(from:maxBytes:_:)``.
    @discardableResult
    public func read(
        from sequence: UInt64,
        maxBytes: Int = .max,
        _ body: (_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) -> Bool
    ) throws(JournalError) -> UInt64 {
        try reading.read(from: sequence, maxBytes: maxBytes, body)
    }
}
