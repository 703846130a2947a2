import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Records that were appended together: payloads one after the other, and where each ends.
struct Batch: Sendable {
    var firstSequence: UInt64
    var bytes: [UInt8]
    var ends: [Int]

    /// What it counts for while it waits.
    var cost: Int { bytes.count + ends.count * Frame.headerBytes }
}

/// Writes records into segments. Confined to the journal's thread.
final class SegmentWriter {
    /// How a commit ended.
    enum Outcome {
        /// All of it is committed.
        case committed
        /// No room for another segment; the rest waits in ``backlog``.
        case stalled(JournalError)
        /// Never to be tried again.
        case failed(JournalError)
    }

    /// At most this much is collected before it is written; longer commits are several writes and still one sync.
    private static let maxStagedBytes = 4 * 1024 * 1024

    let configuration: Journal.Configuration
    let disk: any Disk
    private let identity: JournalIdentity
    private let checksums: Checksum
    let catalogue: Catalogue

    /// Why the reserve was taken or could not be made; nil while it is whole.
    var shortage: JournalError?
    /// The segment that is written to; nil before the first record and after recovery found none to continue.
    private(set) var active: Segment?
    /// Where the next frame goes.
    private(set) var tail: Int
    /// Nonces of this opening of the active segment.
    private var nonces = NonceSource()
    /// The last record written, committed or not.
    private(set) var lastSequence: UInt64
    /// The last record that is on the disk for certain.
    private(set) var syncedThrough: UInt64
    /// Batches that are not written yet, and how many records of the first one are.
    private(set) var backlog: [Batch] = []
    private var backlogRecord = 0

    private var stage: UnsafeMutableRawBufferPointer
    private var stagedBytes = 0
    private var staged: [(sequence: UInt64, offset: Int, end: Int)] = []

    init(
        configuration: Journal.Configuration,
        disk: any Disk,
        identity: JournalIdentity,
        catalogue: Catalogue,
        active: Segment?,
        tail: Int,
        lastSequence: UInt64
    ) {
        self.configuration = configuration
        self.disk = disk
        self.identity = identity
        self.checksums = Checksum(of: identity)
        self.catalogue = catalogue
        self.active = active
        self.tail = tail
        self.lastSequence = lastSequence
        self.syncedThrough = lastSequence
        stage = .allocate(byteCount: 64 * 1024, alignment: Frame.alignment)
    }

    deinit { stage.deallocate() }

    /// Whether something was written and not synced yet.
    var hasUnsynced: Bool { syncedThrough < lastSequence }

    /// Takes batches and writes them and what still waits, as one group: one write for each contiguous piece, one sync.
    /// Returns how it ended and how many bytes (``Batch/cost``) no longer wait.
    func commit(_ batches: [Batch]) -> (outcome: Outcome, releasedBytes: Int) {
        backlog.append(contentsOf: batches)
        var released = 0
        var outcome = Outcome.committed
        do throws(JournalError) {
            var stall: JournalError?
            writing: for index in backlog.indices {
                while backlogRecord < backlog[index].ends.count {
                    if let error = try writeRecord(of: index) {
                        stall = error
                        break writing
                    }
                    backlogRecord += 1
                }
                released += backlog[index].cost
                backlogRecord = 0
                // The memory goes at once, not when the whole group is through.
                backlog[index] = Batch(firstSequence: 0, bytes: [], ends: [])
            }
            try flush()
            if configuration.sync == .always { try sync() }
            publish()
            if let stall { outcome = .stalled(stall) }
        } catch {
            outcome = .failed(error)
        }
        backlog.removeAll { $0.ends.isEmpty }
        return (outcome, released)
    }

    /// Begins a segment at once where recovery left none to continue, so that the sequences it gave up stay given up
    /// whatever happens next. Without room it is left to the first record. The reserve is made, too.
    func begin() throws(JournalError) {
        shortage = try fillReserve()
        guard active == nil, lastSequence > 0 else { return }
        _ = try roll(to: lastSequence + 1, dataBytes: 0, configuration.keys?.primary)
    }

