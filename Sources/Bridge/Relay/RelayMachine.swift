internal import MQTT
internal import NIOCore

/// What the relay's thread must do.
enum RelayAction: Sendable, Hashable {
    /// Write to the core.
    case local(Packet)
    /// Write to the other broker.
    case remote(Packet)
    /// End the connection to the other broker.
    case closeRemote(RelayLoss)
    /// End the connection to the core.
    case closeLocal(String)
    /// Tell the operator.
    case report(BridgeReport)
}

/// The relay's protocol, without sockets and clocks: packets of either side and the time go in, actions come out.
/// It stands as a client on both sides, and an exchange of QoS 1 or 2 on one side ends only when the other side has
/// ended it. So at every moment one of the two brokers is responsible for a message, with its own disk, and the relay
/// for none.
///
/// - Out: PUBLISH of the core → PUBLISH there; PUBACK there → PUBACK to the core. With QoS 2 also PUBREC there → PUBREC
///   to the core, PUBREL of the core → PUBREL there, PUBCOMP there → PUBCOMP to the core.
/// - In: the same the other way round. The packet identifier of the other broker is used towards the core too, so a
///   QoS 2 message that comes again, even after a restart, is known to the core's session.
struct RelayMachine: Sendable {
    /// The connection to the core.
    enum LocalPhase: Sendable, Hashable {
        case down
        case awaitingConnack
        /// Subscriptions are asked for.
        case subscribing
        case up
    }

    /// The connection to the other broker.
    enum RemotePhase: Sendable, Hashable {
        case down
        case awaitingConnack
        case up
    }

    let settings: RelaySettings
    let map: RelayTopicMap
    var local = LocalPhase.down
    var remote = RemotePhase.down
    var health = RelayHealth()

    // MARK: Towards the core

    /// QoS 1 and 2 messages that the core takes at once.
    var localWindow = 65_535
    /// Identifiers of SUBSCRIBE, UNSUBSCRIBE and state messages of our own that the core has not answered.
    var ownLocalIDs: [UInt16: OwnLocalRequest] = [:]
    /// Filters that an earlier configuration subscribed to.
    var staleFilters: [String]
    var didAnnounceInitialState = false

    enum OwnLocalRequest: Sendable, Hashable {
        case subscribe([String])
        case unsubscribe
        case state
    }

    // MARK: Towards the other broker

    /// The version of the current connection; falls back to 3.1.1.
    var version: ProtocolVersion
    /// The other broker has not refused bit 7 yet.
    var isPrivateAccepted = true
    var remoteQoSMax = QoS.exactlyOnce
    var isRemoteRetainAvailable = true
    /// The largest packet that the other broker takes; 0 for no limit.
    var remotePacketBytesMax: UInt32 = 0
    /// QoS 1 and 2 messages that may be under way there.
    var remoteWindow: Int
    /// The last packet identifier given there; it goes on over reconnects.
    var lastRemoteID: UInt16 = 0
    /// Filters by the SUBSCRIBE that asks for them.
    var remoteSubscribes: [UInt16: String] = [:]
    /// State messages there without a PUBACK.
    var ownRemoteIDs: Set<UInt16> = []
    var aliases: [UInt16: TopicName] = [:]
    var clock = RelayClock()

    // MARK: Messages

    var outgoing: [UInt16: OutgoingExchange] = [:]
    var outgoingByRemoteID: [UInt16: UInt16] = [:]
    /// Local identifiers of messages that were never sent, in order.
    var unsent: [UInt16] = []
    var serial: UInt64 = 0
    /// Local identifiers of QoS 2 exchanges that were under way when the process ended, with those of the other side.
    var remembered: [UInt16: UInt16] = [:]
    /// Whether ``memory`` changed since it was last kept.
    var isMemoryDirty = false
    var incoming: [UInt16: IncomingExchange] = [:]
    var pendingIncoming: [Publish] = []
    var pendingIncomingBytes = 0
    /// When a message last went either way.
    var lastMessageNanoseconds: UInt64 = 0
    /// QoS 0 messages that a lazy relay holds while it is not connected.
    var held: [OutgoingExchange] = []

