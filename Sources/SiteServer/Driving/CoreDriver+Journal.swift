internal import Broker
internal import Journal
internal import Logging
internal import NIOCore
internal import NIOPosix

// The journal's side of a turn: records go out, commits come back, queued messages are read again.
extension CoreDriver {
    /// Hands the turn's records to the journal. Without one, or after its failure, nothing is kept; without one,
    /// memory is all there is, so the records count as committed at once.
    func append(_ effects: inout Effects, now: BrokerTime) {
        var append = JournalAppend()
        swap(&append, &effects.journal)
        let last = append.firstSequence &+ UInt64(append.ends.count) &- 1
        guard let journal else {
            core.committed(through: last, now: now, effects: &effects)
            return
        }
        guard !journalHasFailed else { return }
        appendedThrough = last
        let byteCount = append.bytes.count
        journal.append(firstSequence: append.firstSequence, bytes: append.bytes, ends: append.ends)
        if !isJournalBehind && journal.pendingBytes > limits.journalPendingBytesMax { isJournalBehind = true }
        if checkpoints.appended(bytes: byteCount) { takeSnapshot() }
    }

    /// The look that a commit notice scheduled.
    func lookAtNotices() {
        let news = notices.take()
        turn { core, now, effects in
            core.committed(through: news.committedThrough, now: now, effects: &effects)
        }
        if let ready = checkpoints.committed(through: news.committedThrough) { write(ready) }
        if let failure = news.failure { journalFailed(failure) }
        if let stall = news.stall {
            logger.error("The journal has no room: only alarms are taken", metadata: ["cw_error": "\(stall)"])
        }
        lookAtRoom()
        if isJournalBehind, let journal, journal.pendingBytes <= limits.journalPendingBytesMax / 2 { resumeReading() }
    }

    private func journalFailed(_ failure: JournalError) {
        guard !journalHasFailed else { return }
        journalHasFailed = true
        logger.error("The journal has failed; nothing more is acknowledged", metadata: ["cw_error": "\(failure)"])
        turn { core, now, effects in core.journalFailed(now: now, effects: &effects) }
        resumeReading()
    }

    /// Tells the core how much room the journal has. Looked at after each notice, and every tick.
    func lookAtRoom() {
        guard let journal, !journalHasFailed else { return }
        let room: JournalRoom =
            switch journal.room {
            case .ample: .ample
            case .reserve: .reserve
            case .none: .none
            }
        guard room != journalRoom else { return }
        let was = journalRoom
        journalRoom = room
        turn { core, now, effects in core.roomChanged(to: room, now: now, effects: &effects) }
        if room == .ample { logger.notice("The journal has room again") } else if was == .ample { makeRoom() }
    }

    /// While there is no room, looks now and then whether receivers have let go of enough that a checkpoint would free
    /// a segment.
    func seekRoom() {
        guard let journal, !journalHasFailed, journalRoom != .ample else { return }
        guard checkpoints.isIdle, journal.couldRetire(before: core.oldestNeededRecord) else { return }
        takeSnapshot()
        if let ready = checkpoints.committed(through: journal.committedSequence) { write(ready) }
    }

    /// The disk is full, or the journal has reached its size. What every reader has passed goes, also what would have
    /// been kept for replay.
    private func makeRoom() {
        // Before there is a checkpoint, the records are all there is. A first sequence beyond 1 tells of an earlier
        // one.
        guard let journal, checkpoints.isAnyWritten || journal.firstSequence > 1 else { return }
        // Not what the core needs now: the acknowledgements that made it so may wait for room themselves.
        let oldestNeeded = checkpoints.retirableBefore
        let externalOldestNeeded = checkpoints.externalOldestNeeded
        blockingPool.submit { state in
            guard case .active = state else { return }
            journal.retire(before: min(oldestNeeded, externalOldestNeeded()), keeping: .zero)
        }
    }