    /// Makes durable what was written.
    func sync() throws(JournalError) {
        guard hasUnsynced, let active else { return }
        do throws(DiskError) { try active.file.sync() } catch { throw JournalError(error, as: .syncFailed) }
        syncedThrough = lastSequence
    }

    /// Notes behind the last record that it was synced, where the next record will overwrite it. It costs one write
    /// into the page cache while nothing else is to do, and lets recovery tell a torn tail from a damaged one.
    func mark() throws(JournalError) {
        guard let active, !hasUnsynced, lastSequence > 0, tail + Frame.headerBytes <= active.byteCount else { return }
        var failure: DiskError?
        withUnsafeTemporaryAllocation(byteCount: Frame.headerBytes, alignment: Frame.alignment) { raw in
            guard let base = raw.baseAddress else { return }
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            let last = lastSequence
            Frame.write(.mark, sequence: last, syncedThrough: last, payload: nothing, to: base, checksums)
            do throws(DiskError) {
                try active.file.writeAll(UnsafeRawBufferPointer(raw), at: tail)
            } catch {
                failure = error
            }
        }
        if let failure { throw JournalError(failure, as: .writeFailed) }
    }

    /// Syncs everything and the mark after it, at the end of an orderly life.
    func finish() throws(JournalError) {
        try sync()
        try mark()
        guard let active, lastSequence > 0 else { return }
        do throws(DiskError) { try active.file.sync() } catch { throw JournalError(error, as: .syncFailed) }
    }

    // MARK: Records

    /// Stages the next record of a batch. Returns the reason if there is no room for it.
    private func writeRecord(of index: Int) throws(JournalError) -> JournalError? {
        let batch = backlog[index]
        let start = backlogRecord == 0 ? 0 : batch.ends[backlogRecord - 1]
        let length = batch.ends[backlogRecord] - start
        let sequence = batch.firstSequence + UInt64(backlogRecord)
        let key = configuration.keys?.primary
        let needed = Frame.byteCount(payload: length + (key == nil ? 0 : SealedBytes.overhead))
        if active.map({ tail + stagedBytes + needed > $0.byteCount || $0.cipher?.keyID != key?.id }) ?? true {
            try flush()
            // The old segment is synced before the new one exists, whatever the policy: a segment's header proves that
            // everything before it was stored.
            try sync()
            publish()
            if let stall = try roll(to: sequence, dataBytes: needed, key) { return stall }
        }
        if stagedBytes > 0, stagedBytes + needed > SegmentWriter.maxStagedBytes { try flush() }
        reserve(stagedBytes + needed)
        guard let base = stage.baseAddress else { return nil }
        batch.bytes.withUnsafeBytes { raw in
            let payload = UnsafeRawBufferPointer(rebasing: raw[start..<start + length])
            stage(payload, sequence, at: base + stagedBytes)
        }
        staged.append((sequence, tail + stagedBytes, tail + stagedBytes + needed))
        stagedBytes += needed
        return nil
    }

    /// Writes a record's frame into the stage, encrypted where the active segment is.
    private func stage(_ payload: UnsafeRawBufferPointer, _ sequence: UInt64, at place: UnsafeMutableRawPointer) {
        let synced = syncedThrough
        guard let cipher = active?.cipher else {
            Frame.write(.record, sequence: sequence, syncedThrough: synced, payload: payload, to: place, checksums)
            return
        }
        let sealed = cipher.seal(
            payload,
            sequence: sequence,
            flags: Frame.flags(.sealed, sequence: sequence, syncedThrough: synced),
            offset: tail + stagedBytes,
            nonce: nonces.next()
        )
        sealed.withUnsafeBytes {
            Frame.write(.sealed, sequence: sequence, syncedThrough: synced, payload: $0, to: place, checksums)
        }
    }

