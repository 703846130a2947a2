import DequeModule
import MQTT

// The life of a session: made, taken over, parted from its connection, ended (MQTT 5.0 sections 3.14, 4.1).
extension BrokerCore {
    func makeSession(_ identity: Identity, expirySeconds: UInt32) -> Session? {
        guard sessionsByIdentity.count < configuration.sessionsMax else { return nil }
        let session = addSession(number: nextSessionNumber, identity, expirySeconds: expirySeconds)
        nextSessionNumber &+= 1
        return session
    }

    func addSession(number: UInt32, _ identity: Identity, expirySeconds: UInt32) -> Session {
        let index = freeSessionIndices.popLast() ?? UInt32(sessions.count)
        let session = Session(number: number, index: index, identity: identity, expirySeconds: expirySeconds)
        if Int(index) == sessions.count { sessions.append(session) } else { sessions[Int(index)] = session }
        sessionsByIdentity[identity] = session
        sessionsByNumber[number] = session
        register(session)
        return session
    }

    /// Ends a session with all it holds.
    func end(_ session: Session, now: BrokerTime, effects: inout Effects) {
        for filter in session.subscriptions.keys { table.remove(filter, session) }
        handOver(session, withUnacknowledged: true, now: now, effects: &effects)
        forget(session)
        // The end of a session makes a delayed will due [MQTT-3.1.3-9]. The will first, so that a crash in between does
        // not lose it.
        if let delayed = delayedWills[session.number] { publishDelayed(delayed, now: now, effects: &effects) }
        if session.isPersistent { note(.sessionClosed(session: session.number), &effects) }
    }

    func forget(_ session: Session) {
        sessions[Int(session.index)] = nil
        freeSessionIndices.append(session.index)
        sessionsByNumber[session.number] = nil
        unregister(session)
        if sessionsByIdentity[session.identity] === session { sessionsByIdentity[session.identity] = nil }
        stopRetained(session)
        session.queue = []
        session.queuedBytes = 0
        session.queuedResidentBytes = 0
        table.forget()
    }

    /// A new connection of the same client takes the session [MQTT-3.1.4-3].
    func takeOver(_ old: Connection, cleanStart: Bool, now: BrokerTime, effects: inout Effects) {
        counters.takeovers &+= 1
        if configuration.followsMosquitto && !cleanStart && old.session?.isPersistent == true {
            // The client is there, and so is its session.
            forgetWill(of: old, &effects)
        }
        close(
            old,
            CloseReason(.sessionTakenOver, statement: "MQTT-3.1.4-3", "another connection took the session"),
            effects: &effects
        )
        detach(old, now: now, effects: &effects)
    }

    // MARK: - The end of a connection

    func handle(_ disconnect: Disconnect, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        if let session = connection.session, let expiry = disconnect.properties.sessionExpirySeconds {
            guard session.expirySeconds > 0 || expiry == 0 else {
                // [MQTT-3.1.2-23]
                let error = MQTTError(.protocolError, "section 3.14.2.2.2", "DISCONNECT revives an expiry of zero")
                violated(connection.id, error: error, now: now, effects: &effects)
                return
            }
            let granted = min(expiry, configuration.sessionExpirySecondsMax)
            if granted != session.expirySeconds {
                if granted == 0 {
                    note(.sessionClosed(session: session.number), &effects)
                    session.storedWill = nil
                }
                session.expirySeconds = granted
                if granted > 0 { note(.sessionOpened(session.stored), &effects) }
                table.forget()
            }
        }
        if disconnect.reason == .success { forgetWill(of: connection, &effects) }  // [MQTT-3.14.4-3]
        connection.state = .closing
        let reason = CloseReason(.success, "the client disconnected")
        connection.closeReason = reason
        effects.list.append(.close(connection.id, reason))
        // At once, not when the transport is gone: nothing may be given to a client that has said goodbye.
        detach(connection, now: now, effects: &effects)
    }

    /// Parts a session from its connection; its will, where it is due, goes out.
    func detach(_ connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard let session = connection.session else { return }
        connection.session = nil
        auditDisconnected(connection, session, effects: &effects)
        guard session.connection === connection else { return }
        session.connection = nil
        session.detached = now
        if let will = connection.will {
            connection.will = nil
            let delay = will.properties.willDelaySeconds ?? 0
            if delay == 0 || !session.isPersistent {
                publish(will, of: session, now: now, effects: &effects)
            } else {
                let due = now.monotonicNanoseconds &+ UInt64(delay) &* 1_000_000_000
                delayedWills[session.number] = DelayedWill(session: session, will: will, dueNanoseconds: due)
            }
        }
        if session.isPersistent {
            note(.sessionDetached(session: session.number, wallMilliseconds: now.wallMilliseconds), &effects)
            handOver(session, withUnacknowledged: false, now: now, effects: &effects)
        } else {
            end(session, now: now, effects: &effects)
        }
    }
}

extension Session {
    var stored: StoredSession {
        StoredSession(
            session: number,
            clientID: identity.clientID,
            username: identity.username,
            expirySeconds: expirySeconds
        )
    }
}
