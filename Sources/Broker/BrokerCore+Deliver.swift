import MQTT
import NIOCore

// From a message to its receivers: the gate, flow control, queues (MQTT 5.0 sections 4.6, 4.9).
extension BrokerCore {
    /// Hands a message that no journal holds to whoever is there.
    func deliver(
        _ message: Message,
        to list: RouteList,
        from sender: Session?,
        now: BrokerTime,
        effects: inout Effects
    ) {
        for route in list.routes {
            if route.noLocal && route.session === sender { continue }
            deliver(message, by: route, now: now, effects: &effects)
        }
        for group in list.groups {
            guard let route = choose(from: group, for: message.topic, message.qos) else { continue }
            deliver(message, by: route, share: group, now: now, effects: &effects)
        }
    }

    /// The quality of service that a message goes out with.
    func outgoingQoS(_ message: Message, _ granted: QoS) -> QoS {
        configuration.upgradesOutgoingQoS ? granted : min(message.qos, granted)
    }

    /// Whether a QoS 0 message waits for the session's client.
    private func waitsForClient(_ session: Session) -> Bool {
        configuration.queuesQoS0 && session.connection == nil && session.isPersistent
    }

    func deliver(
        _ message: Message,
        by route: Route,
        share: SharedGroup? = nil,
        now: BrokerTime,
        effects: inout Effects
    ) {
        let qos = outgoingQoS(message, route.qos)
        let retain = route.retainAsPublished && message.retain
        if qos == .atMostOnce && !waitsForClient(route.session) {
            push(message, to: route.session, retain: retain, route.subscriptionIDs, now: now, effects: &effects)
        } else {
            enqueue(
                message,
                reference: nil,
                qos: qos,
                retain: retain,
                route.subscriptionIDs,
                share: share,
                to: route.session,
                now: now,
                effects: &effects
            )
        }
    }

    /// QoS 0: now or never.
    func push(
        _ message: Message,
        to session: Session,
        retain: Bool,
        _ subscriptionIDs: [UInt32],
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let connection = session.connection, mayReceive(session, message.topic) else { return }
        guard connection.isWritable else {
            counters.drop(.slowConsumer)
            return
        }
        send(
            message,
            on: connection,
            packetID: 0,
            qos: .atMostOnce,
            retain: retain,
            duplicate: false,
            subscriptionIDs,
            now: now,
            effects: &effects
        )
    }

    /// QoS 1 and 2 without a journal reference: into flight if the window allows, else into the session's queue.
    func enqueue(
        _ message: Message,
        reference: MessageReference?,
        qos: QoS,
        retain: Bool,
        _ subscriptionIDs: [UInt32],
        share: SharedGroup? = nil,
        to session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) {
        // A persistent session's QoS 2 identifier that no disk knows would be used again after a restart, while the
        // client may hold it: it would take the next message for this one. So what no journal holds comes at least
        // once.
        let isForgotten = reference == nil && session.isPersistent && configuration.isDurable
        let qos = isForgotten ? min(qos, .atLeastOnce) : qos
        if canSendAtOnce(session) {
            guard mayReceive(session, message.topic), let connection = session.connection else { return }
            let packetID = session.inflight.insert(
                message: message,
                reference: reference,
                qos: qos,
                retain: retain,
                subscriptionIDs: subscriptionIDs,
                share: share,
                state: .sent
            )
            send(
                message,
                on: connection,
                packetID: packetID,
                qos: qos,
                retain: retain,
                duplicate: false,
                subscriptionIDs,
                now: now,
                effects: &effects
            )
        } else if session.connection != nil || session.isPersistent {
            _ = append(message, reference, qos, retain, subscriptionIDs, share: share, toQueueOf: session, &effects)
        }
    }

    /// One receiver of a message whose record is being written.
    func give(
        _ message: Message,
        _ reference: MessageReference,
        to route: Route,
        share: SharedGroup? = nil,
        deferred: Bool,
        now: BrokerTime,
        recipients: inout [StoredMessage.Recipient],
        effects: inout Effects
    ) {
        let session = route.session
        let qos = outgoingQoS(message, route.qos)
        let retain = route.retainAsPublished && message.retain
        if qos == .atMostOnce && !waitsForClient(session) {
            if deferred {
                hold(until: reference.record, .push(message, session, retain: retain, route.subscriptionIDs))
            } else {
                push(message, to: session, retain: retain, route.subscriptionIDs, now: now, effects: &effects)
            }
            return
        }
        guard session.isPersistent || session.connection != nil, mayReceive(session, message.topic) else { return }
        var packetID: UInt16 = 0
        if canSendAtOnce(session), let connection = session.connection {
            // QoS 2 must not be out before the disk holds it: a crash would have the publisher send it again.
            let waits = deferred || qos == .exactlyOnce
            packetID = session.inflight.insert(
                message: message,
                reference: reference,
                qos: qos,
                retain: retain,
                subscriptionIDs: route.subscriptionIDs,
                share: share,
                state: waits ? .awaitingCommit : .sent
            )
            if waits {
                hold(until: reference.record, .sendInflight(connection.id, packetID: packetID))
            } else {
                send(
                    message,
                    on: connection,
                    packetID: packetID,
                    qos: qos,
                    retain: retain,
                    duplicate: false,
                    route.subscriptionIDs,
                    now: now,
                    effects: &effects
                )
            }
        } else {
            let identifiers = route.subscriptionIDs
            guard append(message, reference, qos, retain, identifiers, share: share, toQueueOf: session, &effects)
            else { return }
        }
        guard session.isPersistent else { return }
        recipients.append(
            StoredMessage.Recipient(
                session: session.number,
                qos: qos,
                retain: retain,
                packetID: packetID,
                subscriptionIDs: route.subscriptionIDs,
                share: share?.filter.string
            )
        )
    }

