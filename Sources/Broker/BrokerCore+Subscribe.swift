import MQTT
import NIOCore

// SUBSCRIBE, UNSUBSCRIBE and what is retained (MQTT 5.0 sections 3.8 to 3.11, 3.3.1.3).
extension BrokerCore {
    func handle(_ subscribe: Subscribe, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard let session = connection.session else { return }
        let identifier = subscribe.properties.subscriptionIdentifier
        var filters: [Result<TopicFilter, MQTTError>] = []
        for request in subscribe.requests {
            let filter = parse(request, connection)
            if case .failure(let error) = filter, endsConnection(error) {
                // Before anything is applied: a packet that breaks a rule leaves nothing behind.
                violated(connection.id, error: error, now: now, effects: &effects)
                return
            }
            filters.append(filter)
        }
        var reasons: [ReasonCode] = []
        var retainedWanted: [RetainedWanted] = []
        var noted: [HeldSuback.Noted] = []
        for (request, parsed) in zip(subscribe.requests, filters) {
            let filter: TopicFilter
            do {
                filter = try parsed.get()
                try check(filter, session)
            } catch {
                reasons.append(error.reason)
                if error.reason == .notAuthorized {
                    auditDenial(
                        .subscribeDenied,
                        connection,
                        session,
                        subject: request.filter,
                        now: now,
                        effects: &effects
                    )
                }
                continue
            }
            var options = request.options
            options.qos = min(options.qos, connection.grants.qosMax)
            if connection.isBridge {
                // What 5.0 has options for, bridges of 3.x are given without asking.
                options.noLocal = true
                options.retainAsPublished = true
            }
            let subscription = Subscription(
                options: options,
                identifier: identifier,
                sharedFilter: filter.isShared ? filter : nil
            )
            let previous = session.subscriptions[filter]
            if previous != subscription {
                if session.isPersistent && configuration.isDurable {
                    guard journalAvailable && journalRoom == .ample else {
                        // It could not be kept, and the client would rely on it.
                        reasons.append(.quotaExceeded)
                        continue
                    }
                    session.lastSubscribedRecord = note(
                        .subscribed(session: session.number, subscription.stored(filter)),
                        &effects
                    )
                    noted.append(HeldSuback.Noted(index: reasons.count, filter: filter, previous: previous))
                }
                session.subscriptions[filter] = subscription
                table.insert(filter, session, subscription)
            }
            reasons.append(ReasonCode(rawValue: options.qos.rawValue))
            let handling = request.options.retainHandling
            // Never for shared subscriptions (section 4.8.2).
            if !filter.isShared && (handling == .sendAtSubscribe || (handling == .sendIfNew && previous == nil)) {
                retainedWanted.append(
                    RetainedWanted(
                        filter: filter,
                        qos: options.qos,
                        noLocal: request.options.noLocal,
                        identifier: identifier
                    )
                )
            }
        }
        let suback = HeldSuback(
            connection: connection.id,
            suback: Suback(packetID: subscribe.packetID, reasons: reasons),
            retainedWanted: retainedWanted,
            noted: noted
        )
        answer(suback, session, now: now, effects: &effects)
    }

    /// A persistent session's subscription is promised to last, so the promise waits for the disk.
    private func answer(_ suback: HeldSuback, _ session: Session, now: BrokerTime, effects: inout Effects) {
        if session.lastSubscribedRecord > committedSequence && journalAvailable {
            hold(until: session.lastSubscribedRecord, .suback(suback))
        } else {
            perform(.suback(suback), now: now, effects: &effects)
        }
    }

    private func endsConnection(_ error: MQTTError) -> Bool {
        error.reason == .protocolError || configuration.followsMosquitto
    }

    private func parse(_ request: Subscribe.Request, _ connection: Connection) -> Result<TopicFilter, MQTTError> {
        do {
            let filter = try TopicFilter(
                connection.grants.mounted(request.filter),
                maxLevels: configuration.topicLevelsMax
            )
            guard !filter.isShared || !request.options.noLocal else {
                return .failure(MQTTError(.protocolError, "MQTT-3.8.3-4", "no local on a shared subscription"))
            }
            return .success(filter)
        } catch {
            return .failure(error)
        }
    }

    private func check(_ filter: TopicFilter, _ session: Session) throws(MQTTError) {
        guard maySubscribe(session, filter) else {
            throw MQTTError(.notAuthorized, "section 3.9.3", "the filter is not allowed")
        }
        guard
            session.subscriptions.count < configuration.subscriptionsPerSessionMax
                || session.subscriptions[filter] != nil
        else { throw MQTTError(.quotaExceeded, "section 3.9.3", "the session has its maximum") }
    }