    /// Reads again from those that waited for the journal.
    private func resumeReading() {
        guard isJournalBehind else { return }
        isJournalBehind = false
        // What lies in their sockets is read before anybody's silence is judged.
        judgesSilenceAfter = BrokerTime.now().monotonicNanoseconds &+ 1_000_000_000
        let paused = pausedForJournal
        pausedForJournal.removeAll(keepingCapacity: true)
        for id in paused { table.connection(id)?.resumeReading(.journal) }
    }

    // MARK: - Queued messages

    /// Reads a session's queued messages from the journal, off the loop. Records that are gone are simply missing.
    func load(session: UInt32, records: [UInt64]) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        guard let journal else {
            loop.execute { bound.value.loaded(session: session, messages: []) }
            return
        }
        let logger = logger
        blockingPool.submit { state in
            guard case .active = state else { return }
            var messages: [JournaledMessage] = []
            do {
                try journal.read(sequences: records) { sequence, payload in
                    let record = ByteBuffer(bytes: payload)
                    do {
                        messages += try JournalRecord.messages(of: record, sequence: sequence)
                    } catch {
                        logger.error("A journal record cannot be understood", metadata: ["cw_error": "\(error)"])
                    }
                    return true
                }
            } catch {
                logger.error("Queued messages cannot be read", metadata: ["cw_error": "\(error)"])
            }
            let found = messages
            loop.execute { bound.value.loaded(session: session, messages: found) }
        }
    }

    private func loaded(session: UInt32, messages: [JournaledMessage]) {
        turn { core, now, effects in
            core.loaded(session: session, messages: messages, now: now, effects: &effects)
        }
    }

    // MARK: - Checkpoints

    private func takeSnapshot() {
        checkpoints.took(
            CheckpointSchedule.Waiting(
                snapshot: core.snapshot(),
                through: appendedThrough,
                oldestNeeded: core.oldestNeededRecord
            )
        )
    }

    /// Encodes and writes a checkpoint off the loop, then lets the journal drop what nobody needs any more.
    private func write(_ ready: CheckpointSchedule.Waiting) {
        guard let journal else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        let logger = logger
        let externalOldestNeeded = checkpoints.externalOldestNeeded
        let keep = journalKeep
        blockingPool.submit { state in
            guard case .active = state else { return }
            let written = Self.write(ready, to: journal, keeping: keep, externalOldestNeeded, logger)
            loop.execute { bound.value.checkpointFinished(written ? ready : nil) }
        }
    }

    private func checkpointFinished(_ written: CheckpointSchedule.Waiting?) {
        checkpoints.finished(written)
        if written != nil { counters.checkpoints.add() }
    }

    /// Writes a checkpoint. Blocks: never on the loop.
    private static func write(
        _ ready: CheckpointSchedule.Waiting,
        to journal: Journal,
        keeping keep: Duration,
        _ externalOldestNeeded: @Sendable () -> UInt64,
        _ logger: Logger
    ) -> Bool {
        do {
            try journal.writeCheckpoint(through: ready.through, bytes: ready.snapshot.encode())
            journal.retire(before: min(ready.retirableBefore, externalOldestNeeded()), keeping: keep)
            return true
        } catch {
            // The last checkpoint stays good; recovery only reads more.
            logger.error("A checkpoint cannot be written", metadata: ["cw_error": "\(error)"])
            return false
        }
    }

    /// Writes the last checkpoint. The promise succeeds when it is on the disk, or cannot be.
    func writeLastCheckpoint(_ done: EventLoopPromise<Void>) {
        guard let journal, !journalHasFailed, appendedThrough > 0, journal.committedSequence >= appendedThrough else {
            done.succeed()
            return
        }
        let last = CheckpointSchedule.Waiting(
            snapshot: core.snapshot(),
            through: appendedThrough,
            oldestNeeded: core.oldestNeededRecord
        )
        let logger = logger
        let externalOldestNeeded = checkpoints.externalOldestNeeded
        let keep = journalKeep
        blockingPool.submit { state in
            if case .active = state { _ = Self.write(last, to: journal, keeping: keep, externalOldestNeeded, logger) }
            done.succeed()
        }
    }
}
