import Bridge
import CausewayConfiguration
import Console
import Foundation
import Journal
import Logging
import MQTT
import MosquittoClient
import SiteServer

/// The site's links to other brokers: bridges to clouds and, in attach mode, the site's own broker.
final class SiteBridges: Sendable {
    private let services: [BridgeService]
    private let attached: AttachedBroker?
    private let ingest: AttachedIngest?

    /// Opens all outboxes. Nothing connects before ``start(_:)``.
    init(
        _ configuration: SiteConfiguration,
        journal: Journal,
        siteKey: String?,
        handlerFilters: [TopicFilter],
        logger: Logger
    ) throws {
        let log: @Sendable (BridgeReport) -> Void = { $0.write(to: logger) }
        let services = try configuration.bridges.map { bridge in
            try BridgeService(
                settings: try BridgeSettings(
                    bridge,
                    in: configuration,
                    siteKey: siteKey,
                    keys: journal.configuration.keys
                ),
                source: JournalSource(journal),
                log: log
            )
        }
        self.services = services
        guard let broker = configuration.siteBroker else {
            attached = nil
            ingest = nil
            return
        }
        let ingest = AttachedIngest(journal: journal)
        let wanted = handlerFilters + services.flatMap(\.filters)
        var settings = AttachedBrokerSettings(
            host: broker.address.host,
            port: UInt16(clamping: broker.address.port),
            site: configuration.site,
            filters: broker.topics ?? Array(Set(wanted.map(\.string))).sorted(),
            outboxDirectory: configuration.journal.path + "/outbox/site_broker"
        )
        settings.tls = broker.address.usesTLS ? MosquittoTLSOptions(broker.tls) : nil
        settings.keys = journal.configuration.keys
        settings.username = broker.username
        settings.password = try broker.passwordFile.map { try SecretFile.read($0) }
        self.ingest = ingest
        attached = try AttachedBroker(
            settings: settings,
            source: JournalSource(journal),
            ingest: { ingest.take($0) },
            commit: { ingest.commit() },
            log: log
        )
    }

    /// The readers that make matching messages durable.
    var readers: [(name: String, filters: [TopicFilter])] {
        let bridges = services.map { ($0.settings.name, $0.filters) }
        guard let attached else { return bridges }
        return bridges + [(AttachedBroker.publisher, attached.outputFilters)]
    }

    var oldestNeededRecord: UInt64 {
        let bridges = services.map(\.oldestNeededRecord).min() ?? .max
        return min(bridges, attached?.oldestNeededRecord ?? .max)
    }

    func committed(through sequence: UInt64) {
        for service in services { service.sourceAdvanced() }
        attached?.sourceAdvanced()
        ingest?.committed(through: sequence)
    }

    func start(_ server: SiteServer) throws {
        ingest?.open(server)
        for service in services { try service.start() }
        try attached?.start()
    }

    func stop() {
        ingest?.close()
        attached?.stop()
        for service in services { service.stop() }
    }

    // MARK: - Figures

    /// The highest number that the first bridge has given to a message.
    var lastSequence: UInt64 { services.first?.health.lastSequence ?? 0 }

    /// Messages that bridges have numbered and nobody has confirmed.
    var backlog: UInt64 { services.reduce(0) { $0 + $1.health.queueMessages } }

    private var figures: LinkFigures<BridgeHealth> {
        LinkFigures(kind: "bridge", links: services.map { ($0.settings.name, $0.health) })
    }

    /// For `$SYS`.
    var systemValues: [String: String] {
        figures.systemValues { ["messages": $0.queueMessages, "bytes": UInt64($0.queueBytes)] }
    }

    var metrics: [MetricFamily] {
        let figures = figures
        return [
            .gauge(
                "causeway_bridge_queue_messages",
                "Messages in the outbox",
                figures.samples { Double($0.queueMessages) }
            ),
            .gauge("causeway_bridge_queue_bytes", "Bytes of the outbox", figures.samples { Double($0.queueBytes) }),
            .gauge(
                "causeway_bridge_oldest_age_seconds",
                "Age of the oldest message that is not confirmed",
                figures.samples { Double($0.oldestAgeMilliseconds) / 1_000 }
            ),
        ] + figures.families
    }
}

extension BridgeReport {
    func write(to logger: Logger) {
        let level: Logger.Level =
            switch self.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        logger.log(level: level, "\(message)", metadata: metadata.mapValues { .string($0) })
    }
}

extension BridgeSettings {
    init(_ bridge: BridgeConfiguration, in site: SiteConfiguration, siteKey: String?, keys: KeyRing?) throws {
        self.init(
            name: bridge.name,
            host: bridge.address.host,
            port: UInt16(clamping: bridge.address.port),
            site: bridge.site,
            outboxDirectory: site.journal.path + "/outbox/" + bridge.name
        )
        tls = bridge.address.usesTLS ? MosquittoTLSOptions(bridge.tls) : nil
        allowsInsecure = !bridge.address.usesTLS
        shardCount = bridge.shards
        prefix = bridge.prefix
        protocolVersion = bridge.wireProtocol == .mqttv311 ? .v311 : .v5
        username = bridge.username
        password = try bridge.passwordFile.map { try SecretFile.read($0) }
        confirm = bridge.confirm == .puback ? .puback : .commit
        routes = bridge.routes.map { RouteRule($0) }
        self.siteKey = Array((siteKey ?? "").utf8)
        self.keys = keys
        outboxBytesMax = bridge.maxOutboxBytes
        overflow = bridge.overflow == .dropNewest ? .dropNewest : .dropOldest
        window = bridge.window
        keepAliveSeconds = UInt16(clamping: bridge.keepAlive.wholeSeconds)
        restartBaseMilliseconds = UInt64(bridge.restart.base.wholeMilliseconds)
        restartCapMilliseconds = UInt64(bridge.restart.cap.wholeMilliseconds)
        resendAfterMilliseconds = UInt64(bridge.resendAfter.wholeMilliseconds)
        drainPerSecond = bridge.drainRate.map { UInt64($0) }
    }
}

extension RouteRule {
    init(_ route: RouteConfiguration) {
        self.init(
            pattern: route.topic,
            template: route.to,
            trafficClass: TrafficClass(rawValue: route.trafficClass.rawValue) ?? .telemetry,
            qos: UInt8(clamping: route.qos),
            retain: route.retain,
            redactions: route.redact.mapValues { redaction in
                switch redaction {
                case .drop: .drop
                case .hmac: .hmac
                case .round(let decimals): .round(decimals: decimals)
                }
            }
        )
    }
}