    /// The journal did not take these subscriptions: it is as if they had never been made.
    func takeBack(_ noted: [HeldSuback.Noted], of session: Session) {
        for item in noted.reversed() {
            session.subscriptions[item.filter] = item.previous
            if let previous = item.previous {
                table.insert(item.filter, session, previous)
            } else {
                table.remove(item.filter, session)
            }
        }
    }

    /// A retained message for a persistent session: its own record may be gone from the journal, so a copy is noted
    /// with the session. It is sent when the disk has it.
    func enqueueCopy(
        _ message: Message,
        _ qos: QoS,
        _ identifiers: [UInt32],
        to session: Session,
        _ effects: inout Effects
    ) {
        guard mayReceive(session, message.topic) else { return }
        let isFull =
            session.queue.count >= configuration.queuedMessagesMax
            || session.queuedBytes &+ message.byteCount > configuration.queuedBytesMax
        guard !isFull || (configuration.overflow == .dropOldest && message.byteCount <= configuration.queuedBytesMax)
        else {
            counters.drop(.queueFull)
            return
        }
        let reference = nextCopyReference(&effects)
        guard append(message, reference, qos, true, identifiers, toQueueOf: session, &effects) else { return }
        let copy = StoredCopy(reference: reference, qos: qos, subscriptionIDs: identifiers, message: message.stored())
        note(.copy(session: session.number, copy), &effects)
    }

    /// Sends SUBACK or UNSUBACK, unless it is larger than the client takes [MQTT-3.1.2-24]: without it the client could
    /// not go on, so then the connection ends. False if it has ended.
    @discardableResult
    func answer(_ packet: Packet, on connection: Connection, now: BrokerTime, effects: inout Effects) -> Bool {
        if connection.isV5 && connection.clientPacketBytesMax != .max {
            var bytes = ByteBuffer()
            PacketEncoder.encode(packet, version: .v5, into: &bytes)
            guard bytes.readableBytes <= Int(connection.clientPacketBytesMax) else {
                let message = "the client asks for more at once than it takes an answer for"
                close(connection, CloseReason(.packetTooLarge, statement: "MQTT-3.1.2-24", message), effects: &effects)
                detach(connection, now: now, effects: &effects)
                return false
            }
        }
        effects.list.append(.send(connection.id, packet))
        return true
    }

    func handle(_ unsubscribe: Unsubscribe, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard let session = connection.session else { return }
        var filters: [TopicFilter?] = []
        for text in unsubscribe.filters {
            do {
                filters.append(
                    try TopicFilter(connection.grants.mounted(text), maxLevels: configuration.topicLevelsMax)
                )
            } catch {
                guard !endsConnection(error) else {
                    violated(connection.id, error: error, now: now, effects: &effects)
                    return
                }
                filters.append(nil)
            }
        }
        var reasons: [ReasonCode] = []
        var sequence: UInt64?
        for filter in filters {
            guard let filter else {
                reasons.append(.topicFilterInvalid)
                continue
            }
            guard mayUnsubscribe(session, filter) else {
                reasons.append(.notAuthorized)
                continue
            }
            guard session.subscriptions.removeValue(forKey: filter) != nil else {
                reasons.append(.noSubscriptionExisted)
                continue
            }
            table.remove(filter, session)
            stopRetained(session, filter)
            if filter.isShared {
                handOver(session, onlyOf: filter, withUnacknowledged: false, now: now, effects: &effects)
            }
            reasons.append(.success)
            if session.isPersistent {
                sequence = note(.unsubscribed(session: session.number, filter: filter.string), &effects)
            }
        }
        let unsuback = Unsuback(packetID: unsubscribe.packetID, reasons: reasons)
        if let sequence, journalAvailable {
            hold(until: sequence, .unsuback(connection.id, unsuback))
        } else {
            answer(.unsuback(unsuback), on: connection, now: now, effects: &effects)
        }
    }
}

/// Retained messages that a new subscription asks for.
struct RetainedWanted {
    let filter: TopicFilter
    let qos: QoS
    let noLocal: Bool
    let identifier: UInt32
}

/// SUBACK that waits for the record of its subscriptions.
struct HeldSuback {
    /// A subscription that stands in the record.
    struct Noted {
        /// Its place in the packet.
        let index: Int
        let filter: TopicFilter
        let previous: Subscription?
    }

    let connection: ConnectionID
    let suback: Suback
    let retainedWanted: [RetainedWanted]
    let noted: [Noted]
}

extension Properties {
    /// The subscription identifier, 0 for none.
    fileprivate var subscriptionIdentifier: UInt32 {
        first { if case .subscriptionIdentifier(let value) = $0 { value } else { nil } } ?? 0
    }
}
