import Synchronization

/// Opens what a journal's directory holds, whatever happened to it.
///
/// The rules: a record is kept if it passes its checksum and nothing before it in the sequence is torn. A missing
/// record counts as lost (damage) if a later frame, a segment's header or a checkpoint proves that it had been synced;
/// if nothing does, it is the torn end of the last write and is cut off with what follows. Damaged segments are never
/// written to again: what is intact in them is read where it stands.
struct RecoveryRun {
    /// What the journal starts with.
    struct Result {
        var identity: JournalIdentity
        var recovery: Recovery
        var state: Catalogue.State
        /// The segment to go on writing in, if the last one can be continued.
        var active: Segment?
        var tail: Int
        var lock: any DiskLock
        /// Whether any file is encrypted.
        var isEncrypted: Bool
    }

    /// A segment with what was found in it.
    struct Found {
        var file: RecoveryFiles.SegmentFile
        var scan: SegmentScan
    }

    let configuration: Journal.Configuration
    let disk: any Disk
    var files = RecoveryFiles()
    var recovery = Recovery(firstSequence: 1, nextSequence: 1)
    var state = Catalogue.State()
    var identity: JournalIdentity
    var checksums: Checksum

    static func run(_ configuration: Journal.Configuration, _ disk: any Disk) throws(JournalError) -> Result {
        let held: any DiskLock
        do throws(DiskError) {
            try disk.createDirectory(configuration.directory)
            held = try disk.lock(configuration.path(FileName.lock))
        } catch {
            throw JournalError(error, as: error.operation == "flock" ? .locked : .accessFailed)
        }
        let files = try RecoveryFiles.survey(configuration, disk)
        var run = RecoveryRun(configuration, disk, files)
        do throws(DiskError) {
            return try run.recover(held)
        } catch {
            throw JournalError(error, as: error.operation == "pread" ? .readFailed : .accessFailed)
        }
    }

    private init(_ configuration: Journal.Configuration, _ disk: any Disk, _ files: RecoveryFiles) {
        self.configuration = configuration
        self.disk = disk
        self.files = files
        identity = files.identity ?? configuration.identity ?? JournalIdentity()
        checksums = Checksum(of: identity)
        state.corruptBytes = files.corruptBytes
    }

    private mutating func recover(_ lock: any DiskLock) throws(DiskError) -> Result {
        try prepareDirectory()
        takeCheckpoints()
        var found = try takeSegments()
        let proven = provenDurable(found)
        let (lost, cut) = account(found, proven)
        recovery.lost = lost
        recovery.firstSequence = found.first?.file.firstSequence ?? cut
        recovery.nextSequence = cut
        let tail = try settleTail(&found, cut)
        setAsideEmptyLast(&found, cut, tail)
        for index in found.indices { reportDamage(found[index], isLast: index == found.count - 1, tail) }
        state.segments = found.map(segment)
        state.committedSequence = cut - 1
        let active = tail == nil ? nil : state.segments.last
        if let last = state.segments.last { try storeAgain(last, after: proven) }
        try disk.syncDirectory(configuration.directory)
        return Result(
            identity: identity,
            recovery: recovery,
            state: state,
            active: active,
            tail: tail ?? Segment.dataOffset,
            lock: lock,
            isEncrypted: (files.segments.map(\.header) + files.checkpoints.map(\.header)).contains { $0?.keyID != nil }
        )
    }

    /// Records that the last life had written and not synced are committed from now on. They are written again first:
    /// where a sync had failed, the system takes them for stored, and another sync would store nothing.
    private func storeAgain(_ segment: Segment, after proven: UInt64) throws(DiskError) {
        for run in segment.map.withLock({ $0.runs(from: proven + 1) }) {
            var offset = run.offset
            while offset < run.end {
                let bytes = try segment.file.readBytes(min(run.end - offset, 1 << 20), at: offset)
                guard !bytes.isEmpty else { break }
                try segment.file.writeAll(bytes, at: offset)
                offset += bytes.count
            }
        }
        try segment.file.sync()
    }

    // MARK: Directory

    private mutating func prepareDirectory() throws(DiskError) {
        for name in files.temporaries { try? disk.remove(configuration.path(name)) }
        for spare in files.spares {
            let isWanted = state.spares.count < configuration.sparesKept
            if isWanted, spare.byteCount == configuration.segmentBytes {
                state.spares.append(spare)
            } else {
                try? disk.remove(configuration.path(spare.name))
            }
        }
        guard files.identityFile == nil else { return }
        var header = FileHeader(identity: identity)
        header.createdMilliseconds = configuration.wallMilliseconds()
        do throws(DiskError) {
            try AtomicFile.write(header.encode(.identity), named: FileName.identity, configuration, disk)
        } catch {
            // The other files have it too; a full disk need not keep an old journal from starting.
            if files.identity == nil { throw error }
        }
        if files.hasIdentityFile || !files.segments.isEmpty || !files.checkpoints.isEmpty {
            recovery.damage.append(Damage(kind: .damagedIdentity, file: FileName.identity))
        }
    }

