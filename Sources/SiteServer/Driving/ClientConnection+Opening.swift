internal import Broker
internal import Logging
internal import MQTT
internal import NIOCore
internal import NIOSSL

// From accepting a connection to the moment at which the core hears of it.
extension ClientConnection {
    /// The connection is there.
    func begin(_ context: ChannelHandlerContext) {
        remoteAddress = PeerAddress.text(context.remoteAddress)
        addressKey = PeerAddress.key(remoteAddress)
        accepted = BrokerTime.now()
        if listener.proxyProtocol != nil { awaited.insert(.proxyHeader) }
        if listener.tls != nil { awaited.insert(.tls) }
        if case .webSockets = listener.transport { awaited.insert(.upgrade) }
        guard driver.admit(self, now: accepted), mayProxy() else {
            cutBeforeMQTT(context)
            return
        }
        guard !awaited.isEmpty else {
            opened()
            return
        }
        driver.handshakeDeadlines.insert(id, now: accepted)
    }

    /// Whether the peer, which is a proxy here, is believed.
    private func mayProxy() -> Bool {
        guard listener.proxyProtocol != nil, !state.proxyNetworks.isEmpty else { return true }
        guard !state.proxyNetworks.contains(where: { $0.contains(remoteAddress) }) else { return true }
        refusePrelude("the address is no trusted proxy's")
        return false
    }

    /// The proxy has said where the client comes from.
    func proxied(_ header: ProxyHeader) -> Bool {
        guard awaited.contains(.proxyHeader), let context, let options = listener.proxyProtocol else { return false }
        if case .client(let address) = header.source {
            remoteAddress = PeerAddress.unmapped(address)
            addressKey = PeerAddress.key(remoteAddress)
        }
        if options.requireTLS, !header.isTLS {
            refusePrelude("the client did not come by TLS, says the proxy")
        } else if options.requireCertificate, !header.isCertificateVerified {
            refusePrelude("the client showed no certificate that its proxy verified")
        } else if driver.admitAddress(self, now: BrokerTime.now()) {
            if options.useIdentityAsUsername, header.isCertificateVerified { certificateIdentity = header.commonName }
            passed(.proxyHeader)
            return true
        }
        cutBeforeMQTT(context)
        return false
    }

    /// The TLS handshake is done; the certificate, if there is one, is of an authority that is trusted here.
    func handshakeIsDone(_ context: ChannelHandlerContext) {
        preludeBytes = 0
        let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
        if let tls = listener.tls, tls.clientCertificate != .none, let certificate {
            if let revocation = state.security?.revocation, let why = revocation.objection(to: certificate) {
                driver.counters.certificatesRevoked.add()
                driver.counters.tlsFailures.add()
                let metadata = logMetadata(["cw_reason": "\(why)"])
                driver.logPeer(.warning, "A TLS connection failed", metadata, now: BrokerTime.now())
                cutBeforeMQTT(context)
                return
            }
            certificateIdentity =
                tls.useSubjectAsUsername ? SubjectName.text(of: certificate) : certificate.commonName
        }
        passed(.tls)
    }

    /// The client speaks MQTT from here on, in WebSocket messages.
    func upgraded() {
        preludeBytes = 0
        passed(.upgrade)
    }

    /// A part of the prelude is done.
    private func passed(_ part: Prelude) {
        awaited.remove(part)
        countPreConnect()
        if awaited.isEmpty, phase == .opening { opened() }
    }

    /// The time for the prelude is over, if it is not done.
    func handshakeIsDue(now: BrokerTime) {
        guard phase == .opening else { return }
        driver.counters.handshakeTimeouts.add()
        let what: Logger.Message =
            if awaited.contains(.proxyHeader) {
                "A PROXY header was not there in time"
            } else if awaited.contains(.tls) {
                "A TLS handshake was not done in time"
            } else {
                "A WebSocket was not opened in time"
            }
        driver.logPeer(.info, what, logMetadata(), now: now)
        context?.close(promise: nil)
    }

    /// Says in the log why a connection ends before MQTT begins.
    func refusePrelude(_ why: String) {
        driver.counters.handshakeFailures.add()
        let metadata = logMetadata(["cw_reason": "\(why)"])
        driver.logPeer(.warning, "A connection was refused before MQTT", metadata, now: BrokerTime.now())
    }

    /// Lets what was written before go out, throws away what comes, and closes in time: for an HTTP answer that says
    /// no.
    func finishPrelude() {
        guard phase == .opening else { return }
        phase = .closing
        countPreConnect()
        driver.closeDeadlines.insert(id, now: BrokerTime.now())
    }

    /// The frames around MQTT are wrong. The core ends the connection; the transport has said why, and sends no more.
    func transportViolated(_ message: String) {
        driver.turn { core, now, effects in
            let error = MQTTError(.protocolError, "MQTT-6.0.0-1", message)
            core.violated(id, error: error, now: now, effects: &effects)
        }
    }

    /// Notes the memory that a part of the prelude holds.
    func holds(preludeBytes bytes: Int) {
        preludeBytes = bytes
        countPreConnect()
    }

    /// Takes the meter of the TLS handshake away once the client is let in.
    func removeMeter() {
        guard let meter, let context else { return }
        self.meter = nil
        preludeBytes = 0
        context.pipeline.syncOperations.removeHandler(meter, promise: nil)
    }

    private func cutBeforeMQTT(_ context: ChannelHandlerContext) {
        phase = .closing
        countPreConnect()
        context.close(promise: nil)
    }

    private func opened() {
        phase = .awaitingConnect
        countPreConnect()
        publishRate = PublishRate(
            messagesPerSecond: listener.publishRateMax ?? driver.limits.publishRateMax,
            bytesPerSecond: listener.publishBytesPerSecondMax ?? driver.limits.publishBytesPerSecondMax,
            now: accepted.monotonicNanoseconds
        )
        let requiresIdentity =
            listener.tls.map { $0.namesByCertificate && $0.clientCertificate == .required } == true
            || listener.proxyProtocol?.useIdentityAsUsername == true
        let offersIdentity = listener.tls?.namesByCertificate == true && certificateIdentity != nil
        var info = ConnectionInfo(
            listener: listener.name,
            remoteAddress: remoteAddress,
            certificateIdentity: certificateIdentity,
            useIdentityAsUsername: requiresIdentity || offersIdentity,
            allowAnonymous: state.listener.allowAnonymous,
            policy: state.listener.policy
        )
        info.isTrusted = attachment?.bypassesAccess ?? false
        driver.core.opened(id, info: info, now: accepted)
    }
}

/// Counts what comes on a TLS connection until the client is let in: the TLS library holds it where nobody else sees
/// it.
final class HandshakeMeter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let connection: ClientConnection

    init(_ connection: ClientConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.holds(preludeBytes: connection.preludeBytes + Self.unwrapInboundIn(data).readableBytes)
        guard connection.phase != .closed else { return }
        context.fireChannelRead(data)
    }
}
