import MQTT

// PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5.0 sections 3.4 to 3.7, 4.3).
extension BrokerCore {
    func handlePuback(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session else { return }
        handlePuback(answer.packetID, of: session, on: connection, now: now, effects: &effects)
    }

    func handlePuback(
        _ packetID: UInt16,
        of session: Session,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let qos = session.inflight.qos(of: packetID) else { return }
        guard qos == .atLeastOnce else {
            mismatched(from: connection, now: now, effects: &effects)
            return
        }
        finish(packetID, of: session, now: now, effects: &effects)
    }

    func handlePubrec(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session else { return }
        guard let entry = session.inflight[answer.packetID], entry.qos == .exactlyOnce else {
            guard session.inflight[answer.packetID] == nil else {
                mismatched(from: connection, now: now, effects: &effects)
                return
            }
            // Not ours, or over already: PUBREL lets the client end its side; 5.0 learns that we know nothing of it.
            guard !answer.reason.isError else { return }
            let reason = unknownIdentifierReason(connection)
            effects.list.append(.acknowledge(connection.id, .pubrel, packetID: answer.packetID, reason: reason))
            return
        }
        if answer.reason.isError {
            finish(answer.packetID, of: session, now: now, effects: &effects)
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
        if releaseHeld(answer.packetID, on: connection, of: session, now: now, effects: &effects) { return }
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
        let reason = wasKnown ? .success : unknownIdentifierReason(connection)
        effects.list.append(.acknowledge(connection.id, .pubcomp, packetID: answer.packetID, reason: reason))
    }

    func handlePubcomp(
        _ answer: Acknowledgement,
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection.session, let entry = session.inflight[answer.packetID] else { return }
        guard entry.qos == .exactlyOnce, entry.state == .releasing || entry.state == .received else {
            mismatched(from: connection, now: now, effects: &effects)
            return
        }
        finish(answer.packetID, of: session, now: now, effects: &effects)
    }

    /// An answer that does not belong to the exchange that its identifier names [MQTT-4.3.2-2], [MQTT-4.3.3-4].
    private func mismatched(
        from connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        let error = MQTTError(.protocolError, "MQTT-4.3.3-4", "an acknowledgement does not belong to its exchange")
        violated(connection.id, error: error, now: now, effects: &effects)
    }

    /// What is said of an identifier that means nothing here. It is no error after a reconnect, so where messages are
    /// released by PUBREL it is answered like any other.
    private func unknownIdentifierReason(_ connection: Connection) -> ReasonCode {
        connection.isV5 && !configuration.releasesQoS2OnPubrel ? .packetIdentifierNotFound : .success
    }

    private func finish(
        _ packetID: UInt16,
        of session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let isJournaled = session.inflight.finish(packetID) else { return }
        if isJournaled && session.isPersistent {
            note(.acknowledged(session: session.number, packetID: packetID), &effects)
        }
        if !session.queue.isEmpty || session.inflight.dueCount > 0 { drain(session, now: now, effects: &effects) }
    }
}
