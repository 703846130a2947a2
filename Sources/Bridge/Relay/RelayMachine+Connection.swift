internal import MQTT
internal import NIOCore

// The connection to the other broker: CONNECT, what CONNACK grants, subscriptions, keep alive, its end.
extension RelayMachine {
    /// TCP, and TLS where it is asked for, stand.
    mutating func remoteOpened(now: UInt64, _ actions: inout [RelayAction]) {
        remote = .awaitingConnack
        aliases = [:]
        remoteSubscribes = [:]
        ownRemoteIDs = []
        clock.opened(now: now, keepAliveSeconds: settings.keepAliveSeconds)
        remotePacketBytesMax = settings.remotePacketBytesMax
        actions.append(.remote(.connect(connectPacket)))
    }

    private var connectPacket: Connect {
        var will: Will?
        if settings.publishesState, !settings.publishesStateLocallyOnly {
            will = Will(
                topic: stateTopic,
                payload: ByteBuffer(string: "0"),
                qos: min(.atLeastOnce, remoteQoSMax),
                retain: retainsThere
            )
        }
        var properties: [Property] = []
        if version == .v5 {
            if settings.topicAliasMaximum > 0 { properties.append(.topicAliasMaximum(settings.topicAliasMaximum)) }
            if settings.remoteSessionExpirySeconds > 0 {
                properties.append(.sessionExpiryInterval(settings.remoteSessionExpirySeconds))
            }
            properties.append(.receiveMaximum(settings.receiveMaximum))
            if settings.remotePacketBytesMax > 0 {
                properties.append(.maximumPacketSize(settings.remotePacketBytesMax))
            }
        }
        return Connect(
            version: version,
            clientID: settings.remoteClientID,
            cleanStart: settings.isRemoteSessionClean,
            keepAliveSeconds: settings.keepAliveSeconds,
            will: will,
            username: settings.remoteUsername,
            password: settings.remotePassword.map { ByteBuffer(string: $0) },
            properties: Properties(properties),
            isBridge: version != .v5 && settings.triesPrivate && isPrivateAccepted
        )
    }

    var retainsThere: Bool { settings.keepsOutgoingRetain && isRemoteRetainAvailable }

    /// A packet of the other broker.
    mutating func remoteReceived(_ packet: Packet, now: UInt64, _ actions: inout [RelayAction]) {
        clock.received(now: now)
        guard remote == .up else {
            guard remote == .awaitingConnack, case .connack(let connack) = packet else {
                actions.append(.closeRemote(.protocolViolation("the first packet is not CONNACK")))
                return
            }
            remoteAnswered(connack, now: now, &actions)
            return
        }
        switch packet {
        case .publish(let publish): takeIncoming(publish, now: now, &actions)
        case .puback(let answer): remoteAcknowledged(answer, now: now, &actions)
        case .pubrec(let answer): remoteTook(answer, now: now, &actions)
        case .pubcomp(let answer): remoteCompleted(answer.packetID, now: now, &actions)
        case .pubrel(let answer): remoteReleased(answer.packetID, &actions)
        case .suback(let suback): remoteSubscribed(suback, &actions)
        case .unsuback: break
        case .pingresp: clock.pongReceived()
        case .pingreq: actions.append(.remote(.pingresp))
        case .disconnect(let disconnect):
            let message = "the other broker said DISCONNECT with \(disconnect.reason.name)"
            actions.append(.closeRemote(RelayLoss("server_disconnect", message)))
        case .connack: actions.append(.closeRemote(.protocolViolation("a second CONNACK came")))
        case .auth: actions.append(.closeRemote(.protocolViolation("an AUTH came that nobody asked for")))
        case .connect, .subscribe, .unsubscribe:
            actions.append(.closeRemote(.protocolViolation("a packet came that only a client sends")))
        }
    }

