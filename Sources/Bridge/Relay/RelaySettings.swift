public import MQTT
public import MosquittoClient

/// A bridge between the site's broker and another one, topic by topic, as a `connection` block of mosquitto.conf
/// describes it. Names and defaults are Mosquitto's. Nothing is stamped, enveloped or redacted: a message leaves with
/// the bytes that it came with, and under the topic that the topic lines give it.
public struct RelaySettings: Sendable, Hashable {
    /// Where the other broker may be found.
    public struct Address: Sendable, Hashable {
        /// A host name or an IP address. With TLS it is what the certificate must be for.
        public var host: String
        /// The TCP port.
        public var port: UInt16

        /// Makes an address.
        public init(host: String, port: UInt16 = 1_883) {
            self.host = host
            self.port = port
        }
    }

    /// When the connection is made (`start_type`).
    public enum StartType: Sendable, Hashable {
        /// At the start, and again whenever it is lost.
        case automatic
        /// When so many messages wait; it is given up again after so many seconds without any.
        case lazy(threshold: Int, idleTimeoutSeconds: Int)
        /// At the start, and never again.
        case once
    }

    /// How long to wait before the next attempt (`restart_timeout`).
    public enum Restart: Sendable, Hashable {
        /// Always as long.
        case constant(milliseconds: Int)
        /// A random time between the base and three times the one before, up to the cap. It begins anew after a
        /// connection that lasted for `stableMilliseconds`.
        case backoff(baseMilliseconds: Int, capMilliseconds: Int, stableMilliseconds: Int)
    }

    /// Client identifier towards the other broker (`remote_clientid`).
    public var remoteClientID: String
    /// Client identifier on this side (`local_clientid`).
    public var localClientID: String
    /// What operators call it; the name after `connection`.
    public var name: String
    /// `address`: the first is preferred, unless ``isRoundRobin``.
    public var addresses: [Address]
    /// `topic`: what goes where, in the order of the configuration.
    public var topics: [RelayTopic]
    /// `round_robin`: no address is preferred.
    public var isRoundRobin = false
    /// `bridge_protocol_version`.
    public var protocolVersion = ProtocolVersion.v3_1_1
    /// `try_private`: on 3.x, say that this is a bridge by bit 7 of the protocol level.
    public var triesPrivate = true
    /// `remote_username`.
    public var remoteUsername: String?
    /// `remote_password`. Never log it.
    public var remotePassword: String?
    /// `local_username`: who the bridge is on this side.
    public var localUsername: String?
    /// `local_password`. Never log it.
    public var localPassword: String?
    /// `bridge_cafile` and so on; nil for plain TCP.
    public var tls: MosquittoTLSOptions?
    /// `cleansession`: the other broker forgets us when the connection goes.
    public var isRemoteSessionClean = false
    /// `local_cleansession`: what is published here while there is no connection is not kept. nil: as the other side's.
    public var isLocalSessionClean: Bool?
    /// `bridge_session_expiry_interval` (MQTT 5.0); 0 sends nothing, which means that the session ends with the
    /// connection.
    public var remoteSessionExpirySeconds: UInt32 = 0
    /// `start_type`, `threshold`, `idle_timeout`.
    public var startType = StartType.automatic
    /// `restart_timeout`.
    public var restart = Restart.backoff(baseMilliseconds: 5_000, capMilliseconds: 30_000, stableMilliseconds: 0)
    /// `keepalive_interval`, 5 to 65535 seconds.
    public var keepAliveSeconds: UInt16 = 60
    /// `notifications`: the state of the connection is published, retained, on both sides.
    public var publishesState = true
    /// `notifications_local_only`.
    public var publishesStateLocallyOnly = false
    /// `notification_topic`; nil: `$SYS/broker/connection/<remote client identifier>/state`.
    public var stateTopic: String?
    /// `bridge_attempt_unsubscribe`: topics that only go out are unsubscribed on the other side.
    public var attemptsUnsubscribe = true
    /// `bridge_outgoing_retain`: whether messages keep their retain flag on the way out.
    public var keepsOutgoingRetain = true
    /// `bridge_max_packet_size` in bytes; 0 for no limit of ours on the way out.
    public var remotePacketBytesMax: UInt32 = 0
    /// `bridge_receive_maximum` (MQTT 5.0): QoS 1 and 2 messages that the other broker may have under way to us.
    public var receiveMaximum: UInt16 = 20
    /// `bridge_max_topic_alias` (MQTT 5.0): topic aliases that the other broker may set.
    public var topicAliasMaximum: UInt16 = 10
    /// `max_inflight_messages`: QoS 1 and 2 messages of ours that are under way at once. What is beyond stays in the
    /// session on this side.
    public var window: UInt16 = 20
    /// The largest packet taken from the other broker (`max_packet_size`); a larger one ends the connection.
    public var inboundPacketBytesMax = 2_000_000
    /// `bridge_bind_address`: the address of ours that the connection comes from.
    public var bindAddress: String?
    /// `bridge_tcp_keepalive`; nil for the system's.
    public var tcpKeepAlive: TCPKeepAlive?
    /// `bridge_tcp_user_timeout` in milliseconds; nil for the system's.
    public var tcpUserTimeoutMilliseconds: UInt32?
    /// `bridge_reload_type`: whether changed settings count at once or from the next connection on.
    public var reloadsImmediately = false
    /// Where the relay keeps what it must know after a restart: which QoS 2 exchange of this side is which of the other
    /// side. nil keeps it in memory: a QoS 2 message that was under way may then arrive twice.
    public var stateDirectory: String?
    /// The connection counts as stalled after so many seconds without an acknowledgement that is due.
    public var stalledAfterSeconds = 30

