import DequeModule
import MQTT
public import NIOCore

// The durable state back from the checkpoint and the records after it.
extension BrokerCore {
    /// Takes a checkpoint. Only on an empty core, before any record.
    public func recover(checkpoint: ByteBuffer) throws(BrokerRecoveryError) {
        try JournalRecord.forEachEntry(of: checkpoint, sequence: 0) { entry in
            apply(entry, sequence: 0, messageIndex: 0)
        }
    }

    /// Takes one record. Records come in order, from the one after the checkpoint.
    public func recover(record: ByteBuffer, sequence: UInt64) throws(BrokerRecoveryError) {
        var index: UInt16 = 0
        try JournalRecord.forEachEntry(of: record, sequence: sequence) { entry in
            apply(entry, sequence: sequence, messageIndex: index)
            if case .message = entry { index &+= 1 }
        }
    }

    /// Ends recovery: from here on events may come.
    ///
    /// - Parameter nextSequence: The number that the journal expects for its next record.
    public func finishRecovery(nextSequence: UInt64, now: BrokerTime) {
        self.nextSequence = nextSequence
        committedSequence = nextSequence &- 1
        table.forget()
        restartRetainedExpiry(now)
        if hasRecoveredCopies { restartExpiryOfCopies(now) }
        restartWills(now)
        for case let session? in sessions {
            // Mosquitto keeps the last one with the session, and goes on from there.
            if !configuration.followsMosquitto { session.inflight.restartPacketIDs() }
            // Who was connected when the process died is detached from now on.
            guard let detached = session.detached else {
                session.detached = now
                continue
            }
            // The monotonic clock did not survive; the wall clock tells how much of the expiry has passed.
            let passed = UInt64(max(0, now.wallMilliseconds &- detached.wallMilliseconds)) &* 1_000_000
            session.awayBeforeNanoseconds = passed
            session.detached = BrokerTime(
                monotonicNanoseconds: now.monotonicNanoseconds,
                wallMilliseconds: detached.wallMilliseconds
            )
        }
    }

    /// The expiry of retained messages counts from when they were received, by the wall clock.
    private func restartRetainedExpiry(_ now: BrokerTime) {
        var expiring: [Message] = []
        retained.forEach { _, message in
            if message.properties.expirySeconds != nil { expiring.append(message) }
        }
        for message in expiring { _ = retained.set(message.topic, message.restarted(now)) }
        for case let session? in sessions {
            session.heldInbound = session.heldInbound.mapValues { held in
                guard held.message.properties.expirySeconds != nil else { return held }
                return HeldInbound(message: held.message.restarted(now), record: held.record)
            }
        }
    }

    /// The same for copies of retained messages.
    private func restartExpiryOfCopies(_ now: BrokerTime) {
        func restarted(_ message: Message?) -> Message? {
            guard let message, message.properties.expirySeconds != nil else { return nil }
            return message.restarted(now)
        }
        for case let session? in sessions {
            for index in session.queue.indices {
                if let message = restarted(session.queue[index].message) { session.queue[index].message = message }
            }
            for entry in session.inflight.ordered() {
                if let message = restarted(entry.message) { session.inflight.attach(message, to: entry.packetID) }
            }
        }
    }

