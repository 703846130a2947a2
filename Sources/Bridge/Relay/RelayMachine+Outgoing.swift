internal import MQTT
internal import NIOCore

/// A message of this side on its way to the other broker.
struct OutgoingExchange: Sendable {
    enum Phase: Sendable, Hashable {
        /// It waits for the other broker's window or for a connection.
        case unsent
        /// PUBACK or PUBREC is due there.
        case published
        /// PUBREC came; the core's PUBREL is due.
        case received
        /// PUBREL went there; PUBCOMP is due.
        case released
        /// The other side is done with it; the core's PUBREL is due.
        case finishing
    }

    var phase = Phase.unsent
    /// The identifier of the core.
    let localID: UInt16
    /// The identifier towards the other broker; 0 before it is sent, and with QoS 0.
    var remoteID: UInt16 = 0
    /// What the core sent, under the other side's topic.
    let message: Publish
    let takenNanoseconds: UInt64
    var serial: UInt64 = 0

    var qos: QoS { message.qos }
}

extension RelayMachine {
    /// A PUBLISH of the core.
    mutating func takeOutgoing(_ publish: Publish, now: UInt64, _ actions: inout [RelayAction]) {
        if publish.qos != .atMostOnce, let known = outgoing[publish.packetID] {
            // The core's session was resumed while the exchange goes on here.
            if known.qos == .exactlyOnce, known.phase != .unsent, known.phase != .published {
                answerLocally(.pubrec(Acknowledgement(packetID: publish.packetID)), &actions)
            }
            return
        }
        // Without DUP the core uses the identifier for a new message: what was remembered of it is over.
        if !publish.duplicate, remembered.removeValue(forKey: publish.packetID) != nil { isMemoryDirty = true }
        lastMessageNanoseconds = now
        let topic: TopicName
        switch map.outgoing(publish.topic) {
        case .topic(let mapped): topic = mapped
        case .unwanted: return refuse(publish, .unsolicited, &actions)
        case .impossible: return refuse(publish, .topic, &actions)
        }
        var message = publish
        message.topic = topic
        message.properties.values.removeAll(where: \.belongsToOneConnection)
        let exchange = OutgoingExchange(localID: publish.packetID, message: message, takenNanoseconds: now)
        guard remote == .up || keepsWhileDown(publish.qos) else {
            return refuse(publish, .notConnected, &actions)
        }
        guard publish.qos != .atMostOnce else {
            if remote == .up { return sendUntracked(exchange, now: now, &actions) }
            if held.count >= RelayLimits.lazyHeldMax {
                held.removeFirst()
                count(.notConnected)
            }
            held.append(exchange)
            return
        }
        outgoing[publish.packetID] = exchange
        unsent.append(publish.packetID)
        sendUnsent(now: now, &actions)
    }

    private func keepsWhileDown(_ qos: QoS) -> Bool {
        if settings.forgetsLocally { return false }
        if qos != .atMostOnce { return true }
        if case .lazy = settings.startType { return true }
        return false
    }

    /// Sends as much as the other broker's window takes.
    mutating func sendUnsent(now: UInt64, _ actions: inout [RelayAction]) {
        guard remote == .up else { return }
        var sent = 0
        for localID in unsent {
            guard outgoingByRemoteID.count + ownRemoteIDs.count < remoteWindow || remoteQoSMax == .atMostOnce else {
                break
            }
            sent += 1
            guard let exchange = outgoing[localID] else { continue }
            send(exchange, now: now, &actions)
        }
        unsent.removeFirst(sent)
    }

    /// Sends one for the first time on this run.
    private mutating func send(_ exchange: OutgoingExchange, now: UInt64, _ actions: inout [RelayAction]) {
        var exchange = exchange
        guard var packet = packet(for: exchange, now: now) else { return settle(exchange, &actions) }
        guard packet.qos != .atMostOnce else {
            actions.append(.remote(.publish(packet)))
            health.sentTotal &+= 1
            return settle(exchange, &actions)
        }
        if let known = remembered.removeValue(forKey: exchange.localID), exchange.qos == .exactlyOnce {
            // It may have been sent before a restart: under the same identifier the other side knows it.
            exchange.remoteID = known
            packet.duplicate = true
            health.resentTotal &+= 1
        } else {
            exchange.remoteID = nextRemoteID()
            packet.duplicate = false
        }
        if exchange.qos == .exactlyOnce { isMemoryDirty = true }
        exchange.phase = .published
        serial &+= 1
        exchange.serial = serial
        outgoing[exchange.localID] = exchange
        outgoingByRemoteID[exchange.remoteID] = exchange.localID
        packet.packetID = exchange.remoteID
        clock.progressNanoseconds = outgoingByRemoteID.count == 1 ? now : clock.progressNanoseconds
        health.sentTotal &+= 1
        actions.append(.remote(.publish(packet)))
    }

