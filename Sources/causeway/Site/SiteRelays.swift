import Bridge
import Broker
import CausewayConfiguration
import Console
import Dispatch
import Foundation
import Logging
import MQTT
import MosquittoClient
import SiteServer
import Synchronization

/// The site's bridges as Mosquitto's `connection` blocks describe them: entries of `bridges` with `kind: relay`, and
/// every bridge of a `mosquitto.conf`.
final class SiteRelays: Sendable {
    /// What a start waits for the relays' sessions with the core at most, in milliseconds.
    private static let attachMilliseconds: UInt64 = 2_000

    private let service: RelayService

    /// Checks the configuration. Nothing connects before ``start()``.
    init(_ configuration: SiteConfiguration, server: SiteServer, logger: Logger) throws {
        let log: @Sendable (BridgeReport) -> Void = { $0.write(to: logger) }
        service = RelayService(
            attach: { [weak server] settings in
                guard let server else { throw StartFailure("the site's broker is gone") }
                return try Self.attach(settings, to: server)
            },
            log: log
        )
        try service.apply(try Self.settings(configuration))
    }

    /// Starts the threads and waits until each has its session with the core: before the first client is let in, so
    /// that no message passes a relay by. For the other brokers nothing waits.
    func start() throws {
        try service.start()
        _ = service.waitUntilAttached(milliseconds: Self.attachMilliseconds)
    }

    func stop() { service.stop() }

    /// A client of the core inside this process. Its topic lines are the operator's word on what it may do, so no rule
    /// is asked; nobody outside can have its identity.
    private static func attach(_ settings: RelaySettings, to server: SiteServer) throws -> CInt {
        let attachment = LocalAttachment(name: "bridge.\(settings.name)", bypassesAccess: true)
        let result = Mutex<Result<CInt, any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
        // The relay's own thread waits, which is none of the pool that the task runs on.
        Task {
            let answer: Result<CInt, any Error>
            do {
                answer = .success(try await server.attachLocal(attachment))
            } catch {
                answer = .failure(error)
            }
            result.withLock { $0 = answer }
            done.signal()
        }
        done.wait()
        guard let answer = result.withLock({ $0 }) else { throw StartFailure("the site's broker gave no answer") }
        return try answer.get()
    }

    private static func settings(_ configuration: SiteConfiguration) throws -> [RelaySettings] {
        let host = ProcessInfo.processInfo.hostName
        return try configuration.relays.map { try RelaySettings($0, in: configuration, hostName: host) }
    }

    // MARK: - Figures

    private var figures: LinkFigures<RelayHealth> { LinkFigures(kind: "relay", links: service.health) }

    /// For `$SYS`.
    var systemValues: [String: String] { figures.systemValues { ["messages": UInt64($0.waiting)] } }

    var metrics: [MetricFamily] {
        let figures = figures
        guard !figures.links.isEmpty else { return [] }
        return figures.families + [
            .gauge(
                "causeway_relay_waiting",
                "Messages that wait for the other broker",
                figures.samples { Double($0.waiting) }
            ),
            .counter("causeway_relay_sent", "Messages sent", figures.samples { Double($0.sentTotal) }),
            .counter("causeway_relay_received", "Messages received", figures.samples { Double($0.receivedTotal) }),
        ]
    }
}

/// Relays are added, changed and removed while the node runs; those that are as they were go on.
extension SiteRelays: Reloadable {
    var name: String { "relays" }

    func prepare(_ new: SiteConfiguration, replacing old: SiteConfiguration) async throws -> PreparedReload {
        let settings = try Self.settings(new)
        try RelayService.check(settings)
        guard settings != (try Self.settings(old)) else { return .nothing }
        let service = service
        return PreparedReload {
            // A relay that is removed may take seconds to say goodbye, and blocks for it: not on the pool of tasks.
            let failure: BridgeError? = await withCheckedContinuation { continuation in
                DispatchQueue.global().async {
                    do throws(BridgeError) {
                        try service.apply(settings)
                        continuation.resume(returning: nil)
                    } catch {
                        continuation.resume(returning: error)
                    }
                }
            }
            if let failure { throw failure }
            return ReloadNotes(applied: settings.map { "relay \($0.name)" })
        }
    }
}