    private func apply(_ entry: JournalEntry, sequence: UInt64, messageIndex: UInt16) {
        switch entry {
        case .message(let message):
            apply(message, MessageReference(record: sequence, index: messageIndex))
        case .sessionOpened(let stored): open(stored)
        case .sessionDetached(let number, let wall):
            sessionsByNumber[number]?.detached = BrokerTime(monotonicNanoseconds: 0, wallMilliseconds: wall)
        case .sessionClosed(let number):
            guard let session = sessionsByNumber[number] else { return }
            for filter in session.subscriptions.keys { table.remove(filter, session) }
            forget(session)
        case .subscribed(let number, let stored):
            guard let session = sessionsByNumber[number],
                let filter = try? TopicFilter(stored.filter, maxLevels: TopicLimits.levelsMax)
            else { return }
            let subscription = Subscription(
                options: stored.options,
                identifier: stored.identifier,
                sharedFilter: filter.isShared ? filter : nil
            )
            session.subscriptions[filter] = subscription
            table.insert(filter, session, subscription)
        case .unsubscribed(let number, let text):
            guard let session = sessionsByNumber[number],
                let filter = try? TopicFilter(text, maxLevels: TopicLimits.levelsMax)
            else { return }
            session.subscriptions[filter] = nil
            table.remove(filter, session)
        case .sent(let number, let reference, let packetID, let qos):
            guard let session = sessionsByNumber[number] else { return }
            let queued = session.takeQueued(reference)
            // Only a copy brings its message along.
            session.inflight.restore(
                InflightTable.Entry(
                    packetID: packetID,
                    qos: qos,
                    retain: queued?.retain ?? false,
                    state: .sent,
                    message: queued?.message,
                    reference: reference,
                    subscriptionIDs: queued?.subscriptionIDs ?? [],
                    share: queued?.share
                )
            )
        case .received(let number, let packetID):
            guard let session = sessionsByNumber[number], session.inflight[packetID] != nil else { return }
            session.inflight.update(packetID, state: .releasing, dropMessage: true)
        case .acknowledged(let number, let packetID):
            _ = sessionsByNumber[number]?.inflight.remove(packetID)
            sessionsByNumber[number]?.inflight.passed(packetID)
        case .dropped(let number, let reference):
            _ = sessionsByNumber[number]?.takeQueued(reference)
        case .released(let number, let packetID):
            sessionsByNumber[number]?.inboundQoS2.remove(packetID)
            sessionsByNumber[number]?.lastInboundRecord[packetID] = nil
            sessionsByNumber[number]?.heldInbound[packetID] = nil
        case .handler(let name, let position, let key, let state, _):
            remember(name, position, key, state.map(ByteBufferCopy.of))
        case .queued(let number, let stored):
            sessionsByNumber[number]?.restore(stored, share: group(stored.share))
        case .inflight(let number, let stored):
            sessionsByNumber[number]?.inflight.restore(
                InflightTable.Entry(
                    packetID: stored.packetID,
                    qos: stored.qos,
                    retain: stored.retain,
                    state: stored.isReceived ? .releasing : .sent,
                    message: nil,
                    reference: stored.reference,
                    subscriptionIDs: stored.subscriptionIDs,
                    share: group(stored.share)
                )
            )
        case .pending(let number, let packetID):
            sessionsByNumber[number]?.inboundQoS2.insert(packetID)
            sessionsByNumber[number]?.lastInboundRecord[packetID] = InboundRecord(sequence: sequence, connection: nil)
        case .nextSession(let number):
            nextSessionNumber = max(nextSessionNumber, number)
        case .copy(let number, let copy):
            hasRecoveredCopies = true
            sessionsByNumber[number]?.restore(copy)
        case .willSet(let number, let stored):
            var will = stored
            will.will.topic = stored.will.topic.copied()
            will.will.payload = ByteBufferCopy.of(stored.will.payload)
            sessionsByNumber[number]?.storedWill = will
        case .willCleared(let number): sessionsByNumber[number]?.storedWill = nil
        case .inboundHeld(let number, let packetID, let stored):
            sessionsByNumber[number]?.heldInbound[packetID] = HeldInbound(
                message: Message(stored, retain: stored.retain),
                record: InboundRecord(sequence: sequence, connection: nil)
            )
        }
    }

    private func apply(_ stored: StoredMessage, _ reference: MessageReference) {
        if stored.retain { keep(Message(stored)) }
        // A message in a checkpoint is there because it is retained; its receivers have their own entries.
        guard reference.record > 0 else { return }
        if stored.publisherSession != 0, let session = sessionsByNumber[stored.publisherSession] {
            session.inboundQoS2.insert(stored.publisherPacketID)
            session.lastInboundRecord[stored.publisherPacketID] = InboundRecord(
                sequence: reference.record,
                connection: nil
            )
        }
        let bytes = UInt32(clamping: stored.topic.bytes.readableBytes &+ stored.payload.readableBytes &+ 64)
        for recipient in stored.recipients {
            guard let session = sessionsByNumber[recipient.session] else { continue }
            if recipient.packetID == 0 {
                session.restore(
                    StoredQueued(
                        reference: reference,
                        qos: recipient.qos,
                        retain: recipient.retain,
                        byteCount: bytes,
                        subscriptionIDs: recipient.subscriptionIDs,
                        share: recipient.share
                    ),
                    share: group(recipient.share)
                )
            } else {
                session.inflight.restore(
                    InflightTable.Entry(
                        packetID: recipient.packetID,
                        qos: recipient.qos,
                        retain: recipient.retain,
                        state: .sent,
                        message: nil,
                        reference: reference,
                        subscriptionIDs: recipient.subscriptionIDs,
                        share: group(recipient.share)
                    )
                )
            }
        }
    }