    private mutating func sendUntracked(_ exchange: OutgoingExchange, now: UInt64, _ actions: inout [RelayAction]) {
        guard let packet = packet(for: exchange, now: now) else { return }
        health.sentTotal &+= 1
        actions.append(.remote(.publish(packet)))
    }

    /// The PUBLISH for the other broker, or nil if it takes none such; then the drop is counted.
    private mutating func packet(for exchange: OutgoingExchange, now: UInt64) -> Publish? {
        var packet = exchange.message
        packet.qos = min(packet.qos, remoteQoSMax)
        packet.packetID = exchange.remoteID
        packet.duplicate = false
        packet.retain = packet.retain && retainsThere
        if !packet.properties.isEmpty {
            if version == .v5 {
                guard packet.properties.age(by: (now &- exchange.takenNanoseconds) / 1_000_000_000) else {
                    count(.expired)
                    return nil
                }
            } else {
                packet.properties = []
            }
        }
        let layout = PacketEncoder.publishLayout(
            topicBytes: packet.topic.bytes.readableBytes,
            payloadBytes: packet.payload.readableBytes,
            qos: packet.qos,
            properties: packet.properties,
            version: version
        )
        guard let layout, remotePacketBytesMax == 0 || layout.byteCount <= Int(remotePacketBytesMax) else {
            count(.oversize)
            return nil
        }
        return packet
    }

    /// After CONNACK: what was under way goes again in its order, under the same identifiers; then what waited.
    mutating func resend(now: UInt64, _ actions: inout [RelayAction]) {
        let order = outgoing.values.filter { $0.remoteID != 0 }.sorted { $0.serial < $1.serial }
        for exchange in order {
            switch exchange.phase {
            case .published:
                guard var packet = packet(for: exchange, now: now) else {
                    settle(exchange, &actions)
                    continue
                }
                guard packet.qos != .atMostOnce else {
                    actions.append(.remote(.publish(packet)))
                    settle(exchange, &actions)
                    continue
                }
                packet.duplicate = true
                health.resentTotal &+= 1
                actions.append(.remote(.publish(packet)))
            case .released:
                actions.append(.remote(.pubrel(Acknowledgement(packetID: exchange.remoteID))))
            case .unsent, .received, .finishing: break
            }
        }
        let waiting = held
        held = []
        for exchange in waiting { sendUntracked(exchange, now: now, &actions) }
        sendUnsent(now: now, &actions)
    }

    // MARK: - The other broker's answers

    /// PUBACK.
    mutating func remoteAcknowledged(_ answer: Acknowledgement, now: UInt64, _ actions: inout [RelayAction]) {
        if ownRemoteIDs.remove(answer.packetID) != nil { return sendUnsent(now: now, &actions) }
        // An answer to something that this process never sent is nothing to answer.
        guard let exchange = exchange(remoteID: answer.packetID) else { return }
        guard min(exchange.qos, remoteQoSMax) == .atLeastOnce, exchange.phase == .published else {
            actions.append(.closeRemote(.protocolViolation("a PUBACK answers a message of QoS 2")))
            return
        }
        acknowledged(answer.reason, now: now)
        settle(exchange, &actions)
        sendUnsent(now: now, &actions)
    }

    /// PUBREC.
    mutating func remoteTook(_ answer: Acknowledgement, now: UInt64, _ actions: inout [RelayAction]) {
        guard var exchange = exchange(remoteID: answer.packetID) else {
            // The other side holds an exchange that nobody here knows: PUBREL lets it end.
            if !answer.reason.isError {
                actions.append(.remote(.pubrel(Acknowledgement(packetID: answer.packetID))))
            }
            return
        }
        guard min(exchange.qos, remoteQoSMax) == .exactlyOnce else {
            actions.append(.closeRemote(.protocolViolation("a PUBREC answers a message of QoS 1")))
            return
        }
        switch exchange.phase {
        case .published:
            guard !answer.reason.isError else {
                acknowledged(answer.reason, now: now)
                settle(exchange, &actions)
                sendUnsent(now: now, &actions)
                return
            }
            clock.progressNanoseconds = now
            exchange.phase = .received
            outgoing[exchange.localID] = exchange
            answerLocally(.pubrec(Acknowledgement(packetID: exchange.localID)), &actions)
        case .released:
            actions.append(.remote(.pubrel(Acknowledgement(packetID: exchange.remoteID))))
        case .received, .unsent, .finishing: break
        }
    }

    /// PUBCOMP.
    mutating func remoteCompleted(_ remoteID: UInt16, now: UInt64, _ actions: inout [RelayAction]) {
        guard let exchange = exchange(remoteID: remoteID), exchange.phase == .released else { return }
        acknowledged(.success, now: now)
        forget(exchange)
        answerLocally(.pubcomp(Acknowledgement(packetID: exchange.localID)), &actions)
        sendUnsent(now: now, &actions)
    }

