import MQTT
import NIOCore

// QoS 2 messages that go to their receivers at PUBREL: method B of figure 4.3 of MQTT 5.0.
extension BrokerCore {
    /// A message is repeated once per connection; what comes more often is no repetition but a loop.
    private static let repetitionsMax = 1

    /// Keeps a message until its PUBREL. PUBREC waits for the disk if the session outlives its connection.
    func holdInbound(
        _ message: Message,
        _ packetID: UInt16,
        on connection: Connection,
        of session: Session,
        effects: inout Effects
    ) {
        guard session.isPersistent && configuration.isDurable else {
            session.heldInbound[packetID] = HeldInbound(message: message, record: nil)
            effects.list.append(.acknowledge(connection.id, .pubrec, packetID: packetID, reason: .success))
            return
        }
        guard mayAppend(message, nil) else {
            refuse(.exactlyOnce, packetID, on: connection, effects: &effects)
            return
        }
        let entry = JournalEntry.inboundHeld(session: session.number, packetID: packetID, message.stored())
        let sequence = note(entry, &effects)
        session.heldInbound[packetID] = HeldInbound(
            message: message,
            record: InboundRecord(sequence: sequence, connection: connection.id)
        )
        hold(
            until: sequence,
            .publishAnswer(connection.id, qos: .exactlyOnce, packetID: packetID, reason: .success)
        )
    }

    /// Answers a PUBLISH whose identifier is that of a held message; false if it is another message, which takes its
    /// place.
    func answerHeld(
        _ publish: Publish,
        on connection: Connection,
        of session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) -> Bool {
        guard var held = session.heldInbound[publish.packetID] else { return false }
        guard held.message.topic == publish.topic, held.message.payload == publish.payload else {
            session.heldInbound[publish.packetID] = nil
            return false
        }
        held.repetitions += 1
        guard held.repetitions <= Self.repetitionsMax else {
            let error = MQTTError(.protocolError, "MQTT-4.3.3-2", "a message was sent again and again")
            violated(connection.id, error: error, now: now, effects: &effects)
            return true
        }
        defer { session.heldInbound[publish.packetID] = held }
        if let record = held.record, record.sequence > committedSequence {
            guard record.connection != connection.id else { return true }
            // Its answer was held for a connection that is gone: it moves to this one.
            held.record?.connection = connection.id
            let answer = HeldEffect.publishAnswer(
                connection.id,
                qos: .exactlyOnce,
                packetID: publish.packetID,
                reason: .success
            )
            hold(until: record.sequence, answer)
            return true
        }
        effects.list.append(.acknowledge(connection.id, .pubrec, packetID: publish.packetID, reason: .success))
        return true
    }

    /// A held message that its publisher may not publish any more: the exchange ends, nobody is given it.
    private func drop(
        _ held: HeldInbound,
        _ packetID: UInt16,
        on connection: Connection,
        of session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) {
        counters.drop(.notAuthorized)
        auditDenial(
            .publishDenied,
            connection,
            session,
            subject: held.message.topic.string,
            now: now,
            effects: &effects
        )
        if held.record != nil && session.isPersistent {
            let sequence = note(.released(session: session.number, packetID: packetID), &effects)
            session.lastReleasedRecord = sequence
            hold(until: sequence, .complete(connection.id, packetID: packetID))
        } else {
            effects.list.append(.acknowledge(connection.id, .pubcomp, packetID: packetID, reason: .success))
        }
    }

    /// PUBREL of a held message: it goes to its receivers; false if none is held.
    func releaseHeld(
        _ packetID: UInt16,
        on connection: Connection,
        of session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) -> Bool {
        guard let held = session.heldInbound.removeValue(forKey: packetID) else { return false }
        guard mayPublish(session, held.message.topic) else {
            drop(held, packetID, on: connection, of: session, now: now, effects: &effects)
            return true
        }
        let outcome = distribute(
            held.message,
            from: session,
            inboundPacketID: 0,
            answer: .release(connection, session, packetID),
            deferred: false,
            now: now,
            effects: &effects
        )
        switch outcome {
        case .journaled: break
        case .passed:
            if held.record != nil && session.isPersistent {
                note(.released(session: session.number, packetID: packetID), &effects)
            }
        case .refused:
            // The journal takes nothing: without an answer the client asks again.
            session.heldInbound[packetID] = held
        }
        return true
    }
}
