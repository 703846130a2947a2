import DequeModule
import MQTT
import NIOCore

// Records that go to the journal, and effects that wait until they are there.

/// An effect that waits for a commit.
struct Held {
    let sequence: UInt64
    let effect: HeldEffect
}

/// What may wait for a commit. It is done for whoever is there then; who went meanwhile gets it by redelivery.
enum HeldEffect {
    /// PUBACK or PUBREC to a publisher.
    case publishAnswer(ConnectionID, qos: QoS, packetID: UInt16, reason: ReasonCode)
    /// PUBLISH of an exchange that has a packet identifier already.
    case sendInflight(ConnectionID, packetID: UInt16)
    /// PUBLISH with QoS 0.
    case push(Message, Session, retain: Bool, [UInt32])
    /// PUBREL to a receiver.
    case release(ConnectionID, packetID: UInt16)
    /// PUBCOMP to a publisher.
    case complete(ConnectionID, packetID: UInt16)
    indirect case suback(HeldSuback)
    case unsuback(ConnectionID, Unsuback)
}

extension BrokerCore {
    // MARK: - Writing records

    /// Begins a record of its own and gives its sequence number.
    func beginRecord(_ effects: inout Effects) -> UInt64 {
        let sequence = nextSequence
        nextSequence &+= 1
        if effects.journal.ends.isEmpty { effects.journal.firstSequence = sequence }
        return sequence
    }

    /// Ends the record that ``beginRecord(_:)`` began.
    func endRecord(_ effects: inout Effects) {
        effects.journal.ends.append(effects.journal.writer.bytes.count)
    }

    /// Adds an entry to the turn's record of session changes; gives the record's sequence number.
    ///
    /// While the journal is not available nothing is written: what is not promised anew needs no record.
    @discardableResult
    func note(_ entry: JournalEntry, _ effects: inout Effects) -> UInt64 {
        guard journalAvailable else { return committedSequence }
        openBookkeeping(&effects)
        JournalRecord.write(entry, to: &effects.journal.writer)
        return nextSequence &- 1
    }

    /// Adds entries that hold together or not at all.
    func note(together entries: [JournalEntry], _ effects: inout Effects) {
        guard journalAvailable else { return }
        openBookkeeping(&effects)
        for entry in entries { JournalRecord.write(entry, to: &effects.journal.writer) }
    }

    /// Where the next entry of a retained message's copy will stand: in the turn's record, marked as a copy.
    func nextCopyReference(_ effects: inout Effects) -> MessageReference {
        if copiesInRecord >= MessageReference.copiesPerRecord { closeBookkeeping(&effects) }
        openBookkeeping(&effects)
        defer { copiesInRecord &+= 1 }
        return MessageReference(record: nextSequence &- 1, index: MessageReference.firstCopyIndex &+ copiesInRecord)
    }

    /// Begins the turn's record of session changes if it is not open, or is too long.
    private func openBookkeeping(_ effects: inout Effects) {
        if bookkeepingIsOpen {
            let start = effects.journal.ends.last ?? 0
            let length = effects.journal.writer.bytes.count &- start
            if length > configuration.bookkeepingRecordBytesMax { closeBookkeeping(&effects) }
        }
        // What is closed may have opened the next one for what came up meanwhile.
        if !bookkeepingIsOpen {
            bookkeepingIsOpen = true
            copiesInRecord = 0
            _ = beginRecord(&effects)
        }
    }

    /// Adds an entry that comes up while a message's record is being written: it goes to the record after it.
    func noteAfterRecord(_ entry: JournalEntry) {
        if journalAvailable { laterNotes.append(entry) }
    }

    func closeBookkeeping(_ effects: inout Effects) {
        if !laterNotes.isEmpty {
            let entries = laterNotes
            laterNotes = []
            for entry in entries { note(entry, &effects) }
        }
        guard bookkeepingIsOpen else { return }
        bookkeepingIsOpen = false
        endRecord(&effects)
    }

    // MARK: - Waiting for the disk

    func hold(until sequence: UInt64, _ effect: HeldEffect) {
        // No commit will come any more.
        guard journalAvailable else { return }
        held.append(Held(sequence: max(sequence, held.last?.sequence ?? 0), effect: effect))
    }

