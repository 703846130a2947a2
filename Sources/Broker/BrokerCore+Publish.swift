import DequeModule
public import MQTT
public import NIOCore

// PUBLISH from a client, and every other message that enters (MQTT 5.0 sections 3.3 and 4.3).
extension BrokerCore {
    func handle(_ publish: Publish, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        counters.received(payloadBytes: publish.payload.readableBytes)
        guard let session = connection.session else { return }
        var publish = publish
        if connection.isV5 {
            guard resolveAlias(&publish, on: connection, now: now, effects: &effects) else { return }
        }
        if connection.grants.restrictsPublish {
            guard meetsGrants(&publish, on: connection, now: now, effects: &effects) else { return }
        }
        let releasesLater = publish.qos == .exactlyOnce && configuration.releasesQoS2OnPubrel
        if publish.qos != .atMostOnce {
            if publish.qos == .exactlyOnce {
                let isAnswered =
                    session.heldInbound[publish.packetID] == nil
                    ? answerRepeated(publish, on: connection, of: session, effects: &effects)
                    : answerHeld(publish, on: connection, of: session, now: now, effects: &effects)
                guard !isAnswered else { return }
            }
            guard hasReceiveQuota(publish.qos, connection, session) else {
                let error = MQTTError(.receiveMaximumExceeded, "MQTT-3.3.4-7", "more messages than Receive Maximum")
                violated(connection.id, error: error, now: now, effects: &effects)
                return
            }
        }
        guard publish.payload.readableBytes <= configuration.payloadBytesMax else {
            counters.drop(.oversize)
            acknowledge(publish, on: connection, reason: .packetTooLarge, effects: &effects)
            return
        }
        let isReserved = publish.topic.isReserved
        if isReserved && publish.topic.isControl {
            control(publish, from: session, on: connection, now: now, effects: &effects)
            return
        }
        guard !isReserved || session.isTrusted || mayCarry(publish.topic),
            mayPublish(session, publish.topic)
        else {
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
        let keeps = publish.qos != .atMostOnce || publish.retain || keepsQoS0
        let message = Message(
            topic: keeps ? publish.topic.copied() : publish.topic,
            payload: keeps ? ByteBufferCopy.of(publish.payload) : publish.payload,
            properties: publish.properties,
            qos: publish.qos,
            retain: publish.retain,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: publish.properties.expiryInstant(now),
            origin: .client,
            publisher: session.identity.clientID,
            source: publish.retain ? session.source : nil
        )
        if releasesLater {
            holdInbound(message, publish.packetID, on: connection, of: session, effects: &effects)
            return
        }
        let outcome = distribute(
            message,
            from: session,
            inboundPacketID: publish.packetID,
            answer: publish.qos == .atMostOnce ? nil : .publish(connection, publish.qos, publish.packetID),
            deferred: false,
            now: now,
            effects: &effects
        )
        guard publish.qos != .atMostOnce else { return }
        switch outcome {
        case .passed:
            guard publish.qos == .exactlyOnce else { return }
            session.inboundQoS2.insert(publish.packetID)
            connection.inboundInflight += 1
        case .journaled:
            connection.inboundInflight += 1
            if publish.qos == .exactlyOnce { session.inboundQoS2.insert(publish.packetID) }
        case .refused:
            counters.drop(.journalUnavailable)
            // 5.0 is told; 3.x gets no acknowledgement, so that the client keeps the message and tries again.
            if connection.isV5 {
                acknowledge(publish, on: connection, reason: .quotaExceeded, effects: &effects)
            }
        }
    }

    /// Whether the client may send another message [MQTT-3.3.4-7]. 3.x knows no maximum; where messages are held until
    /// their PUBREL, that of the held ones binds all versions.
    private func hasReceiveQuota(_ qos: QoS, _ connection: Connection, _ session: Session) -> Bool {
        let maximum = connection.grants.receiveMaximum
        guard configuration.releasesQoS2OnPubrel else {
            return !connection.isV5 || connection.inboundInflight < maximum
        }
        return qos != .exactlyOnce || session.heldInbound.count < maximum
    }

    /// Whether QoS 0 messages may have to outlive the read buffer.
    private var keepsQoS0: Bool { configuration.upgradesOutgoingQoS || configuration.queuesQoS0 }

    /// Whether clients may publish to the topic, whatever their rights: `$SYS` is the broker's, except for the state of
    /// bridges, which those report themselves, and `$share` is no topic.
    func mayCarry(_ topic: TopicName) -> Bool {
        guard topic.isReserved else { return true }
        guard configuration.allowsDollarTopics else { return false }
        let text = topic.bytes.readableBytesView
        guard text.starts(with: "$SYS".utf8) else { return !text.starts(with: "$share".utf8) && !topic.isControl }
        let levels = text.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return levels.count == 5 && text.starts(with: "$SYS/broker/connection/".utf8)
            && levels[4].elementsEqual("state".utf8)
    }

    /// Takes a PUBLISH below the listener's mount point, if it is one that the listener grants.
    private func meetsGrants(
        _ publish: inout Publish,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) -> Bool {
        let grants = connection.grants
        guard publish.qos <= grants.qosMax else {
            let error = MQTTError(.qosNotSupported, "MQTT-3.2.2-11", "the quality of service is beyond Maximum QoS")
            violated(connection.id, error: error, now: now, effects: &effects)
            return false
        }
        guard !publish.retain || grants.isRetainAvailable else {
            let error = MQTTError(.retainNotSupported, "MQTT-3.2.2-14", "a message is retained, and nothing may be")
            violated(connection.id, error: error, now: now, effects: &effects)
            return false
        }
        publish.topic = grants.mounted(publish.topic)
        return true
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
        guard alias > 0 && alias <= connection.grants.topicAliasMaximum else {
            let error = MQTTError(.topicAliasInvalid, "MQTT-3.3.2-9", "a topic alias is beyond Topic Alias Maximum")
            violated(connection.id, error: error, now: now, effects: &effects)
            return false
        }
        if !publish.topic.isEmpty {
            connection.aliases[alias] = publish.topic.copied()
            return true
        }
        guard let topic = connection.aliases[alias] else {
            let error = MQTTError(
                .topicAliasInvalid,
                "section 3.3.4",
                "a topic alias was never set",
                mosquitto: .reason(.protocolError)
            )
            violated(connection.id, error: error, now: now, effects: &effects)
            return false
        }
        publish.topic = topic
        return true
    }

    /// A QoS 2 PUBLISH that we have already: it is answered, but not published again [MQTT-4.3.3-10]. If its record is
    /// still on the way to the disk, the answer that is held will do. False if it is a new one.
    private func answerRepeated(
        _ publish: Publish,
        on connection: Connection,
        of session: Session,
        effects: inout Effects
    ) -> Bool {
        guard session.inboundQoS2.contains(publish.packetID) else { return false }
        if let record = session.lastInboundRecord[publish.packetID], record.sequence > committedSequence {
            guard record.connection != connection.id else { return true }
            // It was held for a connection that is gone: the answer moves to this one.
            session.lastInboundRecord[publish.packetID]?.connection = connection.id
            hold(
                until: record.sequence,
                .publishAnswer(
                    connection.id,
                    qos: .exactlyOnce,
                    packetID: publish.packetID,
                    reason: .success
                )
            )
            return true
        }
        effects.list.append(.acknowledge(connection.id, .pubrec, packetID: publish.packetID, reason: .success))
        return true
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

    /// Sets or, with an empty payload, removes the topic's retained message [MQTT-3.3.1-5], [MQTT-3.3.1-6].
    func keep(_ message: Message) {
        if message.payload.readableBytes == 0 {
            setRetained(message.topic, nil)
        } else if retained.count < configuration.retainedMessagesMax || retained[message.topic] != nil {
            keptOrder &+= 1
            message.keptOrder = keptOrder
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
