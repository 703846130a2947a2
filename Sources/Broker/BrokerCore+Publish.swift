import DequeModule
public import MQTT
public import NIOCore

// PUBLISH from a client, and every other message that enters (MQTT 5.0 sections 3.3 and 4.3).
extension BrokerCore {
    func handle(_ publish: Publish, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard let session = connection.session else { return }
        counters.messagesReceived &+= 1
        counters.payloadBytesReceived &+= UInt64(publish.payload.readableBytes)
        var publish = publish
        if connection.isV5 {
            guard resolveAlias(&publish, on: connection, now: now, effects: &effects) else { return }
        }
        if publish.qos != .atMostOnce {
            if publish.qos == .exactlyOnce && session.inboundQoS2.contains(publish.packetID) {
                answerRepeated(publish, on: connection, of: session, effects: &effects)
                return
            }
            guard connection.inboundInflight < Int(configuration.receiveMaximum) || !connection.isV5 else {
                let error = MQTTError(.receiveMaximumExceeded, "MQTT-3.3.4-7", "more messages than Receive Maximum")
                violated(connection.id, error: error, now: now, effects: &effects)
                return
            }
        }
        if publish.topic.isReserved && publish.topic.isControl {
            control(publish, from: session, on: connection, now: now, effects: &effects)
            return
        }
        guard !publish.topic.isReserved || session.isTrusted, mayPublish(session, publish.topic) else {
            counters.drop(.notAuthorized)
            auditDenial(
                .publishDenied,
                connection,
                session,
                subject: publish.topic.string,
                now: now,
                effects: &effects
            )
            acknowledge(publish, on: connection, reason: .notAuthorized, effects: &effects)
            return
        }
        let keeps = publish.qos != .atMostOnce || publish.retain
        let message = Message(
            topic: keeps ? publish.topic.copied() : publish.topic,
            payload: keeps ? ByteBufferCopy.of(publish.payload) : publish.payload,
            properties: publish.properties,
            qos: publish.qos,
            retain: publish.retain,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: publish.properties.expiryInstant(now),
            origin: .client,
            publisher: session.identity.clientID
        )
        let outcome = distribute(
            message,
            from: session,
            inboundPacketID: publish.packetID,
            deferred: false,
            now: now,
            effects: &effects
        )
        switch outcome {
        case .passed(let isMatched):
            if publish.qos == .exactlyOnce {
                session.inboundQoS2.insert(publish.packetID)
                connection.inboundInflight += 1
            }
            acknowledge(
                publish,
                on: connection,
                reason: isMatched ? .success : .noMatchingSubscribers,
                effects: &effects
            )
        case .journaled(let sequence):
            guard publish.qos != .atMostOnce else { return }
            connection.inboundInflight += 1
            if publish.qos == .exactlyOnce { session.inboundQoS2.insert(publish.packetID) }
            hold(until: sequence, .publishAnswer(connection.id, qos: publish.qos, packetID: publish.packetID))
        case .refused:
            counters.drop(.journalUnavailable)
            // 5.0 is told; 3.x gets no acknowledgement, so that the client keeps the message and tries again.
            if connection.isV5 {
                acknowledge(publish, on: connection, reason: .quotaExceeded, effects: &effects)
            }
        }
    }

    /// Turns an alias into its topic, or remembers the topic's alias (section 3.3.2.3.4).
    private func resolveAlias(
        _ publish: inout Publish,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) -> Bool {
        guard !publish.properties.isEmpty else { return true }
        var alias: UInt16?
        publish.properties.values.removeAll { property in
            guard case .topicAlias(let value) = property else { return false }
            alias = value
            return true
        }
        guard let alias else { return true }
        guard alias > 0 && alias <= configuration.topicAliasMaximum else {
            let error = MQTTError(.topicAliasInvalid, "MQTT-3.3.2-9", "a topic alias is beyond Topic Alias Maximum")
            violated(connection.id, error: error, now: now, effects: &effects)
            return false
        }
        if !publish.topic.isEmpty {
            connection.aliases[alias] = publish.topic.copied()
            return true
        }
        guard let topic = connection.aliases[alias] else {
            let error = MQTTError(.topicAliasInvalid, "section 3.3.4", "a topic alias was never set")
            violated(connection.id, error: error, now: now, effects: &effects)
            return false
        }
        publish.topic = topic
        return true
    }

