internal import MosquittoClient

extension Uplink {
    /// The aggregator's watermark came down.
    mutating func committed(_ commit: BridgeCommit, epoch: UInt64, now: UInt64) -> [Action] {
        guard configuration.confirm == .commit else { return [] }
        guard commit.epoch == epoch else {
            // After a renewal the aggregator speaks of the old epoch until it has seen the new one.
            return [.report(.info, "A commit watermark of another epoch was ignored.", ["epoch": "\(commit.epoch)"])]
        }
        if let takeover {
            self.takeover = nil
            // An aggregator that speaks of another epoch before this one knows nothing of what was taken over.
            let isKnown = commit.former?.epoch == takeover.epoch
            let stored = isKnown ? min(commit.former?.sequence ?? 0, takeover.last) : 0
            let through = max(confirmed, stored)
            confirm(through, now: now)
            let text = "This box stands for another one from now on."
            let report = Action.report(.info, text, ["stored_before": "\(through)"])
            // What the epoch before has stored is told as a gap in this one, from its first number on.
            confirmed = commit.sequence
            rewind()
            aggregator = commit.aggregator
            return [.endTakeover(storedThrough: through), report]
        }
        guard commit.sequence <= available else {
            let metadata = ["watermark": "\(commit.sequence)", "available": "\(available)"]
            let text = "The cloud has committed sequences that this outbox does not have; a new epoch begins."
            return [.report(.error, text, metadata), .renewEpoch]
        }
        var actions: [Action] = []
        let isNew = aggregator != commit.aggregator
        if commit.sequence < confirmed, isNew {
            // Its store was lost or restored from an older copy. What the outbox still has goes again; for the rest a
            // gap is sent, or the watermark would stand still for ever.
            let metadata = ["watermark": "\(commit.sequence)", "confirmed": "\(confirmed)"]
            let text = "The cloud has less than it had confirmed; what is left goes again, the rest is told as a gap."
            actions.append(.report(.error, text, metadata))
            highestSent = max(highestSent, confirmed)
            confirmed = commit.sequence
        } else if commit.sequence < confirmed {
            let metadata = ["watermark": "\(commit.sequence)", "confirmed": "\(confirmed)"]
            actions.append(.report(.warning, "A commit watermark below a known one was ignored.", metadata))
        } else if commit.sequence > confirmed {
            confirm(commit.sequence, now: now)
            actions.append(.confirm(through: confirmed))
        }
        // The first one that this process hears of counts as new if something was sent before it was heard.
        if isNew, aggregator != nil || highestSent > confirmed { goBack() }
        aggregator = commit.aggregator
        return actions
    }

    /// The outbox's epoch was renewed: everything that is left goes again, under new numbers of the epoch.
    mutating func epochRenewed() {
        takeover = nil
        confirmed = 0
        highestSent = 0
        aggregator = nil
        goBack()
    }

    private mutating func confirm(_ sequence: UInt64, now: UInt64) {
        confirmed = sequence
        acknowledged = max(acknowledged, sequence)
        next = max(next, sequence + 1)
        highestSent = max(highestSent, sequence)
        resendAttempts = 0
        backoff.reset()
        if let suspect, suspect.sequence <= sequence { self.suspect = nil }
        unconfirmedSince = acknowledged > confirmed ? now : nil
    }

    /// Sends again from the watermark, once everything under way is acknowledged: so the order on the wire stays that
    /// of the sequences.
    private mutating func goBack() {
        guard phase == .running else { return }
        isRewinding = true
        if flights.isEmpty { rewind() }
    }

    // MARK: - Time

    /// Something may be due.
    mutating func tick(now: UInt64) -> [Action] {
        switch phase {
        case .disabled, .paused: return []
        case .waiting(let until):
            guard now >= until else { return [] }
            phase = .connecting(deadline: now &+ configuration.connectTimeout)
            return [.connect]
        case .connecting(let deadline):
            guard now >= deadline else { return [] }
            return [.abandon] + retreat("connect_timeout", nil, afterRefusal: false, now: now)
        case .subscribing(let deadline):
            guard now >= deadline else { return [] }
            return [.abandon] + retreat("stalled", .stalled, afterRefusal: false, now: now)
        case .running:
            if let deadline = ackDeadline, now >= deadline {
                let report = Action.report(.warning, "No acknowledgement came in time: the connection is stalled.", [:])
                return [report, .abandon] + retreat("stalled", .stalled, afterRefusal: false, now: now)
            }
            if let deadline = resendDeadline, now >= deadline {
                resendAttempts += 1
                goBack()
                // Measured from now, also if something is still under way.
                unconfirmedSince = isRewinding ? now : nil
                let metadata = ["from": "\(confirmed + 1)"]
                return [.report(.info, "The commit watermark stands still: sending again from it.", metadata)]
            }
            return []
        }
    }

    /// When the next tick could do something; nil if only an event can.
    var deadline: UInt64? {
        switch phase {
        case .disabled, .paused: nil
        case .waiting(let until): until
        case .connecting(let deadline), .subscribing(let deadline): deadline
        case .running: [ackDeadline, resendDeadline].compactMap { $0 }.min()
        }
    }

    /// Progress is what counts: the clock starts when the oldest was sent, and again with every acknowledgement.
    private var ackDeadline: UInt64? {
        guard let oldest = flights.first(where: { !$0.isAcknowledged }) else { return nil }
        return max(oldest.sentAt, lastAckAt ?? 0) &+ configuration.ackTimeout
    }

    private var resendDeadline: UInt64? {
        guard configuration.confirm == .commit, !isRewinding, let since = unconfirmedSince else { return nil }
        let doubled = configuration.resendAfter << UInt64(min(resendAttempts, 20))
        return since &+ min(max(doubled, configuration.resendAfter), configuration.resendAfterMax)
    }
}