    /// Does at once what waits for nothing; holds it while the last record is on its way to the disk.
    func afterLastRecord(_ effect: HeldEffect, now: BrokerTime, effects: inout Effects) {
        if nextSequence &- 1 <= committedSequence {
            perform(effect, now: now, effects: &effects)
        } else {
            hold(until: nextSequence &- 1, effect)
        }
    }

    /// All records up to `sequence` are on disk: what waited for them may go.
    public func committed(through sequence: UInt64, now: BrokerTime, effects: inout Effects) {
        guard sequence > committedSequence else { return }
        committedSequence = sequence
        releaseHeld(now: now, effects: &effects)
        guard !sessionsAwaitingCommit.isEmpty else { return }
        let waiting = sessionsAwaitingCommit
        sessionsAwaitingCommit = []
        for session in waiting {
            session.isAwaitingCommit = false
            drain(session, now: now, effects: &effects)
        }
    }

    private func releaseHeld(now: BrokerTime, effects: inout Effects) {
        while let first = held.first, first.sequence <= committedSequence {
            held.removeFirst()
            perform(first.effect, now: now, effects: &effects)
        }
    }

    func perform(_ effect: HeldEffect, now: BrokerTime, effects: inout Effects) {
        switch effect {
        case .publishAnswer(let id, let qos, let packetID, let reason):
            guard let connection = connection(id), connection.state == .connected else { return }
            if qos == .atLeastOnce && connection.inboundInflight > 0 { connection.inboundInflight -= 1 }
            let kind: AcknowledgementKind = qos == .atLeastOnce ? .puback : .pubrec
            effects.list.append(.acknowledge(id, kind, packetID: packetID, reason: reason))
        case .sendInflight(let id, let packetID):
            guard let connection = connection(id), connection.state == .connected, let session = connection.session,
                let entry = session.inflight[packetID], entry.state == .awaitingCommit, let message = entry.message
            else { return }
            // Whatever does not go out makes room for what waits.
            defer { if session.inflight[packetID] == nil { drain(session, now: now, effects: &effects) } }
            guard mayReceiveQueued(session, message.topic) else {
                forgetExchange(packetID, of: session, isJournaled: entry.reference != nil)
                return
            }
            session.inflight.update(packetID, state: .sent)
            send(
                message,
                on: connection,
                packetID: packetID,
                qos: entry.qos,
                retain: entry.retain,
                duplicate: false,
                entry.subscriptionIDs,
                now: now,
                effects: &effects
            )
        case .push(let message, let session, let retain, let identifiers):
            push(message, to: session, retain: retain, identifiers, now: now, effects: &effects)
        case .release(let id, let packetID):
            guard let connection = connection(id), connection.state == .connected, let session = connection.session,
                let entry = session.inflight[packetID], entry.state == .received
            else { return }
            session.inflight.update(packetID, state: .releasing)
            effects.list.append(.acknowledge(id, .pubrel, packetID: packetID, reason: .success))
        case .complete(let id, let packetID):
            effects.list.append(.acknowledge(id, .pubcomp, packetID: packetID, reason: .success))
        case .suback(let held):
            guard let connection = connection(held.connection), connection.state == .connected,
                let session = connection.session
            else { return }
            guard answer(.suback(held.suback), on: connection, now: now, effects: &effects) else { return }
            sendRetained(held.retainedWanted, to: session, now: now, effects: &effects)
        case .unsuback(let id, let unsuback):
            guard let connection = connection(id) else { return }
            answer(.unsuback(unsuback), on: connection, now: now, effects: &effects)
        }
    }

    /// The journal takes nothing any more (a failed sync, a full disk). Nothing is acknowledged that needs it: 5.0
    /// publishers get quota exceeded, 3.x publishers no answer, nor does a QoS 2 message that was handed to the journal
    /// before. What needs no disk goes on.
    public func journalFailed(now: BrokerTime, effects: inout Effects) {
        guard journalAvailable else { return }
        journalAvailable = false
        bookkeepingIsOpen = false
        laterNotes = []
        effects.journal.removeAll()
        effects.list.append(
            .log(Diagnostic(.error, "The journal takes no more records; messages that need it are not acknowledged"))
        )
        let waiting = held
        held = []
        for item in waiting { giveUp(item.effect, &effects) }
        sessionsAwaitingCommit = []
        for case let session? in sessions {
            session.isAwaitingCommit = false
            session.forgetUncommitted(after: committedSequence)
            drain(session, now: now, effects: &effects)
        }
    }

