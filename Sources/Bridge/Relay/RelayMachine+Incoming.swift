internal import MQTT
internal import NIOCore

/// A message of the other broker on its way to the core, under the other broker's packet identifier.
struct IncomingExchange: Sendable, Hashable {
    var phase = IncomingPhase.pending
    let qos: QoS
}

/// How far it has come.
enum IncomingPhase: Sendable, Hashable {
    /// It waits for the core's window.
    case pending
    /// PUBACK or PUBREC of the core is due.
    case published
    /// The core answered PUBREC, and so did we; PUBREL is due from the other broker.
    case received
    /// PUBREL went to the core; PUBCOMP is due.
    case released
    /// The other broker has forgotten the exchange; the core's part is ended for it. `isReleased`: PUBREL went.
    case orphaned(isReleased: Bool)

    var isUnderWay: Bool { self != .pending }
}

extension RelayMachine {
    /// A PUBLISH of the other broker.
    mutating func takeIncoming(_ publish: Publish, now: UInt64, _ actions: inout [RelayAction]) {
        var publish = publish
        guard resolveAlias(&publish, &actions) else { return }
        health.receivedTotal &+= 1
        lastMessageNanoseconds = now
        switch publish.qos {
        case .atMostOnce: break
        case .atLeastOnce, .exactlyOnce:
            switch incoming[publish.packetID]?.phase {
            case .received? where publish.qos == .exactlyOnce:
                actions.append(.remote(.pubrec(Acknowledgement(packetID: publish.packetID))))
                return
            case .pending?, .published?, .received?, .released?:
                // The answer that is due will do for both.
                return
            case .orphaned?, nil:
                guard version != .v5 || incoming.count < Int(settings.receiveMaximum) * 2 else {
                    actions.append(.closeRemote(.protocolViolation("more messages came than Receive Maximum allows")))
                    return
                }
            }
        }
        switch map.incoming(publish.topic) {
        case .topic(let topic): publish.topic = topic
        case .unwanted: return turnAway(publish, .unsolicited, &actions)
        case .impossible: return turnAway(publish, .topic, &actions)
        }
        guard publish.qos != .atMostOnce else {
            actions.append(.local(.publish(publish)))
            return
        }
        let isOrphaned = incoming[publish.packetID] != nil
        if !isOrphaned { incoming[publish.packetID] = IncomingExchange(qos: publish.qos) }
        pendingIncoming.append(publish)
        pendingIncomingBytes += publish.payload.readableBytes + publish.topic.bytes.readableBytes
        passOnPending(&actions)
        if pendingIncoming.count > RelayLimits.inboundPendingMax
            || pendingIncomingBytes > RelayLimits.inboundPendingBytesMax
        {
            actions.append(.closeRemote(.pending))
        }
    }

    private mutating func resolveAlias(_ publish: inout Publish, _ actions: inout [RelayAction]) -> Bool {
        var alias: UInt16?
        if !publish.properties.isEmpty {
            publish.properties.values.removeAll { property in
                if case .topicAlias(let value) = property { alias = value }
                return property.belongsToOneConnection
            }
        }
        guard let alias else { return true }
        guard alias > 0, alias <= settings.topicAliasMaximum else {
            actions.append(.closeRemote(.protocolViolation("a topic alias is beyond Topic Alias Maximum")))
            return false
        }
        guard publish.topic.isEmpty else {
            aliases[alias] = publish.topic.copied()
            return true
        }
        guard let topic = aliases[alias] else {
            actions.append(.closeRemote(.protocolViolation("a topic alias was never set")))
            return false
        }
        publish.topic = topic
        return true
    }

    /// The other broker is told that all is well, so that it stops sending it.
    private mutating func turnAway(_ publish: Publish, _ reason: RelayDrop, _ actions: inout [RelayAction]) {
        count(reason)
        switch publish.qos {
        case .atMostOnce: break
        case .atLeastOnce: actions.append(.remote(.puback(Acknowledgement(packetID: publish.packetID))))
        case .exactlyOnce: actions.append(.remote(.pubrec(Acknowledgement(packetID: publish.packetID))))
        }
    }

