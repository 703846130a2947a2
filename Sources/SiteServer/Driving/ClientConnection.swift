internal import Broker
internal import Logging
internal import MQTT
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

/// One client's transport connection: the only handler of its pipeline beside TLS, so the pipeline carries bytes alone.
///
/// It owns the decoder and the bytes gathered for the client. Confined to the loop of its driver.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How far the connection has come.
    enum Phase {
        /// Accepted; what comes before MQTT is not done.
        case opening
        /// The core knows it; CONNECT, or the AUTH that a challenge asks for, has not come.
        case awaitingConnect
        /// CONNECT or AUTH has come and is not answered. Nothing more is decoded until it is.
        case connecting
        /// CONNACK said yes.
        case connected
        /// Nothing more is decoded; what was gathered goes out, what comes is thrown away.
        case closing
        case closed
    }

    /// Why nothing is read from the socket.
    struct Pause: OptionSet {
        let rawValue: UInt8
        /// CONNECT is not answered yet.
        static let connecting = Pause(rawValue: 1)
        /// The journal has too much that is not on the disk.
        static let journal = Pause(rawValue: 2)
        /// The client does not take what its own packets cause.
        static let slow = Pause(rawValue: 4)
        /// The client publishes more quickly than it may.
        static let rate = Pause(rawValue: 8)
    }

    /// What comes before MQTT, in this order.
    struct Prelude: OptionSet {
        let rawValue: UInt8
        /// The proxy says where the client comes from.
        static let proxyHeader = Prelude(rawValue: 1)
        /// The handshake.
        static let tls = Prelude(rawValue: 2)
        /// The HTTP request that opens the WebSocket.
        static let upgrade = Prelude(rawValue: 4)
    }

    let driver: CoreDriver
    let state: ListenerState
    /// The listener as it was when the connection came.
    let listener: SiteServerConfiguration.Listener
    /// Set if the client is a part of this process.
    let attachment: LocalAttachment?
    var id = ConnectionID(slot: .max, generation: .max)
    var context: ChannelHandlerContext?
    var phase = Phase.opening
    /// What of the prelude is still to come.
    var awaited: Prelude = []
    var remoteAddress = ""
    /// What the limits per address count it by.
    var addressKey = ""
    /// Whether it counts among its listener's connections.
    var isCounted = false
    /// Whether it counts among its address's connections.
    var isAddressCounted = false
    /// Who the verified certificate says that the client is.
    var certificateIdentity: String?
    /// When it was accepted: what comes before MQTT and CONNECT itself share one time.
    var accepted = BrokerTime.now()
    /// Counts the bytes of a TLS connection until CONNECT is answered.
    var meter: HandshakeMeter?

    // Reading.
    var decoder: PacketDecoder
    /// Bytes of a packet that has not come whole.
    var undecoded = ByteBuffer()
    /// Bytes that came for what is before MQTT and may still be held.
    var preludeBytes = 0
    /// How many bytes count as pre-CONNECT bytes in the driver.
    var preConnectBytes = 0
    /// How quickly the client may publish; nil for any rate.
    var publishRate: PublishRate?
    var pauses: Pause = []

    // Writing.
    var version = ProtocolVersion.v3_1_1
    var outbound = ByteBuffer()
    var isTouched = false
    /// Bytes written since the channel said that it is full.
    var bytesSinceFull = 0
    var isWritable = true
    /// Set when the connection is to be closed after the next flush.
    var closeReason: CloseReason?

    init(driver: CoreDriver, state: ListenerState, attachment: LocalAttachment? = nil) {
        self.driver = driver
        self.state = state
        self.listener = state.listener
        self.attachment = attachment
        self.decoder = PacketDecoder(limits: Self.decoderLimits(driver, state))
    }

    private static func decoderLimits(_ driver: CoreDriver, _ state: ListenerState) -> DecoderLimits {
        var limits = driver.limits.decoder
        if let bytes = state.listener.policy.packetBytesMax {
            limits.maxPacketBytes = min(limits.maxPacketBytes, bytes)
            limits.maxConnectBytes = min(limits.maxConnectBytes, bytes)
        }
        return limits
    }

    /// Other limits are in force: they hold for a client that has not been told any.
    func limitsChanged() {
        switch phase {
        case .opening, .awaitingConnect, .connecting: decoder.limits = Self.decoderLimits(driver, state)
        case .connected, .closing, .closed: break
        }
    }

    // MARK: - The life of the channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(now: BrokerTime.now())
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(now: BrokerTime.now())
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent, awaited.contains(.tls) { handshakeIsDone(context) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let failure = TransportFailure(
            error,
            during: phase,
            certificate: {
                try? context.pipeline.syncOperations.nioSSL_peerCertificate()
            }
        )
        switch failure {
        case .disconnected(let why):
            driver.logger.debug("A connection broke", metadata: logMetadata(["cw_error": "\(why)"]))
        case .tls(let why):
            guard phase != .closing, phase != .closed else { break }
            driver.counters.tlsFailures.add()
            let metadata = logMetadata(["cw_reason": "\(why)"])
            driver.logPeer(.warning, "A TLS connection failed", metadata, now: BrokerTime.now())
        case .other(let why):
            let metadata = logMetadata(["cw_error": "\(why)"])
            driver.logPeer(.warning, "A connection failed", metadata, now: BrokerTime.now())
        }
        context.close(promise: nil)
    }

    /// Closes at once, whatever is on the way.
    func cut() { context?.close(promise: nil) }

    func logMetadata(_ more: Logger.Metadata = [:]) -> Logger.Metadata {
        var metadata = more
        metadata["cw_listener"] = "\(listener.name)"
        metadata["cw_remote"] = "\(remoteAddress)"
        return metadata
    }

    /// The transport is gone.
    private func end(now: BrokerTime) {
        let wasKnown = phase != .opening && phase != .closed
        phase = .closed
        closeReason = nil
        countPreConnect()
        undecoded = ByteBuffer()
        outbound = ByteBuffer()
        meter = nil
        driver.release(self, isKnownToCore: wasKnown, now: now)
    }
}