    /// Answers what waited for a commit that will never come.
    private func giveUp(_ effect: HeldEffect, _ effects: inout Effects) {
        switch effect {
        case .publishAnswer(let id, let qos, let packetID, _):
            // The record may be on the disk all the same. Refused, a QoS 2 identifier would be used for another
            // message, which after the restart would be taken for this one, acknowledged and thrown away: no answer, as in 3.x.
            guard qos == .atLeastOnce, let connection = connection(id), connection.state == .connected else { return }
            counters.drop(.journalUnavailable)
            if connection.inboundInflight > 0 { connection.inboundInflight -= 1 }
            guard connection.isV5 else { return }
            effects.list.append(.acknowledge(id, .puback, packetID: packetID, reason: .quotaExceeded))
        case .suback(let held):
            guard let connection = connection(held.connection), let session = connection.session else { return }
            takeBack(held.noted, of: session)
            var suback = held.suback
            for item in held.noted { suback.reasons[item.index] = .quotaExceeded }
            effects.list.append(.send(held.connection, .suback(suback)))
        case .unsuback(let id, let unsuback): effects.list.append(.send(id, .unsuback(unsuback)))
        case .sendInflight, .push, .release, .complete: break  // The next start of the process goes on with them.
        }
    }

    /// The driver has read what ``Effect/load(session:records:)`` asked for. A record that is gone is counted as lost.
    public func loaded(
        session number: UInt32,
        messages: [JournaledMessage],
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = sessionsByNumber[number], session.isLoading else { return }
        session.isLoading = false
        var found: [MessageReference: Message] = [:]
        for message in messages {
            let received = clockSteps.monotonicMilliseconds(
                of: message.reference.record,
                received: message.receivedMilliseconds,
                now: now
            )
            found[message.reference] = Message(message, received: received)
        }
        attachLoaded(found, to: session, effects: &effects)
        for index in session.queue.indices.prefix(configuration.loadBatchMessages) {
            guard session.queue[index].message == nil, let reference = session.queue[index].reference,
                let message = found[reference]
            else { continue }
            session.queue[index].message = message
            session.queuedResidentBytes &+= Int(session.queue[index].byteCount)
        }
        // What was asked for and is not there now, the journal has lost.
        while let head = session.queue.first, head.message == nil, let reference = head.reference,
            session.askedFor.contains(reference.record)
        {
            _ = session.popQueued()
            drop(head, of: session, .lost, &effects)
        }
        session.askedFor = []
        // The question may have been an earlier connection's: what this one misses is asked for now.
        drain(session, now: now, effects: &effects)
    }
}

extension Session {
    /// The journal has failed: what it did not take was not accepted, and what waits for it goes on after the restart.
    func forgetUncommitted(after committed: UInt64) {
        queue.removeAll { queued in
            guard let reference = queued.reference, reference.record > committed else { return false }
            queuedBytes &-= Int(queued.byteCount)
            if queued.message != nil { queuedResidentBytes &-= Int(queued.byteCount) }
            return true
        }
        for entry in inflight.ordered() where entry.state == .awaitingCommit { _ = inflight.remove(entry.packetID) }
    }
}

extension Message {
    /// A message as the journal gives it back; its expiry counts from when it was received, in milliseconds of the
    /// monotonic clock. Before the machine's start that is less than nothing.
    convenience init(_ message: JournaledMessage, received: Int64, source: MessageSource? = nil) {
        var expires = UInt64.max
        if let seconds = message.properties.expirySeconds {
            expires = UInt64(max(0, received &+ Int64(seconds) &* 1_000)) &* 1_000_000
        }
        self.init(
            topic: message.topic.copied(),
            payload: ByteBufferCopy.of(message.payload),
            properties: message.properties,
            qos: message.qos,
            retain: message.retain,
            receivedMilliseconds: message.receivedMilliseconds,
            expiresNanoseconds: expires,
            origin: message.origin,
            publisher: message.publisher,
            source: source
        )
    }
}
