import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension Journal {
    /// Stores the owner's state as of a committed record and keeps the one before it. Blocks for two syncs: not for an
    /// event loop. The file is written beside the others, synced and renamed, so that a crash leaves the old ones.
    public func writeCheckpoint(through sequence: UInt64, bytes: [UInt8]) throws(JournalError) {
        guard sequence <= committedSequence else {
            throw JournalError(.misuse, "A checkpoint through \(sequence) is ahead of what is committed.")
        }
        var header = FileHeader(identity: identity)
        header.sequence = sequence
        header.createdMilliseconds = configuration.wallMilliseconds()
        let key = configuration.keys?.primary
        if let key { header.encrypt(under: key) }
        let stored = key.map { CheckpointCipher.seal(bytes, header, $0) } ?? bytes
        header.bytes = UInt64(stored.count)
        header.contentChecksum = Checksum.plain(stored)
        let content = header.encode(.checkpoint, sealedWith: key) + stored
        let failure = housekeeping.withLock { _ -> DiskError? in
            do throws(DiskError) {
                try AtomicFile.write(content, named: FileName.checkpoint(sequence), configuration, disk)
            } catch {
                return error
            }
            let obsolete = catalogue.withLock { state -> [UInt64] in
                let all = Set(state.checkpoints + [sequence]).sorted(by: >)
                state.checkpoints = Array(all.prefix(Journal.checkpointsKept))
                state.checkpointBytes[sequence] = content.count
                for old in all.dropFirst(Journal.checkpointsKept) { state.checkpointBytes[old] = nil }
                return Array(all.dropFirst(Journal.checkpointsKept))
            }
            // One that stays behind is removed when the journal is opened next.
            for old in obsolete { try? disk.remove(configuration.path(FileName.checkpoint(old))) }
            return nil
        }
        if let failure { throw JournalError(failure, as: .writeFailed) }
    }

    /// How many checkpoints there are at a time: if the newest is damaged, the one before it and the records since
    /// serve.
    static let checkpointsKept = 2

    /// Lets segments go whose records are all below `sequence`, but none that the older of the two checkpoints still
    /// needs (with a single checkpoint: none at all). While the journal has no room, what the newest checkpoint covers
    /// may go too: better no second line than no room for the first. The last segment always stays.
    ///
    /// With `keeping`, segments that were written to within that time stay too, for replay and inquiry, unless the
    /// journal is short of room (less than two segments below ``Configuration/maxBytes``). Blocks for a sync of the
    /// directory if there is something to remove: not for an event loop. What cannot be removed now is tried next time;
    /// so is everything while somebody makes a ``JournalCopy``, unless the journal is short of room.
    public func retire(before sequence: UInt64, keeping: Duration = .zero) {
        let isChanged = housekeeping.withLock { _ in
            let (hold, isCopied) = takeHold()
            defer { withExtendedLifetime(hold) {} }
            if isCopied, room == .ample { return false }
            // Oldest first, each out of the array before it is asked whether anyone else still has it.
            var retired = Array(takeRetired(before: sequence, keeping: keeping).reversed())
            guard !retired.isEmpty else { return false }
            guard dropBrokenCheckpoint() else { return false }
            var spares: [Catalogue.Spare] = []
            while var segment = retired.popLast() {
                if let spare = remove(&segment, spares.count, isCopied) { spares.append(spare) }
            }
            // Only once the new name is durable may the file be written again.
            guard (try? disk.syncDirectory(configuration.directory)) != nil else { return true }
            catalogue.withLock { $0.spares += spares }
            return true
        }
        if isChanged { wakeStalled() }
    }

    /// Removes the older checkpoint if records after it were retired: it can be recovered from no more, and at the next
    /// start they would count as lost. False if it cannot be removed, so that no record may go.
    private func dropBrokenCheckpoint() -> Bool {
        let broken = catalogue.withLock { state -> UInt64? in
            guard state.checkpoints.count > 1, let oldest = state.checkpoints.last,
                let first = state.segments.first?.firstSequence, oldest + 1 < first
            else { return nil }
            return oldest
        }
        guard let broken else { return true }
        do throws(DiskError) {
            try disk.remove(configuration.path(FileName.checkpoint(broken)))
            // Before the records go.
            try disk.syncDirectory(configuration.directory)
        } catch {
            return false
        }
        catalogue.withLock { state in
            state.checkpoints.removeLast()
            state.checkpointBytes[broken] = nil
        }
        return true
    }

    /// Keeps copies from being begun for as long as the lock is held, or says that one is being made.
    private func takeHold() -> (lock: (any DiskLock)?, isCopied: Bool) {
        do throws(DiskError) {
            return (try disk.lock(configuration.path(FileName.hold)), false)
        } catch {
            // A full disk that has no room for the lock's file is no reason to keep segments.
            return (nil, error.code == EWOULDBLOCK)
        }
    }

    /// Whether a checkpoint of now and ``retire(before:keeping:)`` would let a segment go.
    public func couldRetire(before sequence: UInt64) -> Bool {
        catalogue.withLock { state in
            guard state.segments.count > 1 else { return false }
            return state.segments[1].firstSequence <= min(sequence, state.committedSequence &+ 1)
        }
    }

    private func takeRetired(before sequence: UInt64, keeping: Duration) -> [Segment] {
        // Beyond this it is for ever; below, nothing overflows.
        let (seconds, attoseconds) = min(keeping, .seconds(1_000_000_000)).components
        let keepMilliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        let oldestKept = configuration.wallMilliseconds() - keepMilliseconds
        var bytes = catalogue.bytesOnDisk
        let hasNoRoom = room != .ample
        let comfortable = configuration.maxBytes - 2 * configuration.segmentBytes
        return catalogue.withLock { state in
            var limit = sequence
            if let newest = state.checkpoints.first, let oldest = state.checkpoints.last {
                let isPair = state.checkpoints.count == Journal.checkpointsKept
                limit = min(limit, hasNoRoom ? newest + 1 : isPair ? oldest + 1 : 0)
            }
            var count = 0
            while count + 1 < state.segments.count {
                let following = state.segments[count + 1]
                guard following.firstSequence <= limit else { break }
                // A segment was last written to when the one after it was begun.
                let isKept = keepMilliseconds > 0 && following.createdMilliseconds > oldestKept
                if isKept, bytes <= comfortable { break }
                bytes -= state.segments[count].byteCount
                count += 1
            }
            let retired = Array(state.segments.prefix(count))
            state.segments.removeFirst(count)
            return retired
        }
    }

    /// Removes the file, or renames it to be used again if nobody reads in it any more.
    private func remove(_ segment: inout Segment, _ madeSpares: Int, _ isCopied: Bool) -> Catalogue.Spare? {
        let path = configuration.path(segment.name)
        let spares = catalogue.withLock { $0.spares.count } + madeSpares
        let isWanted = spares < configuration.sparesKept && segment.byteCount == configuration.segmentBytes
        if isWanted, !isCopied, isKnownUniquelyReferenced(&segment) {
            let name = FileName.spare(segment.firstSequence)
            if (try? disk.rename(path, to: configuration.path(name))) != nil {
                return Catalogue.Spare(name: name, byteCount: segment.byteCount)
            }
        }
        try? disk.remove(path)
        return nil
    }
}
