import MQTT
import NIOCore

// Handler decisions: position, state and outputs become one record; the outputs leave when it is on disk.
extension BrokerCore {
    /// Takes a handler's decision.
    ///
    /// - Returns: The journal sequence of its record, or nil if the journal takes nothing; then the handler must not
    ///   go on: the input will be decided again after recovery.
    @discardableResult
    public func submit(_ commit: HandlerCommit, now: BrokerTime, effects: inout Effects) -> UInt64? {
        guard journalAvailable else { return nil }
        counters.handlerCommits &+= 1
        remember(commit.handler, commit.position, commit.key, commit.state)
        closeBookkeeping(&effects)
        clockSteps.note(now, next: nextSequence)
        let sequence = beginRecord(&effects)
        JournalRecord.write(
            .handler(
                name: commit.handler,
                position: commit.position,
                key: commit.key,
                state: commit.state,
                decision: commit.decision
            ),
            to: &effects.journal.writer
        )
        for (index, output) in commit.outputs.enumerated() {
            let message = Message(
                topic: output.topic,
                payload: output.payload,
                properties: output.properties,
                qos: output.qos,
                retain: output.retain,
                receivedMilliseconds: now.wallMilliseconds,
                expiresNanoseconds: output.properties.expiryInstant(now),
                origin: .handler,
                publisher: commit.handler
            )
            append(
                message,
                sequence: sequence,
                index: UInt16(truncatingIfNeeded: index),
                to: table.routes(for: output.topic, sessions: sessions),
                from: nil,
                inboundPacketID: 0,
                deferred: true,
                now: now,
                effects: &effects
            )
        }
        endRecord(&effects)
        return sequence
    }

    func remember(_ name: String, _ position: MessageReference, _ key: String, _ state: ByteBuffer?) {
        var handler = handlers.removeValue(forKey: name) ?? RecoveredHandler()
        handler.position = max(handler.position, position)
        if let state {
            handler.states[key] = state.readableBytes == 0 ? nil : state
        }
        handlers[name] = handler
    }
}
