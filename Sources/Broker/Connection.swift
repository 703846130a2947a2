import MQTT

/// What the core knows of one transport connection. Confined to the loop of its core.
final class Connection {
    enum State {
        /// Nothing but CONNECT may come.
        case awaitingConnect
        /// The driver is asking who it is.
        case authenticating
        case connected
        /// It is being closed: whatever still comes is thrown away.
        case closing
    }

    let id: ConnectionID
    let info: ConnectionInfo
    let openedNanoseconds: UInt64
    var state = State.awaitingConnect
    var connect: Connect?
    /// What the listener grants, settled with the broker's own limits at CONNECT.
    let grants: Grants
    /// Packets that came between CONNECT and CONNACK [MQTT-3.1.4-5].
    var early: [Packet] = []
    var assignedClientID = false

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
    var clientPacketBytesMax = UInt32.max
    var wantsProblemInformation = true
    var aliases: [UInt16: TopicName] = [:]
    var will: Will?

    init(id: ConnectionID, info: ConnectionInfo, grants: Grants, now: BrokerTime) {
        self.id = id
        self.info = info
        self.grants = grants
        self.openedNanoseconds = now.monotonicNanoseconds
        self.lastReceivedNanoseconds = now.monotonicNanoseconds
    }
}