    /// The core's PUBREL: the other broker's PUBREC reached it.
    mutating func localReleased(_ localID: UInt16, now: UInt64, _ actions: inout [RelayAction]) {
        if var exchange = outgoing[localID] {
            switch exchange.phase {
            case .received:
                exchange.phase = .released
                outgoing[localID] = exchange
                if remote == .up { actions.append(.remote(.pubrel(Acknowledgement(packetID: exchange.remoteID)))) }
            case .finishing:
                forget(exchange)
                answerLocally(.pubcomp(Acknowledgement(packetID: localID)), &actions)
            case .released: break
            case .unsent, .published:
                // The core has a PUBREC that this process did not pass on; what is here came after it.
                break
            }
            return
        }
        guard let remoteID = remembered.removeValue(forKey: localID) else {
            answerLocally(.pubcomp(Acknowledgement(packetID: localID)), &actions)
            return
        }
        // Before a restart PUBREC came: now PUBREL is due there.
        var exchange = OutgoingExchange(
            localID: localID,
            message: Publish(topic: stateTopic, payload: ByteBuffer(), qos: .exactlyOnce, packetID: localID),
            takenNanoseconds: now
        )
        exchange.phase = .released
        exchange.remoteID = remoteID
        serial &+= 1
        exchange.serial = serial
        outgoing[localID] = exchange
        outgoingByRemoteID[remoteID] = localID
        if remote == .up { actions.append(.remote(.pubrel(Acknowledgement(packetID: remoteID)))) }
    }

    // MARK: - Ends

    /// The other side is done with a message, one way or the other: so is the core.
    private mutating func settle(_ exchange: OutgoingExchange, _ actions: inout [RelayAction]) {
        guard exchange.qos == .exactlyOnce else {
            forget(exchange)
            answerLocally(.puback(Acknowledgement(packetID: exchange.localID)), &actions)
            return
        }
        forget(exchange)
        var finishing = exchange
        finishing.phase = .finishing
        finishing.remoteID = 0
        outgoing[exchange.localID] = finishing
        answerLocally(.pubrec(Acknowledgement(packetID: exchange.localID)), &actions)
    }

    private mutating func forget(_ exchange: OutgoingExchange) {
        outgoing[exchange.localID] = nil
        if exchange.remoteID != 0 {
            outgoingByRemoteID[exchange.remoteID] = nil
            if exchange.qos == .exactlyOnce { isMemoryDirty = true }
        }
    }

    /// The core's session begins anew: it knows of none of these.
    mutating func forgetOutgoing() {
        outgoing = [:]
        outgoingByRemoteID = [:]
        unsent = []
        held = []
        if !remembered.isEmpty { isMemoryDirty = true }
        remembered = [:]
    }

    /// `local_cleansession`: nothing waits for the next connection.
    mutating func dropAllOutgoing(_ actions: inout [RelayAction]) {
        for exchange in outgoing.values.sorted(by: { $0.serial < $1.serial }) where exchange.phase != .finishing {
            if exchange.phase == .unsent || exchange.phase == .published {
                count(.notConnected)
                settle(exchange, &actions)
            } else if exchange.phase == .received {
                var finishing = exchange
                forget(exchange)
                finishing.phase = .finishing
                finishing.remoteID = 0
                outgoing[exchange.localID] = finishing
            } else {
                forget(exchange)
                answerLocally(.pubcomp(Acknowledgement(packetID: exchange.localID)), &actions)
            }
        }
        unsent = []
        held = []
    }

    /// A message that is not passed on is done with.
    private mutating func refuse(_ publish: Publish, _ reason: RelayDrop, _ actions: inout [RelayAction]) {
        count(reason)
        guard publish.qos != .atMostOnce else { return }
        settle(OutgoingExchange(localID: publish.packetID, message: publish, takenNanoseconds: 0), &actions)
    }

    private mutating func acknowledged(_ reason: ReasonCode, now: UInt64) {
        clock.progressNanoseconds = now
        health.acknowledgedTotal &+= 1
        if reason.isError { count(.refused) }
    }

    private func exchange(remoteID: UInt16) -> OutgoingExchange? {
        outgoingByRemoteID[remoteID].flatMap { outgoing[$0] }
    }

    func answerLocally(_ packet: Packet, _ actions: inout [RelayAction]) {
        if local != .down, local != .awaitingConnack { actions.append(.local(packet)) }
    }

    mutating func count(_ reason: RelayDrop) { health.dropped[reason.rawValue, default: 0] &+= 1 }
}

extension Property {
    /// A property that means something on the connection it came by, and nowhere else.
    var belongsToOneConnection: Bool {
        switch self {
        case .topicAlias, .subscriptionIdentifier: true
        default: false
        }
    }
}

extension Properties {
    /// Takes time off the message expiry interval [MQTT-3.3.2-6].
    /// - Returns: false if nothing of it is left.
    mutating func age(by seconds: UInt64) -> Bool {
        for index in values.indices {
            guard case .messageExpiryInterval(let interval) = values[index] else { continue }
            guard seconds < UInt64(interval) || (seconds == 0 && interval == 0) else { return false }
            values[index] = .messageExpiryInterval(interval - UInt32(seconds))
        }
        return true
    }
}