    /// What the other broker sent is no MQTT. One case is known: an older broker answers a CONNECT of 5.0 with a
    /// CONNACK of 3.1.1, whose return code 1 says so.
    mutating func remoteUndecodable(_ bytes: ByteBuffer, error: MQTTError, _ actions: inout [RelayAction]) {
        let head = Array(bytes.readableBytesView.prefix(4))
        if remote == .awaitingConnack, version == .v5, head.count == 4, head[0] == 0x20, head[1] == 2, head[3] == 1 {
            version = .v3_1_1
            let data = ["bridge": settings.name]
            actions.append(
                .report(BridgeReport(.warning, "The other broker has no MQTT 5.0; 3.1.1 is used from now on.", data))
            )
            actions.append(.closeRemote(RelayLoss("version", "the other broker has no MQTT 5.0")))
            return
        }
        actions.append(.closeRemote(.protocolViolation("\(error)")))
    }

    private mutating func remoteAnswered(_ connack: Connack, now: UInt64, _ actions: inout [RelayAction]) {
        var qosMax: QoS?
        for property in connack.properties.values {
            switch property {
            case .maximumQoS(let value): qosMax = QoS(rawValue: value)
            case .retainAvailable(let value): if connack.reason == .success { isRemoteRetainAvailable = value != 0 }
            case .maximumPacketSize(let value):
                remotePacketBytesMax = remotePacketBytesMax == 0 ? value : min(remotePacketBytesMax, value)
            case .serverKeepAlive(let value): clock.keepAliveSeconds = value
            default: break
            }
        }
        guard connack.reason == .success else {
            refused(connack.reason, qosMax: qosMax, &actions)
            return
        }
        remoteQoSMax = qosMax ?? .exactlyOnce
        let granted = connack.properties.first { property in
            if case .receiveMaximum(let value) = property { Int(value) } else { nil }
        }
        remoteWindow = min(Int(settings.window), granted ?? 65_535)
        remote = .up
        clock.connected(now: now)
        finishIncomingOfLostSession(isSessionPresent: connack.sessionPresent, &actions)
        announceRemotely(&actions)
        announceLocally(true, &actions)
        subscribeRemotely(&actions)
        // Retained messages of this side go over with each connection.
        subscribeLocally(.sendAtSubscribe, &actions)
        resend(now: now, &actions)
    }

    private mutating func refused(_ reason: ReasonCode, qosMax: QoS?, _ actions: inout [RelayAction]) {
        switch reason {
        case .unsupportedProtocolVersion where version != .v5: isPrivateAccepted = false
        case .unsupportedProtocolVersion: version = .v3_1_1
        case .retainNotSupported: isRemoteRetainAvailable = false
        case .qosNotSupported:
            remoteQoSMax = qosMax ?? QoS(rawValue: max(1, remoteQoSMax.rawValue) - 1) ?? .atMostOnce
        default: break
        }
        let identity: Set<ReasonCode> = [
            .badUserNameOrPassword, .notAuthorized, .banned, .badAuthenticationMethod, .clientIdentifierNotValid,
        ]
        actions.append(
            .closeRemote(
                RelayLoss(
                    "refused",
                    "the other broker refused the connection with \(reason.name)",
                    isRefusedIdentity: identity.contains(reason)
                )
            )
        )
    }

    private mutating func announceRemotely(_ actions: inout [RelayAction]) {
        guard settings.publishesState, !settings.publishesStateLocallyOnly else { return }
        var id: UInt16 = 0
        if remoteQoSMax != .atMostOnce {
            id = nextRemoteID()
            ownRemoteIDs.insert(id)
        }
        actions.append(.remote(.publish(stateMessage(true, id: id, retain: retainsThere))))
    }

    /// One packet for each line, in their order, as Mosquitto does it: what comes in is subscribed to, what only goes
    /// out is unsubscribed in case it once came in.
    private mutating func subscribeRemotely(_ actions: inout [RelayAction]) {
        for topic in settings.topics {
            if topic.direction.comesIn {
                let isShared = topic.remoteFilter.hasPrefix("$share/")
                let id = nextRemoteID()
                remoteSubscribes[id] = topic.remoteFilter
                let options = SubscriptionOptions(
                    qos: min(topic.qos, remoteQoSMax),
                    noLocal: version == .v5 && !isShared,
                    retainAsPublished: version == .v5
                )
                let request = Subscribe.Request(filter: topic.remoteFilter, options: options)
                actions.append(.remote(.subscribe(Subscribe(packetID: id, requests: [request]))))
            } else if settings.attemptsUnsubscribe {
                let packet = Unsubscribe(packetID: nextRemoteID(), filters: [topic.remoteFilter])
                actions.append(.remote(.unsubscribe(packet)))
            }
        }
    }

