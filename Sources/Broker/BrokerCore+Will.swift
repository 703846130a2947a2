import MQTT

// Wills: due when a connection breaks, after a delay, or after a restart (MQTT 5.0 section 3.1.2.5).
extension BrokerCore {
    /// Seconds that a client without keep alive has to come back after a restart before its will is due.
    private static let secondsToComeBack: UInt32 = 60

    /// Publishes a will as its client would have [MQTT-3.1.2-8], once: the record that holds it says that it is not
    /// stored any more.
    func publish(_ will: Will, of session: Session, now: BrokerTime, effects: inout Effects) {
        let isStored = session.isPersistent && session.storedWill != nil
        // It would come again after the restart: so it comes then.
        if isStored && !journalAvailable { return }
        var isForgotten = false
        defer { if !isForgotten { forgetStoredWill(of: session, &effects) } }
        guard mayPublish(session, will.topic), session.isTrusted || mayCarry(will.topic) else {
            counters.drop(.notAuthorized)
            return
        }
        let properties = will.properties.withoutWillDelay
        let message = Message(
            topic: will.topic.copied(),
            payload: ByteBufferCopy.of(will.payload),
            properties: properties,
            qos: will.qos,
            retain: will.retain,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: properties.expiryInstant(now),
            origin: .will,
            publisher: session.identity.clientID,
            source: will.retain ? session.source : nil
        )
        let outcome = distribute(
            message,
            from: nil,
            inboundPacketID: 0,
            together: isStored ? .willCleared(session: session.number) : nil,
            deferred: false,
            now: now,
            effects: &effects
        )
        guard case .journaled = outcome else { return }
        session.storedWill = nil
        isForgotten = true
    }

    /// Publishes a will whose time has come.
    func publishDelayed(_ delayed: DelayedWill, now: BrokerTime, effects: inout Effects) {
        delayedWills[delayed.session.number] = nil
        publish(delayed.will, of: delayed.session, now: now, effects: &effects)
    }

    // MARK: - In the journal

    /// Notes the will of a session that outlives its connection: if the process dies, the client may have died too.
    func keepWill(of connection: Connection, _ session: Session, _ effects: inout Effects) {
        guard session.isPersistent, let will = connection.will else {
            forgetStoredWill(of: session, &effects)
            return
        }
        let silence = UInt32(clamping: connection.silenceNanosecondsMax / 1_000_000_000)
        let stored = StoredWill(will: will, graceSeconds: silence == 0 ? Self.secondsToComeBack : silence)
        // Most clients come back with the will that they went with.
        guard session.storedWill != stored else { return }
        session.storedWill = stored
        note(.willSet(session: session.number, stored), &effects)
    }

    /// The client takes its will along, or it is not due.
    func forgetWill(of connection: Connection, _ effects: inout Effects) {
        connection.will = nil
        if let session = connection.session { forgetStoredWill(of: session, &effects) }
    }

    func forgetStoredWill(of session: Session, _ effects: inout Effects) {
        guard session.storedWill != nil else { return }
        session.storedWill = nil
        if session.isPersistent { note(.willCleared(session: session.number), &effects) }
    }

    /// After recovery: the will of each client that was there when the process died is due unless it comes back within
    /// its will delay, or one and a half keep alives where that is longer. For a client that had gone before, the delay
    /// goes on; but nobody could come back while the process was down, so some of it always is left.
    func restartWills(_ now: BrokerTime) {
        for case let session? in sessions {
            guard let stored = session.storedWill else { continue }
            let delay = stored.will.properties.willDelaySeconds ?? 0
            var seconds = max(stored.graceSeconds, delay)
            if let detached = session.detached {
                let passed = UInt32(clamping: (now.wallMilliseconds &- detached.wallMilliseconds) / 1_000)
                seconds = max(delay > passed ? delay - passed : 0, min(delay, Self.secondsToComeBack))
            }
            let due = now.monotonicNanoseconds &+ UInt64(seconds) &* 1_000_000_000
            delayedWills[session.number] = DelayedWill(session: session, will: stored.will, dueNanoseconds: due)
        }
    }
}
