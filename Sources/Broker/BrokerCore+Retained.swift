import DequeModule
import MQTT
import NIOCore

// Retained messages for new subscriptions: a few at once, many over as many turns as it takes (section 3.3.1.3).

/// A subscription whose retained messages are handed out over many turns.
struct RetainedScan {
    let session: Session
    let wanted: RetainedWanted
    /// Where in the index it goes on.
    var position = 0
    /// What was retained later, the client is given as a message of its subscription.
    let order: UInt64
}

extension BrokerCore {
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

    /// Hands out the retained messages of new subscriptions, behind their SUBACK.
    func sendRetained(_ wanted: [RetainedWanted], to session: Session, now: BrokerTime, effects: inout Effects) {
        for item in wanted {
            stopRetained(session, item.filter)
            var found: [Message] = []
            var isAll = true
            retained.forEachMatch(item.filter) { _, message in
                guard found.count < configuration.retainedMessagesPerTurn else {
                    isAll = false
                    return false
                }
                if item.wants(message, session) { found.append(message) }
                return true
            }
            // The broker's own topics are few.
            system.retained.forEachMatch(item.filter) { _, message in
                hand(message, item, to: session, now: now, effects: &effects)
            }
            guard isAll else {
                retainedScans.append(RetainedScan(session: session, wanted: item, order: keptOrder))
                continue
            }
            for message in found { hand(message, item, to: session, now: now, effects: &effects) }
        }
        sourceRights.removeAll()
        drain(session, now: now, effects: &effects)
    }

    /// Goes on with subscriptions to many retained messages, in turn, each as fast as its client takes them.
    func continueRetained(now: BrokerTime, effects: inout Effects) {
        var messagesLeft = configuration.retainedMessagesPerTurn
        var topicsLeft = configuration.retainedTopicsPerTurn
        var isReady = false
        for _ in 0..<retainedScans.count {
            guard let scan = retainedScans.popFirst() else { break }
            guard takesRetained(scan.session) else {
                retainedScans.append(scan)
                continue
            }
            guard messagesLeft > 0 && topicsLeft > 0 else {
                isReady = true
                retainedScans.prepend(scan)
                break
            }
            let next = hand(scan, &messagesLeft, &topicsLeft, now: now, effects: &effects)
            if let next {
                isReady = isReady || takesRetained(next.session)
                retainedScans.append(next)
            }
        }
        sourceRights.removeAll()
        handsOutRetained = isReady
    }

    /// One slice of a subscription's retained messages; what is left of it.
    private func hand(
        _ scan: RetainedScan,
        _ messagesLeft: inout Int,
        _ topicsLeft: inout Int,
        now: BrokerTime,
        effects: inout Effects
    ) -> RetainedScan? {
        let wanted = scan.wanted
        var found: [Message] = []
        // No more topics than messages may go, so that the slice ends where the count does.
        let places = min(topicsLeft, messagesLeft)
        let next = retained.forEach(from: scan.position, places: places) { topic, message in
            guard message.keptOrder <= scan.order, wanted.wants(message, scan.session), wanted.filter.matches(topic)
            else { return }
            found.append(message)
        }
        topicsLeft -= places
        messagesLeft -= found.count
        for message in found { hand(message, wanted, to: scan.session, now: now, effects: &effects) }
        drain(scan.session, now: now, effects: &effects)
        guard let next else { return nil }
        var rest = scan
        rest.position = next
        return rest
    }

    /// Whether a session may be given another slice: its client reads, and what it was given before does not pile up.
    private func takesRetained(_ session: Session) -> Bool {
        guard let connection = session.connection, connection.isWritable else { return false }
        let room = min(configuration.retainedMessagesPerTurn, configuration.queuedMessagesMax)
        return session.queue.count < max(1, room / 2)
    }

    private func hand(
        _ message: Message,
        _ wanted: RetainedWanted,
        to session: Session,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard message.expiresNanoseconds > now.monotonicNanoseconds else {
            setRetained(message.topic, nil)
            counters.drop(.expired)
            return
        }
        guard maySourceStillPublish(message) else {
            counters.drop(.notAuthorized)
            return
        }
        let identifiers = wanted.identifier == 0 ? [] : [wanted.identifier]
        let qos = outgoingQoS(message, wanted.qos)
        if qos == .atMostOnce {
            push(message, to: session, retain: true, identifiers, now: now, effects: &effects)
        } else if session.isPersistent && journalAvailable && journalRoom == .ample && !message.topic.isSystem {
            enqueueCopy(message, qos, identifiers, to: session, &effects)
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

    /// Whether the client that published a retained message may still do so (`check_retain_source`).
    private func maySourceStillPublish(_ message: Message) -> Bool {
        guard configuration.checksRetainSource, let source = message.source else { return true }
        let rights = sourceRights[source] ?? authorizer.rights(of: source.identity, listener: source.listener)
        sourceRights[source] = rights
        return rights.allowsEverything || rights.mayPublish(message.topic)
    }

    /// Hands out no more for a subscription that has ended, or begins anew; for all of a session that has.
    func stopRetained(_ session: Session, _ filter: TopicFilter? = nil) {
        guard !retainedScans.isEmpty else { return }
        retainedScans.removeAll { scan in
            scan.session === session && (filter.map { $0 == scan.wanted.filter } ?? true)
        }
    }
}

extension RetainedWanted {
    /// Whether a message goes to the session, as far as no local has a say [MQTT-3.8.3-3].
    fileprivate func wants(_ message: Message, _ session: Session) -> Bool {
        !noLocal || message.origin != .client || message.publisher != session.identity.clientID
    }
}

extension ReasonCode {
    /// Whether it sends the client to another server (section 4.11).
    var sendsElsewhere: Bool { self == .useAnotherServer || self == .serverMoved }
}