    /// Makes settings with Mosquitto's defaults.
    /// - Parameter hostName: the host's name, for the client identifier `hostname.name`.
    public init(name: String, hostName: String, addresses: [Address], topics: [RelayTopic]) {
        self.name = name
        self.addresses = addresses
        self.topics = topics
        remoteClientID = "\(hostName).\(name)"
        localClientID = "local.\(hostName).\(name)"
    }

    /// Where the state of the connection is published.
    public var effectiveStateTopic: String { stateTopic ?? "$SYS/broker/connection/\(remoteClientID)/state" }

    /// Whether what waits for the other side is forgotten when the connection goes.
    var forgetsLocally: Bool { isLocalSessionClean ?? isRemoteSessionClean }
}

/// `bridge_tcp_keepalive idle interval counter`.
public struct TCPKeepAlive: Sendable, Hashable {
    /// Seconds of silence before the first probe.
    public var idleSeconds: Int
    /// Seconds between probes.
    public var intervalSeconds: Int
    /// Probes without an answer that end the connection.
    public var probes: Int

    /// Makes a value.
    public init(idleSeconds: Int, intervalSeconds: Int, probes: Int) {
        self.idleSeconds = idleSeconds
        self.intervalSeconds = intervalSeconds
        self.probes = probes
    }
}

extension RelaySettings {
    /// Checks what the relay relies on.
    func validate() throws(BridgeError) {
        func check(_ condition: Bool, _ message: String) throws(BridgeError) {
            guard condition else { throw BridgeError(.invalidSettings, "connection \(name): \(message)") }
        }
        try check(!name.isEmpty, "it has no name")
        try check(name.utf8.count <= 80, "its name has more than 80 bytes")
        try check(!addresses.isEmpty, "it has no address")
        try check(addresses.allSatisfy { !$0.host.isEmpty && $0.port > 0 }, "an address needs a host and a port")
        try check(!topics.isEmpty, "it has no topic")
        try check(topics.count <= RelayLimits.topicsMax, "it has more than \(RelayLimits.topicsMax) topics")
        try check(
            !remoteClientID.isEmpty && !localClientID.isEmpty && remoteClientID != localClientID,
            "`remote_clientid` and `local_clientid` are two names"
        )
        try check(
            remoteClientID.utf8.count <= 65_535 && localClientID.utf8.count <= 65_535,
            "an identifier is too long"
        )
        try check(keepAliveSeconds >= 5, "`keepalive_interval` is at least 5 seconds")
        try check(window > 0 && receiveMaximum > 0, "a window of 0 messages moves nothing")
        try check(remotePassword == nil || remoteUsername != nil, "`remote_password` needs `remote_username`")
        try check(localPassword == nil || localUsername != nil, "`local_password` needs `local_username`")
        if publishesState {
            try check((try? TopicName(validating: effectiveStateTopic)) != nil, "`notification_topic` is no topic")
        }
        if case .backoff(let base, let cap, _) = restart {
            try check(
                base > 0 && cap >= base,
                "`restart_timeout`: the base is more than nothing, the cap at least the base"
            )
        }
        if case .constant(let pause) = restart { try check(pause > 0, "`restart_timeout` is more than nothing") }
        if case .lazy(let threshold, let idle) = startType {
            try check((1...65_535).contains(threshold) && idle > 0, "`threshold` and `idle_timeout` are 1 or more")
        }
        for topic in topics { try topic.validate(in: name) }
    }
}
