import MQTT

// PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5.0 sections 3.4 to 3.7, 4.3).
extension BrokerCore {
    func handlePuback(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session, let entry = session.inflight[answer.packetID],
            entry.qos == .atLeastOnce
        else { return }
        finish(entry, of: session, now: now, effects: &effects)
    }

    func handlePubrec(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session else { return }
        guard let entry = session.inflight[answer.packetID], entry.qos == .exactlyOnce else {
            // Not ours, or over already: PUBREL lets the client end its side; 5.0 learns that we know nothing of it.
            let reason: ReasonCode = connection.isV5 ? .packetIdentifierNotFound : .success
            effects.list.append(.acknowledge(connection.id, .pubrel, packetID: answer.packetID, reason: reason))
            return
        }
        if answer.reason.isError {
            finish(entry, of: session, now: now, effects: &effects)
            return
        }
        switch entry.state {
        case .awaitingCommit: break  // The client cannot have it yet: nonsense, ignored.
        case .received: break  // PUBREL follows once the record is committed.
        case .releasing:
            effects.list.append(.acknowledge(connection.id, .pubrel, packetID: answer.packetID, reason: .success))
        case .sent:
            if entry.reference != nil && session.isPersistent {
                // On disk before PUBREL: after a crash the message must never be sent again under this identifier. If
                // the journal takes nothing, the exchange ends after the restart.
                guard journalAvailable else { break }
                session.inflight.update(answer.packetID, state: .received, dropMessage: true)
                let sequence = note(.received(session: session.number, packetID: answer.packetID), &effects)
                hold(until: sequence, .release(connection.id, packetID: answer.packetID))
            } else {
                session.inflight.update(answer.packetID, state: .releasing, dropMessage: true)
                effects.list.append(.acknowledge(connection.id, .pubrel, packetID: answer.packetID, reason: .success))
            }
        }
    }

    func handlePubrel(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session else { return }
        // Answered, the identifier would be free for another message, which a restart would take for the one that the
        // disk still knows. The client asks again when it comes back.
        let isKept = session.isPersistent && session.lastInboundRecord[answer.packetID] != nil
        guard journalAvailable || !isKept else { return }
        let wasKnown = session.inboundQoS2.remove(answer.packetID) != nil
        let wasJournaled = session.lastInboundRecord.removeValue(forKey: answer.packetID) != nil
        if wasKnown && connection.inboundInflight > 0 { connection.inboundInflight -= 1 }
        if wasKnown && wasJournaled && session.isPersistent {
            // The identifier is free for a new message once the client has PUBCOMP; the disk must know that first.
            let sequence = note(.released(session: session.number, packetID: answer.packetID), &effects)
            session.lastReleasedRecord = sequence
            hold(until: sequence, .complete(connection.id, packetID: answer.packetID))
            return
        }
        if session.lastReleasedRecord > committedSequence {
            // A PUBREL that is repeated on a new connection waits as the first one does.
            hold(until: session.lastReleasedRecord, .complete(connection.id, packetID: answer.packetID))
            return
        }
        let reason: ReasonCode = wasKnown || !connection.isV5 ? .success : .packetIdentifierNotFound
        effects.list.append(.acknowledge(connection.id, .pubcomp, packetID: answer.packetID, reason: reason))
    }

    func handlePubcomp(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session, let entry = session.inflight[answer.packetID],
            entry.qos == .exactlyOnce, entry.state == .releasing || entry.state == .received
        else { return }
        finish(entry, of: session, now: now, effects: &effects)
    }

    private func finish(
        _ entry: InflightTable.Entry,
        of session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) {
        _ = session.inflight.remove(entry.packetID)
        if entry.reference != nil && session.isPersistent {
            note(.acknowledged(session: session.number, packetID: entry.packetID), &effects)
        }
        if !session.queue.isEmpty { drain(session, now: now, effects: &effects) }
    }
}
