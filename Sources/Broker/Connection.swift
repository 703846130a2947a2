import MQTT

/// What the core knows of one transport connection. Confined to the loop of its core.
final class Connection {
    enum State {
        /// Nothing but CONNECT may come.
        case awaitingConnect
        /// The driver is asking who it is, or the client was asked by AUTH.
        case authenticating
        case connected
        /// It is being closed: whatever still comes is thrown away.
        case closing
    }

    let id: ConnectionID
    private(set) var info: ConnectionInfo
    let openedNanoseconds: UInt64
    var state = State.awaitingConnect
    var connect: Connect?
    /// What the listener grants, settled with the broker's own limits before CONNACK tells the client of it.
    private(set) var grants: Grants
    /// Packets that came between CONNECT and CONNACK [MQTT-3.1.4-5].
    var early: [Packet] = []
    var assignedClientID = false
    /// The method that CONNECT named; no other may follow [MQTT-4.12.0-5].
    var authenticationMethod: String?
    /// The exchange that goes on, before CONNACK or again.
    var exchange: AuthenticationExchange?

    var isV5 = false
    /// Whether it said that it is a bridge of Mosquitto's kind, 3.x only (`try_private`).
    var isBridge = false
    var session: Session?
    /// Whether the transport takes more bytes.
    var isWritable = true
    var lastReceivedNanoseconds: UInt64
    /// One and a half times the keep alive [MQTT-3.1.2-22]; 0 for none.
    var silenceNanosecondsMax: UInt64 = 0
    /// QoS 1 and 2 messages that may be on the way to the client.
    var window = 0
    /// QoS 1 and 2 messages of the client that are not answered yet.
    var inboundInflight = 0
    /// Whether a message of it was refused for want of room and, as 3.x knows no refusal, not answered.
    var isOwedAnswer = false
    var clientPacketBytesMax = UInt32.max
    var wantsProblemInformation = true
    var aliases: [UInt16: TopicName] = [:]
    /// Aliases that the client knows, and how many it takes; 0 if none [MQTT-3.1.2-27].
    private var aliasesGiven: [TopicName: UInt16] = [:]
    var aliasesGivenMax: UInt16 = 0
    var will: Will?
    /// When what it authenticated with ends; `.max` for never.
    var expiresNanoseconds = UInt64.max
    /// Why it was closed, once it is.
    var closeReason: CloseReason?
    /// What the audit log has been told of its denials.
    var denials = AuditGate()

    /// Whether a packet can go to the client as any other is given it: the client sees whole topics, takes packets of
    /// any size and knows no aliases.
    @inline(__always)
    var takesPlainPackets: Bool {
        !grants.hasMountPoint && aliasesGivenMax == 0 && (!isV5 || clientPacketBytesMax == .max)
    }

    init(id: ConnectionID, info: ConnectionInfo, grants: Grants, now: BrokerTime) {
        self.id = id
        self.info = info
        self.grants = grants
        self.openedNanoseconds = now.monotonicNanoseconds
        self.lastReceivedNanoseconds = now.monotonicNanoseconds
    }

    /// Settles anew what is granted, while the client has not been told.
    func settle(_ policy: ListenerPolicy, _ configuration: BrokerConfiguration) {
        info.policy = policy
        grants = Grants(policy, configuration)
    }

    /// The alias that a PUBLISH of this topic carries, and whether the client knows it. The first topics of a
    /// connection are given one, and keep it; 0 for the others.
    func aliasGiven(for topic: TopicName) -> (alias: UInt16, isKnown: Bool) {
        if let alias = aliasesGiven[topic] { return (alias, true) }
        guard aliasesGiven.count < Int(aliasesGivenMax) else { return (0, false) }
        let alias = UInt16(aliasesGiven.count + 1)
        aliasesGiven[topic.copied()] = alias
        return (alias, false)
    }
}