extension RelaySettings {
    init(_ bridge: MosquittoBridge, in site: SiteConfiguration, hostName: String) throws {
        self.init(
            name: bridge.name,
            hostName: hostName,
            addresses: bridge.addresses.map { Address(host: $0.host, port: UInt16(clamping: $0.port)) },
            topics: bridge.topics.map { RelayTopic($0) }
        )
        remoteClientID = bridge.effectiveRemoteClientID(hostName: hostName)
        localClientID = bridge.effectiveLocalClientID(hostName: hostName)
        isRoundRobin = bridge.roundRobin
        triesPrivate = bridge.tryPrivate
        protocolVersion =
            switch bridge.protocolVersion {
            case .mqttv31: .v3_1
            case .mqttv311: .v3_1_1
            case .mqttv50: .v5
            }
        remoteUsername = bridge.remoteUsername
        remotePassword = try bridge.remotePasswordFile.map { try SecretFile.read($0) } ?? bridge.remotePassword
        tls = try MosquittoTLSOptions(relay: bridge)
        isRemoteSessionClean = bridge.cleanSession
        isLocalSessionClean = bridge.localCleanSession
        remoteSessionExpirySeconds = UInt32(clamping: bridge.sessionExpirySeconds)
        startType =
            switch bridge.startType {
            case .automatic: .automatic
            case .once: .once
            case .lazy:
                .lazy(
                    threshold: min(bridge.threshold, Int(UInt16.max)),
                    idleTimeoutSeconds: bridge.idleTimeoutSeconds
                )
            }
        restart =
            switch bridge.restart {
            case .constant(let seconds): .constant(milliseconds: seconds * 1_000)
            case .backoff(let base, let cap, let stable):
                .backoff(
                    baseMilliseconds: base * 1_000,
                    capMilliseconds: max(base, cap) * 1_000,
                    stableMilliseconds: stable * 1_000
                )
            }
        keepAliveSeconds = UInt16(clamping: bridge.keepAliveSeconds)
        publishesState = bridge.notifications
        publishesStateLocallyOnly = bridge.notificationsLocalOnly
        stateTopic = bridge.notificationTopic
        attemptsUnsubscribe = bridge.attemptUnsubscribe
        keepsOutgoingRetain = bridge.outgoingRetain
        remotePacketBytesMax = UInt32(clamping: bridge.maxPacketBytes)
        topicAliasMaximum = UInt16(clamping: bridge.maxTopicAlias)
        if let maximum = bridge.receiveMaximum { receiveMaximum = UInt16(clamping: max(1, maximum)) }
        window = UInt16(clamping: max(1, site.limits.maxInflightMessages))
        inboundPacketBytesMax = site.limits.maxPacketBytes
        bindAddress = bridge.bindAddress
        if bridge.tcpKeepAlive.count == 3 {
            tcpKeepAlive = TCPKeepAlive(
                idleSeconds: bridge.tcpKeepAlive[0],
                intervalSeconds: bridge.tcpKeepAlive[1],
                probes: bridge.tcpKeepAlive[2]
            )
        }
        tcpUserTimeoutMilliseconds = bridge.tcpUserTimeoutMilliseconds.map { UInt32(clamping: $0) }
        reloadsImmediately = bridge.reloadType == .immediate
        stateDirectory = site.journal.isEnabled ? site.journal.path + "/relays" : nil
    }
}

extension RelayTopic {
    init(_ topic: MosquittoBridge.Topic) {
        self.init(
            pattern: topic.pattern,
            direction: topic.direction == .out ? .out : topic.direction == .in ? .in : .both,
            qos: QoS(rawValue: UInt8(clamping: topic.qos)) ?? .exactlyOnce,
            localPrefix: topic.localPrefix,
            remotePrefix: topic.remotePrefix
        )
    }
}

extension MosquittoTLSOptions {
    /// nil for plain TCP. Whoever asks for TLS and gets none of it here is told so, and nothing starts.
    init?(relay bridge: MosquittoBridge) throws {
        let tls = bridge.tls
        guard tls.isUsed else { return nil }
        guard tls.sharedKey == nil, tls.sharedKeyIdentity == nil else {
            throw StartFailure(
                "\(bridge.place.file):\(bridge.place.line): TLS with a shared key (PSK) is not supported"
            )
        }
        self.init(cafile: tls.authorityFile, certfile: tls.certificateFile, keyfile: tls.keyFile)
        capath = tls.authorityFolder
        alpn = tls.applicationProtocol
        insecure = tls.skipsHostNameCheck
        ciphers = tls.ciphers
        ciphersTLS13 = tls.ciphersTLS13
        if tls.version == "tlsv1.3" { minimumVersion = .tls13 }
    }
}