    /// The shared subscription that a record names.
    private func group(_ filter: String?) -> SharedGroup? {
        guard let filter, let parsed = try? TopicFilter(filter, maxLevels: TopicLimits.levelsMax) else { return nil }
        return table.group(parsed)
    }

    private func open(_ stored: StoredSession) {
        nextSessionNumber = max(nextSessionNumber, stored.session &+ 1)
        if let session = sessionsByNumber[stored.session] {
            session.expirySeconds = stored.expirySeconds
            session.detached = nil
            return
        }
        let identity = Identity(username: stored.username, clientID: stored.clientID)
        _ = addSession(number: stored.session, identity, expirySeconds: stored.expirySeconds)
    }
}

extension Session {
    /// Takes a queued message out, wherever it stands; it stands at or near the head.
    func takeQueued(_ reference: MessageReference) -> Queued? {
        if queue.first?.reference == reference { return popQueued() }
        guard let index = queue.firstIndex(where: { $0.reference == reference }) else { return nil }
        let found = queue.remove(at: index)
        queuedBytes &-= Int(found.byteCount)
        if found.message != nil { queuedResidentBytes &-= Int(found.byteCount) }
        return found
    }

    func restore(_ copy: StoredCopy) {
        let message = Message(copy.message)
        queue.append(
            Queued(
                message: message,
                reference: copy.reference,
                qos: copy.qos,
                retain: true,
                byteCount: UInt32(clamping: message.byteCount),
                subscriptionIDs: copy.subscriptionIDs
            )
        )
        queuedBytes &+= message.byteCount
        queuedResidentBytes &+= message.byteCount
    }

    func restore(_ stored: StoredQueued, share: SharedGroup?) {
        noteOrder(stored.reference)
        queue.append(
            Queued(
                message: nil,
                reference: stored.reference,
                qos: stored.qos,
                retain: stored.retain,
                byteCount: stored.byteCount,
                subscriptionIDs: stored.subscriptionIDs,
                share: share
            )
        )
        queuedBytes &+= Int(stored.byteCount)
    }
}

extension Message {
    /// A message that is kept as a record or a checkpoint holds it. The end of recovery sets its expiry.
    convenience init(_ stored: StoredMessage, retain: Bool = true) {
        self.init(
            topic: stored.topic.copied(),
            payload: ByteBufferCopy.of(stored.payload),
            properties: stored.properties,
            qos: stored.qos,
            retain: retain,
            receivedMilliseconds: stored.receivedMilliseconds,
            expiresNanoseconds: .max,
            origin: stored.origin,
            publisher: stored.publisher,
            source: stored.source
        )
    }
}

extension Message {
    /// The message as a record holds it.
    func stored(
        publisherSession: UInt32 = 0,
        publisherPacketID: UInt16 = 0,
        recipients: [StoredMessage.Recipient] = []
    ) -> StoredMessage {
        StoredMessage(
            topic: topic,
            payload: payload,
            properties: properties,
            qos: qos,
            retain: retain,
            receivedMilliseconds: receivedMilliseconds,
            origin: origin,
            publisher: publisher,
            source: source,
            publisherSession: publisherSession,
            publisherPacketID: publisherPacketID,
            recipients: recipients
        )
    }

    /// The message with an expiry that counts from when it was received, by the wall clock.
    func restarted(_ now: BrokerTime) -> Message {
        let received = ClockSteps().monotonicMilliseconds(of: 0, received: receivedMilliseconds, now: now)
        return Message(journaled(at: .zero), received: received, source: source)
    }

    func journaled(at reference: MessageReference) -> JournaledMessage {
        JournaledMessage(
            reference: reference,
            topic: topic,
            payload: payload,
            qos: qos,
            retain: retain,
            properties: properties,
            receivedMilliseconds: receivedMilliseconds,
            origin: origin,
            publisher: publisher
        )
    }
}
