/// The journal's thread: takes what was appended while the last sync ran, commits it as one group, says so.
final class CommitLoop: Sendable {
    /// What callers and the thread share.
    struct Mailbox: Sendable {
        var batches: [Batch] = []
        var pendingBytes = 0
        /// The last sequence that was accepted from the caller.
        var acceptedThrough: UInt64
        /// Room may have come: try a stalled commit again at once.
        var isRetryWanted = false
        var isClosing = false
        var failure: JournalError?
        /// Whether the end of the journal without room was told and not yet taken back.
        var isStalled = false
        /// What the writer knew of its room when it last looked.
        var room = Journal.Room.ample
    }

    private enum Work {
        case batches([Batch])
        case retry
        case close([Batch])
        case fail(JournalError)
    }

    let mailbox: Monitor<Mailbox>
    private let configuration: Journal.Configuration
    private let onCommit: @Sendable (CommitNotice) -> Void

    init(
        configuration: Journal.Configuration,
        lastSequence: UInt64,
        onCommit: @escaping @Sendable (CommitNotice) -> Void
    ) {
        self.configuration = configuration
        self.onCommit = onCommit
        mailbox = Monitor(Mailbox(acceptedThrough: lastSequence))
    }

    /// What one round of the loop leaves to the next.
    struct Progress: Sendable {
        var isStalled = false
        var unsyncedSince: UInt64?
        /// When room is looked for again.
        var retryAt: UInt64?
        var told = Journal.Room.ample
    }

    /// Runs until the journal is closed or has failed.
    func run(_ writer: SegmentWriter) {
        var progress = Progress()
        var goesOn = true
        while goesOn {
            prepare(writer, &progress)
            let deadline = deadline(progress)
            let work = mailbox.wait(until: deadline) { next(&$0) }
            goesOn = perform(work, writer, &progress)
        }
    }

    /// Does what there is to do now, without waiting: the loop's body for an owner that has no thread for it. What
    /// would wait for a time is done at once. Returns false once the journal is closed or has failed.
    func step(_ writer: SegmentWriter, _ progress: inout Progress) -> Bool {
        prepare(writer, &progress)
        if progress.retryAt != nil { progress.retryAt = 0 }
        let goesOn = perform(mailbox.withLock { next(&$0) }, writer, &progress)
        if goesOn { prepare(writer, &progress) }
        return goesOn
    }

    /// Tells of room that has become short or come again, and plans to look for some.
    private func prepare(_ writer: SegmentWriter, _ progress: inout Progress) {
        tell(writer, isStalled: progress.isStalled, &progress.told)
        if !progress.isStalled, writer.shortage == nil {
            progress.retryAt = nil
        } else if progress.retryAt == nil {
            progress.retryAt = SystemClock.monotonicNanoseconds() + nanoseconds(configuration.stallRetryMilliseconds)
        }
    }

    /// One round; nil is a time-out. Returns whether another follows.
    private func perform(_ work: Work?, _ writer: SegmentWriter, _ progress: inout Progress) -> Bool {
        do throws(JournalError) {
            switch work {
            case .fail(let error):
                throw error
            case .batches(let batches):
                progress.isStalled = try commit(batches, writer, isStalled: progress.isStalled)
            case .retry: progress.retryAt = 0
            case nil: break
            case .close(let batches):
                _ = try commit(batches, writer, isStalled: progress.isStalled)
                try writer.finish()
                mailbox.withLock { $0.failure = JournalError(.closed, "The journal was closed.") }
                return false
            }
            if let instant = progress.retryAt, SystemClock.monotonicNanoseconds() >= instant {
                progress.retryAt = nil
                if progress.isStalled { progress.isStalled = try commit([], writer, isStalled: true) }
                if !progress.isStalled, writer.shortage != nil { writer.shortage = try writer.fillReserve() }
            }
            progress.unsyncedSince = try syncIfDue(writer, progress.unsyncedSince)
            if mailbox.withLock({ $0.batches.isEmpty }) { try writer.mark() }
            return true
        } catch {
            fail(error)
            return false
        }
    }

    /// Says when room has become short, and when there is some again.
    private func tell(_ writer: SegmentWriter, isStalled: Bool, _ told: inout Journal.Room) {
        let room = isStalled ? .none : writer.room
        guard room != told else { return }
        mailbox.withLock { $0.room = room }
        // A stall that no reserve came before was told as such.
        if told == .ample, let shortage = writer.shortage { onCommit(.short(shortage)) }
        if room == .ample { onCommit(.relieved) }
        told = room
    }

    private func next(_ mailbox: inout Mailbox) -> Work? {
        if let failure = mailbox.failure { return .fail(failure) }
        let batches = mailbox.batches
        mailbox.batches = []
        if mailbox.isClosing { return .close(batches) }
        if !batches.isEmpty { return .batches(batches) }
        guard mailbox.isRetryWanted else { return nil }
        mailbox.isRetryWanted = false
        return .retry
    }

    private func commit(_ batches: [Batch], _ writer: SegmentWriter, isStalled: Bool) throws(JournalError) -> Bool {
        let before = writer.lastSequence
        let (outcome, released) = writer.commit(batches)
        let through = writer.lastSequence
        if case .failed(let error) = outcome { throw error }
        mailbox.withLock { mailbox in
            mailbox.pendingBytes -= released
            if case .stalled = outcome { mailbox.isStalled = true } else { mailbox.isStalled = false }
        }
        if through > before { onCommit(.committed(through: through)) }
        guard case .stalled(let error) = outcome else { return false }
        if !isStalled || through > before { onCommit(.stalled(error)) }
        return true
    }

    /// Syncs in the background where the policy acknowledges before the sync. Returns since when something waits for
    /// it.
    private func syncIfDue(_ writer: SegmentWriter, _ since: UInt64?) throws(JournalError) -> UInt64? {
        guard case .interval(let milliseconds) = configuration.sync, writer.hasUnsynced else { return nil }
        let now = SystemClock.monotonicNanoseconds()
        guard let since else { return now }
        guard now >= since + nanoseconds(milliseconds) else { return since }
        try writer.sync()
        return nil
    }

    private func deadline(_ progress: Progress) -> UInt64? {
        guard let unsyncedSince = progress.unsyncedSince, case .interval(let milliseconds) = configuration.sync else {
            return progress.retryAt
        }
        return min(unsyncedSince + nanoseconds(milliseconds), progress.retryAt ?? .max)
    }

    private func nanoseconds(_ milliseconds: Int) -> UInt64 { UInt64(max(1, milliseconds)) * 1_000_000 }

    private func fail(_ error: JournalError) {
        mailbox.withLock { mailbox in
            mailbox.failure = error
            mailbox.batches = []
            mailbox.pendingBytes = 0
        }
        onCommit(.failed(error))
    }
}
