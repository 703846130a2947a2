import MQTT

// SUBSCRIBE, UNSUBSCRIBE and what is retained (MQTT 5.0 sections 3.8 to 3.11, 3.3.1.3).
extension BrokerCore {
    func handle(_ subscribe: Subscribe, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard let session = connection.session else { return }
        let identifier =
            subscribe.properties.first { property -> UInt32? in
                guard case .subscriptionIdentifier(let value) = property else { return nil }
                return value
            } ?? 0
        var reasons: [ReasonCode] = []
        var retainedWanted: [RetainedWanted] = []
        var sequence: UInt64?
        for request in subscribe.requests {
            switch check(request, session) {
            case .refused(let error):
                if error.reason == .protocolError {
                    violated(connection.id, error: error, now: now, effects: &effects)
                    return
                }
                reasons.append(error.reason)
            case .granted(let filter):
                let subscription = Subscription(
                    options: request.options,
                    identifier: identifier,
                    sharedFilter: filter.isShared ? filter : nil
                )
                let isNew = session.subscriptions.updateValue(subscription, forKey: filter) == nil
                table.insert(filter, subscriber: session.index, subscription)
                reasons.append(ReasonCode(rawValue: request.options.qos.rawValue))
                if session.isPersistent {
                    let stored = StoredSubscription(
                        filter: filter.string,
                        options: request.options,
                        identifier: identifier
                    )
                    sequence = note(.subscribed(session: session.number, stored), &effects)
                }
                let handling = request.options.retainHandling
                // Never for shared subscriptions (section 4.8.2).
                if !filter.isShared && (handling == .sendAtSubscribe || (handling == .sendIfNew && isNew)) {
                    retainedWanted.append(
                        RetainedWanted(filter: filter, qos: request.options.qos, identifier: identifier)
                    )
                }
            }
        }
        let suback = Suback(packetID: subscribe.packetID, reasons: reasons)
        if let sequence, journalAvailable {
            // A persistent session's subscription is promised to last, so the promise waits for the disk.
            hold(until: sequence, .suback(connection.id, suback, retainedWanted))
        } else {
            effects.list.append(.send(connection.id, .suback(suback)))
            sendRetained(retainedWanted, to: session, now: now, effects: &effects)
        }
    }

    private enum Checked {
        case granted(TopicFilter)
        case refused(MQTTError)
    }

    private func check(_ request: Subscribe.Request, _ session: Session) -> Checked {
        let filter: TopicFilter
        do {
            filter = try TopicFilter(request.filter, maxLevels: configuration.topicLevelsMax)
        } catch {
            return .refused(error)
        }
        if filter.isShared && request.options.noLocal {
            return .refused(MQTTError(.protocolError, "MQTT-3.8.3-4", "no local on a shared subscription"))
        }
        guard session.isUnrestricted || authorizer.maySubscribe(session.identity, filter: filter) else {
            return .refused(MQTTError(.notAuthorized, "section 3.9.3", "the filter is not allowed"))
        }
        guard session.subscriptions.count < configuration.subscriptionsPerSessionMax
            || session.subscriptions[filter] != nil
        else { return .refused(MQTTError(.quotaExceeded, "section 3.9.3", "the session has its maximum")) }
        return .granted(filter)
    }

    func sendRetained(_ wanted: [RetainedWanted], to session: Session, now: BrokerTime, effects: inout Effects) {
        for item in wanted {
            var found: [Message] = []
            retained.forEachMatch(item.filter) { _, message in found.append(message) }
            let identifiers = item.identifier == 0 ? [] : [item.identifier]
            for message in found {
                guard message.expiresNanoseconds > now.monotonicNanoseconds else {
                    _ = retained.set(message.topic, nil)
                    counters.drop(.expired)
                    continue
                }
                let qos = min(message.qos, item.qos)
                if qos == .atMostOnce {
                    push(message, to: session, retain: true, identifiers, now: now, effects: &effects)
                } else {
                    enqueue(
                        message,
                        reference: nil,
                        qos: qos,
                        retain: true,
                        identifiers,
                        to: session,
                        now: now,
                        effects: &effects
                    )
                }
            }
        }
    }

    func handle(_ unsubscribe: Unsubscribe, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard let session = connection.session else { return }
        var reasons: [ReasonCode] = []
        var sequence: UInt64?
        for text in unsubscribe.filters {
            let filter: TopicFilter
            do {
                filter = try TopicFilter(text, maxLevels: configuration.topicLevelsMax)
            } catch {
                reasons.append(.topicFilterInvalid)
                continue
            }
            guard session.subscriptions.removeValue(forKey: filter) != nil else {
                reasons.append(.noSubscriptionExisted)
                continue
            }
            table.remove(filter, subscriber: session.index)
            reasons.append(.success)
            if session.isPersistent {
                sequence = note(.unsubscribed(session: session.number, filter: filter.string), &effects)
            }
        }
        let unsuback = Unsuback(packetID: unsubscribe.packetID, reasons: reasons)
        if let sequence, journalAvailable {
            hold(until: sequence, .unsuback(connection.id, unsuback))
        } else {
            effects.list.append(.send(connection.id, .unsuback(unsuback)))
        }
    }
}

/// Retained messages that a new subscription asks for.
struct RetainedWanted {
    let filter: TopicFilter
    let qos: QoS
    let identifier: UInt32
}
