import DequeModule
import MQTT
import NIOCore

// PUBLISH from a client: alias, grants, flow control, size and rights, then `distribute` (MQTT 5.0 sections 3.3, 4.3).
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
        case .refused: refuse(publish.qos, publish.packetID, on: connection, effects: &effects)
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
    var keepsQoS0: Bool { configuration.upgradesOutgoingQoS || configuration.queuesQoS0 }

    /// Whether clients may publish to the topic, whatever their rights: `$SYS` is the broker's, except for the state of
    /// bridges, which those report themselves, and `$share` is no topic.
    func mayCarry(_ topic: TopicName) -> Bool {
        guard topic.isReserved else { return true }
        guard configuration.allowsDollarTopics else { return false }
        let text = topic.bytes.readableBytesView
        guard text.starts(with: "$SYS".utf8) else { return !text.starts(with: "$share".utf8) && !topic.isControl }
        return topic.isBridgeState
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
}
