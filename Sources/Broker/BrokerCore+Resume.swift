import MQTT

// A session goes on with another connection (MQTT 5.0 sections 4.4, 4.6, 4.9).
extension BrokerCore {
    /// A connection has taken its session up again: unfinished exchanges are repeated [MQTT-4.4.0-1], then the queue
    /// goes on.
    ///
    /// The Receive Maximum counts anew with each connection and may be smaller than the one before. Exchanges between
    /// PUBREC and PUBCOMP go on at once; PUBLISH waits its turn [MQTT-3.3.4-9].
    func resume(_ session: Session, now: BrokerTime, effects: inout Effects) {
        guard let connection = session.connection else { return }
        if session.inflight.count > 0 {
            session.inflight.makeDue()
            session.dueRecord = nextSequence &- 1
            for entry in session.inflight.ordered() {
                switch entry.state {
                case .releasing:
                    let packetID = entry.packetID
                    effects.list.append(.acknowledge(connection.id, .pubrel, packetID: packetID, reason: .success))
                case .received:
                    let release = HeldEffect.release(connection.id, packetID: entry.packetID)
                    afterLastRecord(release, now: now, effects: &effects)
                case .awaitingCommit, .sent: break
                }
            }
        }
        drain(session, now: now, effects: &effects)
    }

    /// Repeats what is due, in its order, as far as the client's window and the transport allow; false if something is
    /// left, behind which everything else waits.
    func repeatDue(
        _ session: Session,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) -> Bool {
        while let entry = session.inflight.nextDue() {
            guard connection.isWritable, session.inflight.openCount < connection.window else { return false }
            guard let message = entry.message else {
                // After a restart the messages themselves are in the journal.
                if !session.isLoading { askForDue(session, effects: &effects) }
                return false
            }
            let isFirstTime = entry.state == .awaitingCommit
            if isFirstTime {
                // Behind it waits what came later: the order holds [MQTT-4.6.0-6].
                guard committedSequence >= session.dueRecord else {
                    awaitCommit(session)
                    return false
                }
                session.inflight.update(entry.packetID, state: .sent)
            }
            session.inflight.settle(entry.packetID)
            guard mayReceiveQueued(session, message.topic) else {
                if isFirstTime || entry.qos == .atLeastOnce {
                    forgetExchange(entry.packetID, of: session, isJournaled: entry.reference != nil)
                } else {
                    received(entry, on: connection, of: session, effects: &effects)
                }
                continue
            }
            send(
                message,
                on: connection,
                packetID: entry.packetID,
                qos: entry.qos,
                retain: entry.retain,
                duplicate: !isFirstTime,
                entry.subscriptionIDs,
                now: now,
                effects: &effects
            )
        }
        return true
    }

    private func askForDue(_ session: Session, effects: inout Effects) {
        let next = session.inflight.due(atMost: configuration.loadBatchMessages)
        ask(for: next.compactMap { $0.message == nil ? $0.reference?.record : nil }, session, effects: &effects)
    }

    /// After a restart: exchanges that were open have their messages again. What was asked for and is not there, the
    /// journal has lost.
    func attachLoaded(_ found: [MessageReference: Message], to session: Session, effects: inout Effects) {
        for entry in session.inflight.ordered() where entry.state == .sent && entry.message == nil {
            guard let reference = entry.reference, session.askedFor.contains(reference.record) else { continue }
            if let message = found[reference] {
                session.inflight.attach(message, to: entry.packetID)
                continue
            }
            counters.drop(.lost)
            _ = session.inflight.remove(entry.packetID)
            if session.isPersistent {
                note(.acknowledged(session: session.number, packetID: entry.packetID), &effects)
            }
        }
    }
}