    /// Gives the core what its window takes, in order.
    private mutating func passOnPending(_ actions: inout [RelayAction]) {
        guard local == .up, !pendingIncoming.isEmpty else { return }
        var underWay = incoming.values.count { $0.phase.isUnderWay }
        var passed = 0
        for publish in pendingIncoming {
            if case .orphaned? = incoming[publish.packetID]?.phase { break }
            guard underWay < localWindow else { break }
            underWay += 1
            passed += 1
            pendingIncomingBytes -= publish.payload.readableBytes + publish.topic.bytes.readableBytes
            incoming[publish.packetID] = IncomingExchange(phase: .published, qos: publish.qos)
            actions.append(.local(.publish(publish)))
        }
        pendingIncoming.removeFirst(passed)
    }

    /// PUBACK or PUBREC of the core: it has the message on its disk.
    mutating func localAccepted(_ answer: Acknowledgement, _ actions: inout [RelayAction]) {
        let id = answer.packetID
        if case .state = ownLocalIDs[id] {
            ownLocalIDs[id] = nil
            return
        }
        guard let exchange = incoming[id] else { return }
        if answer.reason.isError { count(.refused) }
        let goesOn = exchange.qos == .exactlyOnce && !answer.reason.isError
        switch exchange.phase {
        case .published:
            incoming[id]?.phase = .received
            if !goesOn { incoming[id] = nil }
            guard remote == .up else { break }
            actions.append(
                .remote(exchange.qos == .exactlyOnce ? .pubrec(passingOn(answer)) : .puback(passingOn(answer)))
            )
        case .orphaned(isReleased: false):
            guard goesOn else {
                incoming[id] = nil
                break
            }
            incoming[id]?.phase = .orphaned(isReleased: true)
            actions.append(.local(.pubrel(Acknowledgement(packetID: id))))
        case .pending, .received, .released, .orphaned(isReleased: true): break
        }
        passOnPending(&actions)
    }

    /// The core's errors are the other broker's to know, where it speaks 5.0; that nobody listens is not.
    private func passingOn(_ answer: Acknowledgement) -> Acknowledgement {
        Acknowledgement(packetID: answer.packetID, reason: answer.reason.isError ? answer.reason : .success)
    }

    /// PUBREL of the other broker. It is the core that knows which exchanges there are, those from before a restart
    /// included.
    mutating func remoteReleased(_ id: UInt16, _ actions: inout [RelayAction]) {
        switch incoming[id]?.phase {
        case .pending?, .published?, .released?: break
        case .orphaned?: actions.append(.remote(.pubcomp(Acknowledgement(packetID: id))))
        case .received?, nil:
            incoming[id] = IncomingExchange(phase: .released, qos: .exactlyOnce)
            actions.append(.local(.pubrel(Acknowledgement(packetID: id))))
        }
    }

    /// PUBCOMP of the core.
    mutating func localCompleted(_ id: UInt16, _ actions: inout [RelayAction]) {
        switch incoming[id]?.phase {
        case .released?:
            if remote == .up { actions.append(.remote(.pubcomp(Acknowledgement(packetID: id)))) }
        case .orphaned(isReleased: true)?: break
        default: return
        }
        incoming[id] = nil
        passOnPending(&actions)
    }

    /// The connection has gone: what the core never saw comes again.
    mutating func forgetUnansweredIncoming() {
        for publish in pendingIncoming where incoming[publish.packetID]?.phase == .pending {
            incoming[publish.packetID] = nil
        }
        pendingIncoming = []
        pendingIncomingBytes = 0
    }

    /// The other broker has a new session: it will not finish what it began, and will use the identifiers anew.
    mutating func finishIncomingOfLostSession(isSessionPresent: Bool, _ actions: inout [RelayAction]) {
        // 3.1 does not say whether there is a session.
        guard !isSessionPresent, version != .v3_1 else { return }
        for (id, exchange) in incoming.sorted(by: { $0.key < $1.key }) {
            switch exchange.phase {
            case .published: incoming[id]?.phase = .orphaned(isReleased: false)
            case .received:
                incoming[id]?.phase = .orphaned(isReleased: true)
                actions.append(.local(.pubrel(Acknowledgement(packetID: id))))
            case .released: incoming[id]?.phase = .orphaned(isReleased: true)
            case .pending, .orphaned: break
            }
        }
    }
}
