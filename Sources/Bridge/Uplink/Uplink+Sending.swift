internal import MosquittoClient

extension Uplink {
    /// What to do about sending.
    enum Next: Sendable, Hashable {
        /// Read this sequence and publish it; `isReplay` if it may have been sent before.
        case send(UInt64, isReplay: Bool)
        /// Publish a claim: see ``BridgeStamp/claimClass``.
        case claim
        /// Nothing before this time.
        case later(UInt64)
        /// Nothing until something happens.
        case idle
    }

    /// More is in the outbox.
    mutating func available(through sequence: UInt64) {
        available = max(available, sequence)
    }

    /// What to send now.
    mutating func nextToSend(now: UInt64) -> Next {
        if phase == .running, let takeover {
            guard let claimed = takeover.claimedAt else { return .claim }
            let due = claimed &+ configuration.resendAfter
            return now >= due ? .claim : .later(due)
        }
        guard phase == .running, !isRewinding, next <= available, flights.count < window else { return .idle }
        if configuration.confirm == .commit, next > confirmed &+ configuration.unconfirmedMax { return .idle }
        if let rate = configuration.drainPerSecond, next <= catchUpTarget,
            let later = tokens.take(perSecond: rate, now: now)
        {
            return .later(later)
        }
        return .send(next, isReplay: next <= highestSent)
    }

    /// The driver has found that the outbox has nothing before this sequence: what it sends now (a gap or the record)
    /// carries `sequence`.
    mutating func skip(to sequence: UInt64) {
        next = max(next, sequence)
    }

    /// A claim was handed to the connection. Its PUBACK means nothing; the watermark answers it.
    mutating func claimed(now: UInt64) {
        takeover?.claimedAt = now
        takeover?.claims += 1
    }

    /// `next` was handed to the connection.
    mutating func sent(_ token: MosquittoToken, now: UInt64) {
        if next <= highestSent { resentTotal += 1 }
        flights.append(Flight(sequence: next, token: token, sentAt: now))
        highestSent = max(highestSent, next)
        next += 1
    }

    /// `next` cannot be sent: the library or the server's limits refuse it.
    mutating func unsendable(reason: String) -> [Action] {
        [.setAside(next, reason: reason)]
    }

    /// `next` needs no sending: with `confirm: puback`, what has expired.
    mutating func passOver(now: UInt64) -> [Action] {
        flights.append(Flight(sequence: next, token: -1, sentAt: now, isAcknowledged: true))
        next += 1
        return settle(now)
    }

    /// PUBACK came. Codes of 0x80 and above are refusals.
    mutating func published(_ token: MosquittoToken, reasonCode: UInt8, now: UInt64) -> [Action] {
        guard let index = flights.firstIndex(where: { $0.token == token && !$0.isAcknowledged }) else { return [] }
        let sequence = flights[index].sequence
        lastAckAt = now
        if let suspect, suspect.sequence == sequence { self.suspect = nil }
        switch reasonCode {
        case 0..<0x80:
            acknowledgedTotal += 1
            backoff.reset()
            flights[index].isAcknowledged = true
            return settle(now)
        case 0x80, 0x83, 0x88, 0x89, 0x97:
            // The server's own trouble or a quota: the message is good, and its turn comes again.
            let metadata = ["reason": "0x" + String(reasonCode, radix: 16)]
            let report = Action.report(.warning, "The server refuses messages for now.", metadata)
            return [report, .abandon] + retreat("server_busy", .stalled, afterRefusal: false, now: now)
        default:
            flights[index].isAcknowledged = true
            // In its place a gap is sent: from this sequence on, once what is under way is settled.
            isRewinding = configuration.confirm == .commit
            let reason = reasonCode == 0x95 ? "oversize" : "refused"
            return [.setAside(sequence, reason: reason)] + settle(now)
        }
    }

    /// Moves the acknowledged prefix on.
    private mutating func settle(_ now: UInt64) -> [Action] {
        while let first = flights.first, first.isAcknowledged {
            acknowledged = max(acknowledged, first.sequence)
            flights.removeFirst()
        }
        if configuration.confirm == .puback {
            guard acknowledged > confirmed else { return [] }
            confirmed = acknowledged
            return [.confirm(through: confirmed)]
        }
        if acknowledged > confirmed, unconfirmedSince == nil { unconfirmedSince = now }
        if isRewinding, flights.isEmpty { rewind() }
        return []
    }

    /// Begins again behind the watermark.
    mutating func rewind() {
        isRewinding = false
        next = confirmed + 1
        acknowledged = confirmed
        unconfirmedSince = nil
    }
}