    /// - Parameters:
    ///   - memory: what an earlier run of this relay knew.
    init(settings: RelaySettings, memory: RelayMemory = RelayMemory()) throws(BridgeError) {
        try settings.validate()
        self.settings = settings
        map = try RelayTopicMap(settings.topics)
        version = settings.protocolVersion
        remoteWindow = Int(settings.window)
        let filters = Set(settings.topics.filter(\.direction.goesOut).map(\.localFilter))
        staleFilters = memory.filters.filter { !filters.contains($0) }
        remembered = memory.exchanges
        lastRemoteID = memory.lastRemoteID
    }

    /// What must be known after a restart.
    var memory: RelayMemory {
        var memory = RelayMemory()
        memory.filters = localFilters
        memory.lastRemoteID = lastRemoteID
        memory.exchanges = remembered
        for (localID, exchange) in outgoing where exchange.qos == .exactlyOnce && exchange.remoteID != 0 {
            memory.exchanges[localID] = exchange.remoteID
        }
        return memory
    }

    var localFilters: [String] { settings.topics.filter(\.direction.goesOut).map(\.localFilter) }

    // MARK: - The core's side

    /// The connection to the core stands.
    mutating func localOpened(_ actions: inout [RelayAction]) {
        local = .awaitingConnack
        ownLocalIDs = [:]
        var properties: [Property] = []
        if !settings.forgetsLocally { properties.append(.sessionExpiryInterval(.max)) }
        properties.append(.receiveMaximum(localReceiveMaximum))
        var will: Will?
        if settings.publishesState {
            // Only if the relay's thread ends without a word: an orderly end says so itself.
            will = Will(topic: stateTopic, payload: ByteBuffer(string: "0"), qos: .atLeastOnce, retain: true)
        }
        actions.append(
            .local(
                .connect(
                    Connect(
                        version: .v5,
                        clientID: settings.localClientID,
                        cleanStart: settings.forgetsLocally,
                        keepAliveSeconds: 0,
                        will: will,
                        username: settings.localUsername,
                        password: settings.localPassword.map { ByteBuffer(string: $0) },
                        properties: Properties(properties)
                    )
                )
            )
        )
    }

    /// The connection to the core has ended. The other broker's goes too, so that it sends again what was under way.
    mutating func localLost(_ actions: inout [RelayAction]) {
        local = .down
        ownLocalIDs = [:]
        incoming = [:]
        pendingIncoming = []
        pendingIncomingBytes = 0
        if remote != .down { actions.append(.closeRemote(.localGone)) }
    }

    /// A packet of the core.
    mutating func localReceived(_ packet: Packet, now: UInt64, _ actions: inout [RelayAction]) {
        switch packet {
        case .connack(let connack): localConnected(connack, &actions)
        case .publish(let publish): takeOutgoing(publish, now: now, &actions)
        case .pubrel(let answer): localReleased(answer.packetID, now: now, &actions)
        case .puback(let answer), .pubrec(let answer): localAccepted(answer, &actions)
        case .pubcomp(let answer): localCompleted(answer.packetID, &actions)
        case .suback(let suback): localSubscribed(suback, &actions)
        case .unsuback(let unsuback): ownLocalIDs[unsuback.packetID] = nil
        case .disconnect(let disconnect):
            actions.append(.closeLocal("the core said \(disconnect.reason.name)"))
        case .pingresp: break
        case .auth, .connect, .subscribe, .unsubscribe, .pingreq:
            actions.append(.closeLocal("the core sent a packet that only a client sends"))
        }
    }