    private mutating func takeCheckpoints() {
        var valid: [(header: FileHeader, bytes: [UInt8])] = []
        for file in files.checkpoints {
            // Who only looks takes one that nobody can open for what its checksum says.
            let bytes = file.bytes ?? (configuration.readsUnopened && file.isIntact ? [] : nil)
            if let header = file.header, let bytes, header.identity == identity, header.sequence == file.named {
                valid.append((header, bytes))
            } else {
                let copy = setAside(file.name)
                recovery.damage.append(Damage(kind: .damagedCheckpoint, file: file.name, copy: copy))
            }
        }
        valid.sort { $0.header.sequence > $1.header.sequence }
        for extra in valid.dropFirst(2) {
            try? disk.remove(configuration.path(FileName.checkpoint(extra.header.sequence)))
        }
        for kept in valid.prefix(2) {
            state.checkpoints.append(kept.header.sequence)
            state.checkpointBytes[kept.header.sequence] = kept.header.headBytes + Int(clamping: kept.header.bytes)
        }
        if let newest = valid.first {
            recovery.checkpoint = Checkpoint(sequence: newest.header.sequence, bytes: newest.bytes)
        }
    }

    /// Renames a file out of the way and returns its new name.
    mutating func setAside(_ name: String) -> String? {
        let existing = (try? disk.list(configuration.directory)) ?? []
        var copy = name + FileName.corruptSuffix
        var number = 2
        while existing.contains(copy) {
            copy = "\(name).\(number)\(FileName.corruptSuffix)"
            number += 1
        }
        do throws(DiskError) {
            let size = try disk.open(configuration.path(name), create: false).size()
            try disk.rename(configuration.path(name), to: configuration.path(copy))
            state.corruptBytes += size
            return copy
        } catch {
            return nil
        }
    }

    // MARK: Segments

    /// Scans the segments, in the order of their sequences, each once and under its own name.
    private mutating func takeSegments() throws(DiskError) -> [Found] {
        var usable: [RecoveryFiles.SegmentFile] = []
        for file in files.segments {
            if let header = file.header, header.identity != identity {
                recovery.damage.append(Damage(kind: .unreadableFile, file: file.name, copy: setAside(file.name)))
            } else {
                usable.append(file)
            }
        }
        usable.sort { ($0.firstSequence, $0.name) < ($1.firstSequence, $1.name) }
        let firsts = usable.map(\.firstSequence)
        var found: [Found] = []
        for file in usable {
            let first = file.firstSequence
            let limit = firsts.first { $0 > first } ?? .max
            let scan = try SegmentScan.run(
                file.file,
                byteCount: file.byteCount,
                checksums,
                file.reading,
                first: first,
                limit: limit
            )
            let candidate = Found(file: file, scan: scan)
            guard let rival = found.last, rival.file.firstSequence == first else {
                found.append(candidate)
                continue
            }
            let isBetter = RecoveryRun.worth(candidate) > RecoveryRun.worth(rival)
            if isBetter { found[found.count - 1] = candidate }
            let loser = isBetter ? rival : candidate
            let copy = setAside(loser.file.name)
            recovery.damage.append(Damage(kind: .duplicateSegment, file: loser.file.name, copy: copy))
        }
        try rename(&found)
        // A file without any record of its own says nothing, unless it is the fresh last one.
        return dropHollow(found)
    }

    /// How good a file is as the one of its number: records, a header of its own, the right name.
    private static func worth(_ found: Found) -> UInt64 {
        let records = found.scan.map.runs.reduce(0) { $0 + ($1.last - $1.first + 1) }
        return records * 4 + (found.file.header == nil ? 0 : 2) + (found.file.named == found.file.firstSequence ? 1 : 0)
    }

    /// Gives misnamed segments their own names, over temporary ones: two may have each other's.
    private mutating func rename(_ found: inout [Found]) throws(DiskError) {
        let wrong = found.indices.filter { found[$0].file.named != found[$0].file.firstSequence }
        guard !wrong.isEmpty else { return }
        for index in wrong {
            let old = found[index].file.name
            // A segment's name again, so that a crash in between loses nothing: the number is the file's own, the
            // highest half of the range is never reached by sequences.
            let parked = FileName.segment(found[index].file.firstSequence | 1 << 63)
            try disk.rename(configuration.path(old), to: configuration.path(parked))
            found[index].file.name = parked
            recovery.damage.append(Damage(kind: .misnamedSegment, file: old))
        }
        try disk.syncDirectory(configuration.directory)
        for index in wrong {
            let name = FileName.segment(found[index].file.firstSequence)
            try disk.rename(configuration.path(found[index].file.name), to: configuration.path(name))
            found[index].file.name = name
            found[index].file.named = found[index].file.firstSequence
        }
    }

    private mutating func dropHollow(_ found: [Found]) -> [Found] {
        var kept: [Found] = []
        for candidate in found {
            if candidate.file.header == nil, candidate.scan.map.runs.isEmpty {
                let copy = setAside(candidate.file.name)
                recovery.damage.append(Damage(kind: .unreadableFile, file: candidate.file.name, copy: copy))
                note(hollow: candidate, isLast: candidate.file.name == found.last?.file.name)
            } else {
                kept.append(candidate)
            }
        }
        return kept
    }

    /// A file that was set aside whole still proves by its name what had been written before it. If it is the last one,
    /// nobody knows how many records it had: as many as fit are given up, so that no sequence is ever used twice.
    private mutating func note(hollow: Found, isLast: Bool) {
        let first = hollow.file.firstSequence
        guard first <= Frame.maxSequence else { return }
        let capacity = UInt64(max(hollow.file.byteCount, configuration.segmentBytes) / Frame.headerBytes)
        provenByHollow = max(provenByHollow, first - 1 + (isLast ? capacity : 0))
    }

    var provenByHollow: UInt64 = 0

    private func segment(_ found: Found) -> Segment {
        Segment(
            firstSequence: found.file.firstSequence,
            name: found.file.name,
            file: found.file.file,
            byteCount: found.file.byteCount,
            createdMilliseconds: found.file.header?.createdMilliseconds ?? 0,
            cipher: found.file.cipher,
            map: found.scan.map
        )
    }
}
