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
        /// Accepted; for TLS, the handshake is not done.
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
    }

    let driver: CoreDriver
    let listenerIndex: Int
    let listener: SiteServerConfiguration.Listener
    var id = ConnectionID(slot: .max, generation: .max)
    var context: ChannelHandlerContext?
    var phase = Phase.opening
    var remoteAddress = ""
    /// Whether it counts among its address's and its listener's connections.
    var isCounted = false

    // Reading.
    var decoder: PacketDecoder
    /// Bytes of a packet that has not come whole.
    var undecoded = ByteBuffer()
    /// How many of these count as pre-CONNECT bytes in the driver.
    var preConnectBytes = 0
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

    init(driver: CoreDriver, listenerIndex: Int, listener: SiteServerConfiguration.Listener) {
        self.driver = driver
        self.listenerIndex = listenerIndex
        self.listener = listener
        var limits = driver.limits.decoder
        if let largest = listener.policy.packetBytesMax { limits.maxPacketBytes = min(limits.maxPacketBytes, largest) }
        self.decoder = PacketDecoder(limits: limits)
    }

    // MARK: - The life of the channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(now: BrokerTime.now())
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        remoteAddress = PeerAddress.text(context.remoteAddress)
        let now = BrokerTime.now()
        guard driver.admit(self, now: now) else {
            phase = .closed
            context.close(promise: nil)
            return
        }
        if listener.tls == nil {
            opened(certificateIdentity: nil, now: now)
        } else {
            driver.handshakeDeadlines.insert(id, now: now)
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(now: BrokerTime.now())
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent, phase == .opening {
            let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
            // Without `require_certificate` nothing vouches for what a client shows.
            let identity = listener.tls?.requireCertificate == true ? certificate?.commonName : nil
            opened(certificateIdentity: identity, now: BrokerTime.now())
        }
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

    /// The handshake's time is over, if it is not done.
    func handshakeIsDue(now: BrokerTime) {
        guard phase == .opening else { return }
        driver.counters.handshakeTimeouts.add()
        driver.logPeer(.info, "A TLS handshake was not done in time", logMetadata(), now: now)
        context?.close(promise: nil)
    }

    /// Closes at once, whatever is on the way.
    func cut() { context?.close(promise: nil) }

    func logMetadata(_ more: Logger.Metadata = [:]) -> Logger.Metadata {
        var metadata = more
        metadata["cw_listener"] = "\(listener.name)"
        metadata["cw_remote"] = "\(remoteAddress)"
        return metadata
    }

    private func opened(certificateIdentity: String?, now: BrokerTime) {
        phase = .awaitingConnect
        let info = ConnectionInfo(
            listener: listener.name,
            remoteAddress: remoteAddress,
            certificateIdentity: certificateIdentity,
            useIdentityAsUsername: listener.tls?.useIdentityAsUsername ?? false,
            allowAnonymous: listener.allowAnonymous,
            policy: listener.policy
        )
        driver.core.opened(id, info: info, now: now)
    }

    /// The transport is gone.
    private func end(now: BrokerTime) {
        let wasKnown = phase != .opening && phase != .closed
        phase = .closed
        closeReason = nil
        countPreConnect(0)
        undecoded = ByteBuffer()
        outbound = ByteBuffer()
        driver.release(self, isKnownToCore: wasKnown, now: now)
    }
}
