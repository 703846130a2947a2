import DequeModule
import MQTT

// The queue of a session: what waits for its client, its window, the disk or memory.
extension BrokerCore {
    /// Puts a message at the end of a session's queue; false if it was dropped.
    func append(
        _ message: Message,
        _ reference: MessageReference?,
        _ qos: QoS,
        _ retain: Bool,
        _ subscriptionIDs: [UInt32],
        share: SharedGroup? = nil,
        toQueueOf session: Session,
        _ effects: inout Effects
    ) -> Bool {
        let bytes = message.byteCount
        // What the journal gives back to nobody stays in memory: no reference, or a copy of a retained message.
        let isKept = reference?.isCopy ?? true
        while session.queue.count >= configuration.queuedMessagesMax
            || session.queuedBytes &+ bytes > configuration.queuedBytesMax
            || isKept && session.queuedResidentBytes &+ bytes > configuration.queuedMemoryBytesMax
        {
            counters.drop(.queueFull)
            if configuration.overflow == .disconnect && session.connection != nil { overflowed.append(session) }
            guard configuration.overflow == .dropOldest, let oldest = session.popQueued() else {
                session.inflight.skipPacketID(qos)
                return false
            }
            session.inflight.skipPacketID(oldest.qos)
            if let reference = oldest.reference, session.isPersistent {
                noteAfterRecord(.dropped(session: session.number, reference: reference))
            }
        }
        let isResident = isKept || session.queuedResidentBytes &+ bytes <= configuration.queuedResidentBytesMax
        session.queue.append(
            Queued(
                message: isResident ? message : nil,
                reference: reference,
                qos: qos,
                retain: retain,
                byteCount: UInt32(clamping: bytes),
                subscriptionIDs: subscriptionIDs,
                share: share
            )
        )
        session.queuedBytes &+= bytes
        if isResident { session.queuedResidentBytes &+= bytes }
        return true
    }

    /// Sends queued messages as far as the window, the transport, the disk and memory allow.
    func drain(_ session: Session, now: BrokerTime, effects: inout Effects) {
        guard let connection = session.connection, connection.state == .connected else { return }
        if session.inflight.dueCount > 0 && !repeatDue(session, on: connection, now: now, effects: &effects) { return }
        while connection.isWritable && hasRoomInFlight(session, connection), let next = session.queue.first {
            if let reference = next.reference, reference.record > committedSequence {
                awaitCommit(session)
                return
            }
            if next.reference != nil && next.qos == .exactlyOnce && session.isPersistent && !journalAvailable {
                // Without a record of its packet identifier a restart would send it again: it stays in the journal.
                _ = session.popQueued()
                counters.drop(.journalUnavailable)
                continue
            }
            guard let message = next.message else {
                load(session, effects: &effects)
                return
            }
            _ = session.popQueued()
            guard message.expiresNanoseconds > now.monotonicNanoseconds else {
                drop(next, of: session, .expired, &effects)
                continue
            }
            guard mayReceiveQueued(session, message.topic) else {
                session.inflight.skipPacketID(next.qos)
                if let reference = next.reference, session.isPersistent {
                    note(.dropped(session: session.number, reference: reference), &effects)
                }
                continue
            }
            sendQueued(next, message, on: connection, of: session, now: now, effects: &effects)
        }
        if session.queue.isEmpty && session.inflight.count == 0 { session.revokedFilters = [] }
    }

    private func sendQueued(
        _ queued: Queued,
        _ message: Message,
        on connection: Connection,
        of session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard queued.qos != .atMostOnce else {
            // Sent is all that it can be.
            if let reference = queued.reference, session.isPersistent {
                note(.dropped(session: session.number, reference: reference), &effects)
            }
            send(
                message,
                on: connection,
                packetID: 0,
                qos: .atMostOnce,
                retain: queued.retain,
                duplicate: false,
                queued.subscriptionIDs,
                now: now,
                effects: &effects
            )
            return
        }
        // The packet identifier of a QoS 2 message must be on disk before the client sees it, or the client could not
        // tell a repetition after a crash.
        let isDurable = session.isPersistent && queued.reference != nil && journalAvailable
        let waits = isDurable && queued.qos == .exactlyOnce
        let packetID = session.inflight.insert(
            message: message,
            reference: queued.reference,
            qos: queued.qos,
            retain: queued.retain,
            subscriptionIDs: queued.subscriptionIDs,
            share: queued.share,
            state: waits ? .awaitingCommit : .sent
        )
        if isDurable, let reference = queued.reference {
            let entry = JournalEntry.sent(
                session: session.number,
                reference: reference,
                packetID: packetID,
                qos: queued.qos
            )
            let sequence = note(entry, &effects)
            if waits {
                hold(until: sequence, .sendInflight(connection.id, packetID: packetID))
                return
            }
        }
        send(
            message,
            on: connection,
            packetID: packetID,
            qos: queued.qos,
            retain: queued.retain,
            duplicate: false,
            queued.subscriptionIDs,
            now: now,
            effects: &effects
        )
    }

    func drop(_ queued: Queued, of session: Session, _ reason: BrokerStatistics.DropReason, _ effects: inout Effects) {
        counters.drop(reason)
        session.inflight.skipPacketID(queued.qos)
        guard let reference = queued.reference, session.isPersistent else { return }
        note(.dropped(session: session.number, reference: reference), &effects)
    }

    /// Ends the connections whose client did not keep up, where that is what an overflow means.
    func disconnectOverflowed(now: BrokerTime, effects: inout Effects) {
        let sessions = overflowed
        overflowed = []
        for session in sessions {
            guard let connection = session.connection else { continue }
            close(
                connection,
                CloseReason(.quotaExceeded, statement: "section 4.9", "the client's queue is full"),
                effects: &effects
            )
            detach(connection, now: now, effects: &effects)
        }
    }

    func awaitCommit(_ session: Session) {
        guard !session.isAwaitingCommit else { return }
        session.isAwaitingCommit = true
        sessionsAwaitingCommit.append(session)
    }

    /// Asks for the messages at the head of the queue that are not in memory.
    private func load(_ session: Session, effects: inout Effects) {
        guard !session.isLoading else { return }
        var records: [UInt64] = []
        var bytes = 0
        for queued in session.queue.prefix(configuration.loadBatchMessages) {
            guard queued.message == nil, let reference = queued.reference, reference.record <= committedSequence,
                records.isEmpty || bytes < configuration.queuedResidentBytesMax
            else { break }
            bytes &+= Int(queued.byteCount)
            if records.last != reference.record { records.append(reference.record) }
        }
        guard !records.isEmpty else { return }
        ask(for: records, session, effects: &effects)
    }

    func ask(for records: [UInt64], _ session: Session, effects: inout Effects) {
        session.isLoading = true
        session.askedFor = Set(records)
        effects.list.append(.load(session: session.number, records: records))
    }
}

extension Session {
    func popQueued() -> Queued? {
        guard let first = queue.popFirst() else { return nil }
        queuedBytes &-= Int(first.byteCount)
        if first.message != nil { queuedResidentBytes &-= Int(first.byteCount) }
        return first
    }
}
