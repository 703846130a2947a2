internal import Broker
internal import Journal
internal import NIOCore

// The end: first what is owed, then goodbye, then the rest is cut.
extension CoreDriver {
    /// Starts the shutdown. `gone` succeeds when no connection is left, at the latest when the grace period is over.
    func beginShutdown(grace: TimeAmount, gone: EventLoopPromise<Void>) {
        isShuttingDown = true
        allGone = gone
        let deadline = NIODeadline.now() + grace
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(deadline: deadline) { bound.value.cutAll() }
        sayGoodbye(waitingUntil: deadline)
    }

    /// Waits until the journal has what was handed to it, so that held acknowledgements still go out.
    private func sayGoodbye(waitingUntil deadline: NIODeadline) {
        if let journal, !journalHasFailed, journal.committedSequence < appendedThrough, NIODeadline.now() < deadline {
            let bound = NIOLoopBound(self, eventLoop: loop)
            loop.scheduleTask(in: .milliseconds(5)) { bound.value.sayGoodbye(waitingUntil: deadline) }
            return
        }
        lookAtNotices()
        turn { core, now, effects in core.shutDown(now: now, effects: &effects) }
        for connection in table.all where connection.phase == .opening { connection.cut() }
        if table.count == 0 { fulfilAllGone() }
    }

    private func cutAll() {
        for connection in table.all { connection.cut() }
        fulfilAllGone()
    }

    /// Says that no connection is left, once.
    func fulfilAllGone() {
        allGone?.succeed()
        allGone = nil
    }
}
