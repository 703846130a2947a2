public import MQTT
public import NIOCore

// Where a message goes once it may: to the journal if anything durable wants it, and to every session that it matches.
extension BrokerCore {
    /// A message that enters otherwise than by a client: down a bridge or from an attached broker.
    ///
    /// - Returns: The journal sequence that holds it, 0 if nothing durable wanted it, or nil if the journal is not
    ///   available and something durable did want it.
    public func publish(
        topic: TopicName,
        payload: ByteBuffer,
        qos: QoS,
        retain: Bool,
        properties: Properties = [],
        origin: MessageOrigin,
        publisher: String,
        now: BrokerTime,
        effects: inout Effects
    ) -> UInt64? {
        let message = Message(
            topic: topic.copied(),
            payload: ByteBufferCopy.of(payload),
            properties: properties,
            qos: qos,
            retain: retain,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: properties.expiryInstant(now),
            origin: origin,
            publisher: publisher
        )
        let outcome = distribute(
            message,
            from: nil,
            inboundPacketID: 0,
            deferred: false,
            now: now,
            effects: &effects
        )
        switch outcome {
        case .passed: return 0
        case .journaled(let sequence): return sequence
        case .refused: return nil
        }
    }

    /// What a publisher is answered, before its own copy of the message goes out.
    enum PublishAnswer {
        /// PUBACK or PUBREC.
        case publish(Connection, QoS, UInt16)
        /// PUBCOMP for a message that was held until its PUBREL. The record that has it says that it is released.
        case release(Connection, Session, UInt16)
    }

    enum Outcome {
        /// Nothing durable wanted it; it went to whoever is there.
        case passed
        /// It stands in this record.
        case journaled(UInt64)
        /// Something durable wanted it, but the journal takes nothing.
        case refused
    }

    /// Routes one message: to the journal if anything durable wants it, and to every session that it matches.
    ///
    /// - Parameters:
    ///   - answer: What the publisher is told: at once if nothing durable wants the message, else once the disk has it.
    ///   - deferred: Nothing may leave before the record is committed (handler outputs).
    func distribute(
        _ message: Message,
        from sender: Session?,
        inboundPacketID: UInt16,
        answer: PublishAnswer? = nil,
        deferred: Bool,
        now: BrokerTime,
        effects: inout Effects
    ) -> Outcome {
        let list = table.routes(for: message.topic, sessions: sessions)
        if list.isSystem {
            return distributeSystem(message, from: sender, answer: answer, now: now, effects: &effects)
        }
        let isGuaranteed = message.qos != .atMostOnce
        let wantsJournal =
            list.hasDurableReader || message.retain || (isGuaranteed && list.hasPersistentSession)
            || (message.qos == .exactlyOnce && sender?.isPersistent == true)
            || (keepsQoS0 && isQueued(list))
        guard wantsJournal && configuration.isDurable else {
            if message.retain { keep(message) }
            if let answer { give(answer, list, &effects) }
            deliver(message, to: list, from: sender, now: now, effects: &effects)
            return .passed
        }
        guard mayAppend(message, answer) else {
            if !isGuaranteed || message.origin == .will {
                // Nobody is promised anything, or nobody is there to try again: whoever is there still gets it.
                counters.drop(.journalUnavailable)
                deliver(message, to: list, from: sender, now: now, effects: &effects)
            }
            return .refused
        }
        closeBookkeeping(&effects)
        if message.expires { clockSteps.note(now, next: nextSequence) }
        let sequence = beginRecord(&effects)
        // Held first, so that it goes out before the publisher's own copy.
        if let answer { hold(answer, list, until: sequence) }
        append(
            message,
            sequence: sequence,
            index: 0,
            to: list,
            from: sender,
            inboundPacketID: inboundPacketID,
            deferred: deferred,
            now: now,
            effects: &effects
        )
        if case .release(_, let session, let packetID)? = answer, session.isPersistent {
            // In the same record: a crash must not leave the message both delivered and held.
            JournalRecord.write(.released(session: session.number, packetID: packetID), to: &effects.journal.writer)
            session.lastReleasedRecord = sequence
        }
        endRecord(&effects)
        return .journaled(sequence)
    }

    /// Whether one of the receivers is away and keeps QoS 0 messages, or has them upgraded.
    private func isQueued(_ list: RouteList) -> Bool {
        list.routes.contains { route in
            guard route.session.isPersistent else { return false }
            return configuration.upgradesOutgoingQoS && route.qos != .atMostOnce
                || configuration.queuesQoS0 && route.session.connection == nil
        }
    }

    private func reason(_ list: RouteList) -> ReasonCode {
        let isMatched = !list.routes.isEmpty || !list.groups.isEmpty || list.hasDurableReader
        return isMatched ? .success : .noMatchingSubscribers
    }

    func give(_ answer: PublishAnswer, _ list: RouteList, _ effects: inout Effects) {
        switch answer {
        case .publish(let connection, let qos, let packetID):
            let kind: AcknowledgementKind = qos == .atLeastOnce ? .puback : .pubrec
            let reason = connection.isV5 ? reason(list) : .success
            effects.list.append(.acknowledge(connection.id, kind, packetID: packetID, reason: reason))
        case .release(let connection, _, let packetID):
            effects.list.append(.acknowledge(connection.id, .pubcomp, packetID: packetID, reason: .success))
        }
    }

    private func hold(_ answer: PublishAnswer, _ list: RouteList, until sequence: UInt64) {
        switch answer {
        case .publish(let connection, let qos, let packetID):
            let reason = connection.isV5 ? reason(list) : .success
            hold(until: sequence, .publishAnswer(connection.id, qos: qos, packetID: packetID, reason: reason))
        case .release(let connection, _, let packetID):
            hold(until: sequence, .complete(connection.id, packetID: packetID))
        }
    }

    /// Writes one message into the open record and routes it by reference.
    func append(
        _ message: Message,
        sequence: UInt64,
        index: UInt16,
        to list: RouteList,
        from sender: Session?,
        inboundPacketID: UInt16,
        deferred: Bool,
        now: BrokerTime,
        effects: inout Effects
    ) {
        counters.messagesJournaled &+= 1
        let reference = MessageReference(record: sequence, index: index)
        if message.retain { keep(message) }
        var recipients: [StoredMessage.Recipient] = []
        for route in list.routes {
            if route.noLocal && route.session === sender { continue }
            give(
                message,
                reference,
                to: route,
                // The publisher's acknowledgement waits for the disk, and its own copy comes after that.
                deferred: deferred || route.session === sender && message.qos != .atMostOnce,
                now: now,
                recipients: &recipients,
                effects: &effects
            )
        }
        for group in list.groups {
            guard let route = choose(from: group, for: message.topic, message.qos) else { continue }
            give(
                message,
                reference,
                to: route,
                share: group,
                deferred: deferred,
                now: now,
                recipients: &recipients,
                effects: &effects
            )
        }
        // Without an identifier it was released by PUBREL, and there is nothing to repeat.
        let isExactlyOnce = message.qos == .exactlyOnce && inboundPacketID != 0 && sender?.isPersistent == true
        if message.qos == .exactlyOnce, inboundPacketID != 0, let sender {
            sender.lastInboundRecord[inboundPacketID] = InboundRecord(
                sequence: sequence,
                connection: sender.connection?.id
            )
        }
        JournalRecord.write(
            .message(
                message.stored(
                    publisherSession: isExactlyOnce ? sender?.number ?? 0 : 0,
                    publisherPacketID: isExactlyOnce ? inboundPacketID : 0,
                    recipients: recipients
                )
            ),
            to: &effects.journal.writer
        )
    }
}