    /// A QoS 2 PUBLISH that we have already: it is answered, but not published again [MQTT-4.3.3-10]. If its record is
    /// still on the way to the disk, the answer that is held will do.
    private func answerRepeated(
        _ publish: Publish,
        on connection: Connection,
        of session: Session,
        effects: inout Effects
    ) {
        if let record = session.lastInboundRecord[publish.packetID], record.sequence > committedSequence {
            guard record.connection != connection.id else { return }
            // It was held for a connection that is gone: the answer moves to this one.
            session.lastInboundRecord[publish.packetID]?.connection = connection.id
            let answer = HeldEffect.publishAnswer(connection.id, qos: .exactlyOnce, packetID: publish.packetID)
            hold(until: record.sequence, answer)
            return
        }
        effects.list.append(.acknowledge(connection.id, .pubrec, packetID: publish.packetID, reason: .success))
    }

    func acknowledge(
        _ publish: Publish,
        on connection: Connection,
        reason: ReasonCode,
        effects: inout Effects
    ) {
        let reason = connection.isV5 ? reason : .success
        switch publish.qos {
        case .atMostOnce: break
        case .atLeastOnce:
            effects.list.append(.acknowledge(connection.id, .puback, packetID: publish.packetID, reason: reason))
        case .exactlyOnce:
            effects.list.append(.acknowledge(connection.id, .pubrec, packetID: publish.packetID, reason: reason))
        }
    }

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

    enum Outcome {
        /// Nothing durable wanted it; it went to whoever is there.
        case passed(isMatched: Bool)
        /// It stands in this record.
        case journaled(UInt64)
        /// Something durable wanted it, but the journal takes nothing.
        case refused
    }

    /// Routes one message: to the journal if anything durable wants it, and to every session that it matches.
    ///
    /// - Parameter deferred: Nothing may leave before the record is committed (handler outputs).
    func distribute(
        _ message: Message,
        from sender: Session?,
        inboundPacketID: UInt16,
        deferred: Bool,
        now: BrokerTime,
        effects: inout Effects
    ) -> Outcome {
        if message.topic.isSystem {
            return distributeSystem(message, from: sender, now: now, effects: &effects)
        }
        let list = table.routes(for: message.topic, sessions: sessions)
        let isGuaranteed = message.qos != .atMostOnce
        let wantsJournal =
            list.hasDurableReader || message.retain || (isGuaranteed && list.hasPersistentSession)
            || (message.qos == .exactlyOnce && sender?.isPersistent == true)
        guard wantsJournal && configuration.isDurable else {
            if message.retain { keep(message) }
            deliver(message, to: list, from: sender, now: now, effects: &effects)
            return .passed(isMatched: !list.routes.isEmpty || !list.groups.isEmpty)
        }
        guard journalAvailable else {
            if !isGuaranteed || message.origin == .will {
                // Nobody is promised anything, or nobody is there to try again: whoever is there still gets it.
                counters.drop(.journalUnavailable)
                deliver(message, to: list, from: sender, now: now, effects: &effects)
            }
            return .refused
        }
        closeBookkeeping(&effects)
        let sequence = beginRecord(&effects)
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
        endRecord(&effects)
        return .journaled(sequence)
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
                deferred: deferred,
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
        let isExactlyOnce = message.qos == .exactlyOnce && sender?.isPersistent == true
        if message.qos == .exactlyOnce, let sender {
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

    /// Sets or, with an empty payload, removes the topic's retained message [MQTT-3.3.1-5], [MQTT-3.3.1-6].
    func keep(_ message: Message) {
        if message.payload.readableBytes == 0 {
            setRetained(message.topic, nil)
        } else if retained.count < configuration.retainedMessagesMax || retained[message.topic] != nil {
            setRetained(message.topic, message)
        } else {
            counters.drop(.queueFull)
        }
    }
    /// Sets a topic's retained message, or removes it, and keeps count of the bytes.
    func setRetained(_ topic: TopicName, _ message: Message?) {
        if let old = retained.set(topic, message) { retainedBytes -= old.storedBytes }
        if let message { retainedBytes += message.storedBytes }
    }
}