    func canSendAtOnce(_ session: Session) -> Bool {
        guard let connection = session.connection, connection.isWritable, session.queue.isEmpty,
            session.inflight.dueCount == 0
        else { return false }
        return hasRoomInFlight(session, connection)
    }

    /// Whether another message may be on the way to the client.
    func hasRoomInFlight(_ session: Session, _ connection: Connection) -> Bool {
        let bytesMax = configuration.inflightBytesMax
        return session.inflight.openCount < connection.window
            && (bytesMax == 0 || session.inflight.payloadBytes < bytesMax)
    }

    /// Writes one PUBLISH, unless it is larger than the client takes [MQTT-3.1.2-24].
    func send(
        _ message: Message,
        on connection: Connection,
        packetID: UInt16,
        qos: QoS,
        retain: Bool,
        duplicate: Bool,
        _ subscriptionIDs: [UInt32],
        now: BrokerTime,
        effects: inout Effects
    ) {
        var secondsLeft: UInt32 = 0
        if message.expires {
            let isOver = message.expiresNanoseconds <= now.monotonicNanoseconds
            // What was sent once does not expire any more [MQTT-4.3.3-7].
            guard !isOver || duplicate else {
                giveUp(packetID, on: connection, .expired, &effects)
                return
            }
            let left = isOver ? 0 : message.expiresNanoseconds &- now.monotonicNanoseconds &+ 999_999_999
            secondsLeft = UInt32(clamping: left / 1_000_000_000)
        }
        guard let mountBytes = connection.grants.mountBytes(of: message.topic) else {
            // The session came by another listener, whose clients live elsewhere.
            giveUp(packetID, on: connection, .notAuthorized, &effects)
            return
        }
        var room = Int.max
        if connection.isV5 && connection.clientPacketBytesMax != .max {
            let encoded = message.encoding(isV5: true, withPacketID: qos != .atMostOnce).readableBytes
            // Subscription identifiers take at most five bytes each, the two lengths they make longer three bytes each.
            let own = subscriptionIDs.isEmpty ? 0 : 5 &* subscriptionIDs.count &+ 6
            room = Int(connection.clientPacketBytesMax) &- encoded &- own
            guard room >= 0 else {
                giveUp(packetID, on: connection, .oversize, &effects)
                return
            }
        }
        var alias: (alias: UInt16, isKnown: Bool) = (0, false)
        // An alias takes three bytes and may make two lengths longer; it must not make the packet too large.
        if connection.aliasesGivenMax > 0 && room >= 9 { alias = connection.aliasGiven(for: message.topic) }
        counters.sent(payloadBytes: message.payload.readableBytes)
        effects.list.append(
            .deliver(
                connection.id,
                Delivery(
                    message: message,
                    subscriptionIDs: connection.isV5 ? subscriptionIDs : [],
                    packetID: packetID,
                    qos: qos,
                    isV5: connection.isV5,
                    retain: retain,
                    duplicate: duplicate,
                    topicAlias: alias.alias,
                    mountBytes: UInt16(clamping: mountBytes),
                    omitsTopic: alias.isKnown,
                    expirySecondsLeft: secondsLeft
                )
            )
        )
    }

    /// An exchange of a message that the client may not have any more ends as if it had been acknowledged.
    func forgetExchange(_ packetID: UInt16, of session: Session, isJournaled: Bool) {
        _ = session.inflight.remove(packetID)
        guard isJournaled && session.isPersistent else { return }
        noteAfterRecord(.acknowledged(session: session.number, packetID: packetID))
    }

    /// An exchange that cannot be sent ends as if it had been acknowledged.
    private func giveUp(
        _ packetID: UInt16,
        on connection: Connection,
        _ reason: BrokerStatistics.DropReason,
        _ effects: inout Effects
    ) {
        counters.drop(reason)
        guard packetID != 0, let session = connection.session, let entry = session.inflight.remove(packetID),
            entry.reference != nil, session.isPersistent
        else { return }
        noteAfterRecord(.acknowledged(session: session.number, packetID: packetID))
    }
}