    private func reserve(_ bytes: Int) {
        guard bytes > stage.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(bytes, min(stage.count * 2, SegmentWriter.maxStagedBytes)),
            alignment: Frame.alignment
        )
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: stage[0..<stagedBytes]))
        stage.deallocate()
        stage = larger
    }

    /// Writes what is staged.
    private func flush() throws(JournalError) {
        guard stagedBytes > 0, let active else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: stage[0..<stagedBytes])
        do throws(DiskError) {
            try active.file.writeAll(bytes, at: tail)
        } catch {
            throw JournalError(error, as: .writeFailed)
        }
        tail += stagedBytes
        stagedBytes = 0
        if let last = staged.last { lastSequence = last.sequence }
        if stage.count > SegmentWriter.maxStagedBytes {
            stage.deallocate()
            stage = .allocate(byteCount: 64 * 1024, alignment: Frame.alignment)
        }
    }

    /// Lets readers see what was written (and, where the policy says so, synced).
    private func publish() {
        guard let active, !staged.isEmpty else { return }
        active.map.withLock { map in
            for record in staged { map.append(sequence: record.sequence, offset: record.offset, end: record.end) }
        }
        staged.removeAll(keepingCapacity: true)
        catalogue.withLock { $0.committedSequence = lastSequence }
    }

    // MARK: Segments

    /// Opens the segment that starts with `sequence`: in a spare file, a new one, or as the last resort in one of the
    /// reserve. Returns the reason if there is no room for it; then nothing changed.
    private func roll(
        to sequence: UInt64,
        dataBytes: Int,
        _ key: JournalKey?
    ) throws(JournalError) -> JournalError? {
        let byteCount = max(segmentBytes, (Segment.dataOffset + dataBytes + 4095) & ~4095)
        if let spare = takeSpare(of: byteCount, keeping: configuration.reserveSegments) {
            try begin(sequence, in: spare.name, byteCount, FileHeader.recycledFlag, key)
            return nil
        }
        let name = FileName.segment(sequence) + FileName.temporarySuffix
        if let lack = try make(name, byteCount) {
            guard let spare = takeSpare(of: byteCount, keeping: 0) else { return lack }
            shortage = lack
            try begin(sequence, in: spare.name, byteCount, FileHeader.recycledFlag, key)
            return nil
        }
        do throws(JournalError) {
            try begin(sequence, in: name, byteCount, 0, key)
            return nil
        } catch {
            guard error.isWantOfSpace else { throw error }
            try? disk.remove(configuration.path(name))
            return error
        }
    }

    /// Gives the file its header and its name, durably, and goes on in it.
    private func begin(
        _ sequence: UInt64,
        in name: String,
        _ byteCount: Int,
        _ flags: UInt32,
        _ key: JournalKey?
    ) throws(JournalError) {
        var header = FileHeader(identity: identity)
        header.sequence = sequence
        header.createdMilliseconds = configuration.wallMilliseconds()
        header.bytes = UInt64(byteCount)
        header.flags = flags
        if let key { header.encrypt(under: key) }
        do throws(DiskError) {
            let file = try disk.open(configuration.path(name), create: false)
            let encoded = header.encode(.segment, sealedWith: key)
            try file.writeAll(encoded, at: 0)
            try file.writeAll(encoded, at: Segment.headerCopyOffset)
            try file.sync()
            try disk.rename(configuration.path(name), to: configuration.path(FileName.segment(sequence)))
            try disk.syncDirectory(configuration.directory)
            open(file, header, byteCount, key)
        } catch {
            throw JournalError(error, as: error.operation == "fdatasync" ? .syncFailed : .writeFailed)
        }
    }

    private func open(_ file: any DiskFile, _ header: FileHeader, _ byteCount: Int, _ key: JournalKey?) {
        let segment = Segment(
            firstSequence: header.sequence,
            name: FileName.segment(header.sequence),
            file: file,
            byteCount: byteCount,
            createdMilliseconds: header.createdMilliseconds,
            cipher: key.map { SegmentCipher($0, identity, firstSequence: header.sequence) }
        )
        catalogue.withLock { state in
            // One without records, under another key, had the same name; the new file has taken its place.
            state.segments.removeAll { $0.firstSequence == header.sequence }
            state.segments.append(segment)
        }
        active = segment
        nonces = NonceSource()
        tail = Segment.dataOffset
    }
}