    private mutating func remoteSubscribed(_ suback: Suback, _ actions: inout [RelayAction]) {
        guard let filter = remoteSubscribes.removeValue(forKey: suback.packetID) else { return }
        guard let reason = suback.reasons.first, reason.isError else { return }
        let data = ["bridge": settings.name, "filter": filter, "reason": reason.name]
        actions.append(.report(BridgeReport(.warning, "The other broker refused a bridge's topic.", data)))
    }

    /// The connection to the other broker has ended, or there was none.
    mutating func remoteLost(now: UInt64, _ actions: inout [RelayAction]) {
        let wasUp = remote == .up
        remote = .down
        clock.closed()
        forgetUnansweredIncoming()
        if wasUp { announceLocally(false, &actions) }
        guard settings.forgetsLocally else { return }
        if wasUp, local == .up, !localFilters.isEmpty {
            let id = ownLocalID(.unsubscribe)
            actions.append(.local(.unsubscribe(Unsubscribe(packetID: id, filters: localFilters))))
        }
        dropAllOutgoing(&actions)
    }

    /// The next packet identifier towards the other broker that is not in use. It grows over reconnects.
    mutating func nextRemoteID() -> UInt16 {
        repeat {
            lastRemoteID = lastRemoteID == .max ? 1 : lastRemoteID + 1
        } while outgoingByRemoteID[lastRemoteID] != nil || remoteSubscribes[lastRemoteID] != nil
            || ownRemoteIDs.contains(lastRemoteID) || rememberedRemoteIDs.contains(lastRemoteID)
        return lastRemoteID
    }

    private var rememberedRemoteIDs: Dictionary<UInt16, UInt16>.Values { remembered.values }
}

/// Keep alive and progress of the connection to the other broker.
struct RelayClock: Sendable {
    /// Seconds without traffic that either side allows; 0 for no end.
    var keepAliveSeconds: UInt16 = 0
    private(set) var isOpen = false
    private(set) var openedNanoseconds: UInt64 = 0
    private(set) var connectedNanoseconds: UInt64?
    private var sentNanoseconds: UInt64 = 0
    private var receivedNanoseconds: UInt64 = 0
    private var pingNanoseconds: UInt64?
    /// When a message was last sent or acknowledged.
    var progressNanoseconds: UInt64 = 0

    mutating func opened(now: UInt64, keepAliveSeconds: UInt16) {
        self.keepAliveSeconds = keepAliveSeconds
        isOpen = true
        openedNanoseconds = now
        sentNanoseconds = now
        receivedNanoseconds = now
        progressNanoseconds = now
        pingNanoseconds = nil
        connectedNanoseconds = nil
    }

    mutating func connected(now: UInt64) {
        connectedNanoseconds = now
        progressNanoseconds = now
    }

    mutating func closed() { isOpen = false }
    mutating func sent(now: UInt64) { sentNanoseconds = now }
    mutating func received(now: UInt64) { receivedNanoseconds = now }
    mutating func pongReceived() { pingNanoseconds = nil }

    enum Due: Sendable, Hashable {
        case nothing
        case ping
        case dead
    }

    /// A PINGREQ goes out when either direction was silent for a keep alive; the next one instead of an answer ends it.
    mutating func due(now: UInt64) -> Due {
        guard isOpen, connectedNanoseconds != nil, keepAliveSeconds > 0 else { return .nothing }
        guard now >= nextNanoseconds else { return .nothing }
        guard pingNanoseconds == nil else { return .dead }
        pingNanoseconds = now
        sentNanoseconds = now
        receivedNanoseconds = now
        return .ping
    }

    /// When ``due(now:)`` has something next.
    var nextNanoseconds: UInt64 {
        guard isOpen, connectedNanoseconds != nil, keepAliveSeconds > 0 else { return .max }
        return min(sentNanoseconds, receivedNanoseconds) &+ UInt64(keepAliveSeconds) &* 1_000_000_000
    }
}
