import MQTT
import NIOCore

// `$SYS`: what the broker says of itself. Never journalled, never matched by `#` [MQTT-4.7.2-1].
extension BrokerCore {
    /// Publishes what has changed in the `$SYS` tree, if `sys_interval` is over. Call it with each tick; it costs
    /// nothing while nothing is due.
    ///
    /// - Parameter transport: What the driver has counted.
    public func publishSystemTree(
        _ transport: @autoclosure () -> TransportStatistics,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard system.isDue(now) else { return }
        for (name, text) in system.update(sample(transport()), now: now) {
            publishSystem(SystemTopic.topic(name), text, now: now, effects: &effects)
        }
    }

    /// Sets a value of the tree that somebody else knows, such as `bridge/cloud/state` or `audit/head`: published if it
    /// differs from what stands there, nil removes it. Nothing happens if the tree is turned off.
    ///
    /// - Parameter name: What follows `$SYS/broker/`.
    public func setSystemValue(_ name: String, _ text: String?, now: BrokerTime, effects: inout Effects) {
        guard system.intervalSeconds > 0, let topic = try? TopicName(validating: SystemTopic.prefix + name) else {
            return
        }
        let old = system.retained[topic].map { String(buffer: $0.payload) }
        guard old != text, old != nil || text?.isEmpty == false else { return }
        publishSystem(topic, text ?? "", now: now, effects: &effects)
    }

    private func publishSystem(_ topic: TopicName, _ text: String, now: BrokerTime, effects: inout Effects) {
        let message = Message(
            topic: topic,
            payload: ByteBuffer(string: text),
            properties: [],
            // As Mosquitto: whoever wants it surely may have it.
            qos: .exactlyOnce,
            retain: true,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: .max,
            origin: .broker,
            publisher: ""
        )
        _ = distributeSystem(message, from: nil, now: now, effects: &effects)
    }

    /// Routes a message of the tree: kept apart if it is retained, to whoever is there, and to nobody's journal.
    func distributeSystem(
        _ message: Message,
        from sender: Session?,
        answer: PublishAnswer? = nil,
        now: BrokerTime,
        effects: inout Effects
    ) -> Outcome {
        if message.retain && !system.keep(message, max: configuration.retainedMessagesMax) {
            counters.drop(.queueFull)
        }
        let list = table.routes(for: message.topic, sessions: sessions)
        if let answer { give(answer, list, &effects) }
        deliver(message, to: list, from: sender, now: now, effects: &effects)
        return .passed
    }

    private func sample(_ transport: TransportStatistics) -> SystemSample {
        let now = statistics
        var sample = SystemSample()
        sample.clientsTotal = UInt64(now.sessions)
        sample.clientsConnected = UInt64(now.clientsConnected)
        sample.clientsDisconnected = UInt64(max(0, now.sessions - now.clientsConnected))
        sample.clientsExpired = now.sessionsExpired
        let systemCount = system.retained.count
        sample.retainedMessages = UInt64(now.retainedMessages + systemCount)
        sample.storedMessages = UInt64(
            now.retainedMessages + systemCount + now.queuedMessages + now.inflightMessages
        )
        sample.storedBytes = UInt64(max(0, now.retainedBytes + system.retainedBytes + now.queuedBytes))
        sample.inflightMessages = UInt64(now.inflightMessages)
        sample.sharedSubscriptions = UInt64(table.sharedCount)
        sample.subscriptions = UInt64(max(0, now.subscriptions - table.sharedCount))
        sample.packetsReceived = now.packetsReceived
        sample.packetsSent = transport.packetsSent
        sample.bytesReceived = transport.bytesReceived
        sample.bytesSent = transport.bytesSent
        sample.publishesReceived = now.messagesReceived
        sample.publishesSent = now.messagesSent
        sample.publishesDropped = BrokerStatistics.DropReason.allCases.reduce(0) { sum, reason in
            reason.isForWantOfRoom ? sum &+ now.dropped[reason, default: 0] : sum
        }
        sample.droppedByReason = BrokerStatistics.DropReason.allCases.map { now.dropped[$0, default: 0] }
        sample.payloadBytesReceived = now.payloadBytesReceived
        sample.payloadBytesSent = now.payloadBytesSent
        sample.socketsAccepted = transport.socketsAccepted
        sample.connectsReceived = now.connectsReceived
        sample.heapBytes = transport.heapBytes
        return sample
    }
}

extension BrokerStatistics.DropReason {
    /// Whether Mosquitto counts it among `publish/messages/dropped`: dropped for want of room, not because nobody may
    /// have it or its time was over.
    fileprivate var isForWantOfRoom: Bool {
        switch self {
        case .notAuthorized, .expired, .oversize: false
        default: true
        }
    }
}