    private mutating func localConnected(_ connack: Connack, _ actions: inout [RelayAction]) {
        guard local == .awaitingConnack else {
            actions.append(.closeLocal("a second CONNACK came"))
            return
        }
        guard !connack.reason.isError else {
            actions.append(.closeLocal("the core refused the bridge's session: \(connack.reason.name)"))
            return
        }
        localWindow =
            connack.properties.first { property in
                if case .receiveMaximum(let value) = property { Int(value) } else { nil }
            } ?? 65_535
        if !connack.sessionPresent { forgetOutgoing() }
        if !didAnnounceInitialState {
            didAnnounceInitialState = true
            announceLocally(false, &actions)
        }
        if !staleFilters.isEmpty, connack.sessionPresent {
            let id = ownLocalID(.unsubscribe)
            actions.append(.local(.unsubscribe(Unsubscribe(packetID: id, filters: staleFilters))))
        }
        staleFilters = []
        if settings.forgetsLocally || localFilters.isEmpty {
            local = .up
        } else {
            local = .subscribing
            subscribeLocally(.doNotSend, &actions)
        }
    }

    /// Asks the core for what goes out. Retained messages come with each connection to the other broker, not before.
    mutating func subscribeLocally(_ retained: RetainHandling, _ actions: inout [RelayAction]) {
        let requests = settings.topics.filter(\.direction.goesOut).map { topic in
            let isShared = topic.localFilter.hasPrefix("$share/")
            return Subscribe.Request(
                filter: topic.localFilter,
                options: SubscriptionOptions(
                    qos: topic.qos,
                    noLocal: !isShared,
                    retainAsPublished: true,
                    retainHandling: retained
                )
            )
        }
        var rest = requests[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(Self.filtersPerSubscribe))
            rest = rest.dropFirst(part.count)
            let id = ownLocalID(.subscribe(part.map(\.filter)))
            actions.append(.local(.subscribe(Subscribe(packetID: id, requests: part))))
        }
    }

    private static let filtersPerSubscribe = 16

    private mutating func localSubscribed(_ suback: Suback, _ actions: inout [RelayAction]) {
        guard case .subscribe(let filters) = ownLocalIDs.removeValue(forKey: suback.packetID) else { return }
        for (filter, reason) in zip(filters, suback.reasons) where reason.isError {
            let data = ["bridge": settings.name, "filter": filter, "reason": reason.name]
            actions.append(.report(BridgeReport(.error, "The site's broker refused a bridge's topic.", data)))
        }
        let isWaiting = ownLocalIDs.values.contains { if case .subscribe = $0 { true } else { false } }
        if local == .subscribing, !isWaiting { local = .up }
    }

    /// An identifier for a packet of our own towards the core: from the top, where the other broker's seldom are.
    mutating func ownLocalID(_ request: OwnLocalRequest) -> UInt16 {
        var id = UInt16.max
        while ownLocalIDs[id] != nil || incoming[id] != nil { id -= 1 }
        ownLocalIDs[id] = request
        return id
    }

    /// Publishes the connection's state on this side.
    mutating func announceLocally(_ isUp: Bool, _ actions: inout [RelayAction]) {
        guard settings.publishesState, local != .down else { return }
        actions.append(.local(.publish(stateMessage(isUp, id: ownLocalID(.state), retain: true))))
    }

    func stateMessage(_ isUp: Bool, id: UInt16, retain: Bool) -> Publish {
        Publish(
            topic: stateTopic,
            payload: ByteBuffer(string: isUp ? "1" : "0"),
            qos: id == 0 ? .atMostOnce : .atLeastOnce,
            retain: retain,
            packetID: id
        )
    }

    var stateTopic: TopicName { TopicName(uncheckedBytes: ByteBuffer(string: settings.effectiveStateTopic)) }

    private var localReceiveMaximum: UInt16 {
        // A lazy relay must see as many messages as make it connect.
        if case .lazy(let threshold, _) = settings.startType {
            return max(settings.window, UInt16(clamping: threshold))
        }
        return settings.window
    }
}

extension ReasonCode {
    /// The code as operators look it up.
    var name: String { "reason 0x" + (rawValue < 16 ? "0" : "") + String(rawValue, radix: 16) }
}
