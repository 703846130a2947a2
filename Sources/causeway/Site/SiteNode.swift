import Access
import Audit
import Broker
import CausewayConfiguration
import Foundation
import HandlerKit
import HandlerRuntime
import Journal
import Logging
import MQTT
import SiteServer
import Synchronization

/// A running site: journal, broker, handlers, bridges, console. The only place that knows how they fit together.
final class SiteNode: Sendable {
    /// The listeners, with the ports they really have.
    let listeners: [BoundListener]
    /// Nil where everything stays in memory.
    let journal: Journal?
    let server: SiteServer
    let runtime: HandlerRuntime?
    /// Nil without a journal, which they read.
    let bridges: SiteBridges?
    /// Bridges as Mosquitto's `connection` blocks describe them.
    let relays: SiteRelays
    let access: SiteAccess
    let audit: AuditWriter?
    private let console: ConsoleTask?
    private let probe: StatisticsProbe
    private let systemValues: SystemValues

    /// Starts everything; returns when devices can connect. Nothing here waits for the cloud.
    static func start(_ configuration: SiteConfiguration, logger: Logger) async throws -> SiteNode {
        let opened = try SiteJournal.open(configuration.journal)
        let journal = opened?.journal
        let siteKey = try configuration.siteKeyFile.map { try SecretFile.read($0) }
        let registrations = try configuration.handlers.filter(\.isEnabled).map { handler in
            do {
                return try HandlerRegistration.make(handler, siteKey: siteKey)
            } catch {
                throw StartFailure(
                    "\(configuration.file):\(handler.position.line): handler \(handler.name): \(error)"
                )
            }
        }
        let handlerReaders = try handlerReaders(registrations)
        let bridges = try journal.map { journal in
            try SiteBridges(
                configuration,
                journal: journal,
                siteKey: siteKey,
                handlerFilters: handlerReaders.flatMap(\.filters),
                logger: logger
            )
        }
        let recovered = RecoveredSite()
        let oldest = OldestNeeded()
        let access = try await SiteAccess(configuration)
        let audit = try configuration.audit.map { settings in
            // What cannot be audited must not happen: the process is asked to end, in good order.
            try AuditWriter(AuditConfiguration(settings), logger: logger) { kill(getpid(), SIGTERM) }
        }
        let server = try makeServer(
            configuration,
            access: access,
            audit: audit,
            opened: opened,
            recovered: recovered,
            readers: (bridges?.readers ?? []) + handlerReaders,
            oldest: oldest,
            logger: logger
        )
        access.attach(server, audit: audit)
        opened?.notices.add { [weak server] in server?.journalNotice($0) }
        let relays = try SiteRelays(configuration, server: server, logger: logger)
        // Bridges and handlers hold the journal's tail from before the first checkpoint on.
        oldest.add { [weak bridges] in bridges?.oldestNeededRecord ?? .max }
        let handlers = Mutex<HandlerRuntime?>(nil)
        let listeners = try await server.start {
            try relays.start()
            // A handler that is new begins with what comes from now on: before the first client, so that it misses
            // nothing.
            guard let opened else { return }
            let (journal, notices) = (opened.journal, opened.notices)
            let runtime = try makeRuntime(configuration, registrations, journal, recovered, server, logger)
            guard let runtime else { return }
            oldest.add { [weak runtime] in runtime?.oldestNeededRecord ?? .max }
            notices.add { [weak runtime] notice in
                if case .committed(let sequence) = notice { runtime?.committed(through: sequence) }
            }
            runtime.committed(through: journal.committedSequence)
            runtime.start()
            handlers.withLock { $0 = runtime }
        }
        let runtime = handlers.withLock { $0 }
        opened?.notices.add { [weak bridges] notice in
            if case .committed(let sequence) = notice { bridges?.committed(through: sequence) }
        }
        try bridges?.start(server)
        oldest.isComplete = true
        audit?.record(AuditEvent(.started, subject: configuration.file))
        let probe = StatisticsProbe()
        probe.start(server)
        let systemValues = SystemValues()
        // With Mosquitto's ways, the tree holds what Mosquitto's does.
        if configuration.sysInterval >= .seconds(1), configuration.compatibility != .mosquitto {
            systemValues.start(server, every: configuration.sysInterval) { [weak bridges, weak relays, weak audit] in
                var values = bridges?.systemValues ?? [:]
                values.merge(relays?.systemValues ?? [:]) { bridge, _ in bridge }
                values["audit/head"] = audit?.head
                return values
            }
        }
        let source = SiteConsoleSource(
            journal: journal,
            access: access,
            audit: audit,
            server: server,
            runtime: runtime,
            bridges: bridges,
            relays: relays,
            probe: probe
        )
        let console = try configuration.console.map { try ConsoleTask.start($0, source: source, logger: logger) }
        return SiteNode(
            listeners,
            journal,
            server,
            runtime,
            bridges,
            relays,
            access,
            audit,
            console,
            probe,
            systemValues
        )
    }

    private init(
        _ listeners: [BoundListener],
        _ journal: Journal?,
        _ server: SiteServer,
        _ runtime: HandlerRuntime?,
        _ bridges: SiteBridges?,
        _ relays: SiteRelays,
        _ access: SiteAccess,
        _ audit: AuditWriter?,
        _ console: ConsoleTask?,
        _ probe: StatisticsProbe,
        _ systemValues: SystemValues
    ) {
        self.listeners = listeners
        self.journal = journal
        self.server = server
        self.runtime = runtime
        self.bridges = bridges
        self.relays = relays
        self.access = access
        self.audit = audit
        self.console = console
        self.probe = probe
        self.systemValues = systemValues
    }

    /// Stops in the reverse order: what was acknowledged is on disk, what was decided is committed.
    func stop() async {
        probe.stop()
        systemValues.stop()
        await console?.stop()
        relays.stop()
        bridges?.stop()
        runtime?.stop()
        await server.shutDown()
        journal?.close()
        audit?.record(AuditEvent(.stopped))
        audit?.close()
    }

    private static func handlerReaders(
        _ registrations: [HandlerRegistration]
    ) throws -> [(name: String, filters: [TopicFilter])] {
        try registrations.map { registration in
            let filters = try registration.topics.map { try TopicFilter(TopicPattern($0).filter) }
            return (registration.name, filters)
        }
    }

    private static func makeServer(
        _ configuration: SiteConfiguration,
        access: SiteAccess,
        audit: AuditWriter?,
        opened: SiteJournal?,
        recovered: RecoveredSite,
        readers: [(name: String, filters: [TopicFilter])],
        oldest: OldestNeeded,
        logger: Logger
    ) throws -> SiteServer {
        let core = BrokerConfiguration(configuration, instanceID: Secret.makeInstanceID())
        return SiteServer(
            configuration: SiteServerConfiguration(configuration),
            journal: opened?.journal,
            authenticator: access,
            audit: audit,
            controlPlane: access.controlPlane,
            logger: logger,
            externalOldestNeeded: { oldest.value },
            makeCore: {
                try recovered.makeCore(
                    core,
                    access.authorizer,
                    readers: readers,
                    from: opened,
                    logger: logger
                )
            }
        )
    }

    private static func makeRuntime(
        _ configuration: SiteConfiguration,
        _ registrations: [HandlerRegistration],
        _ journal: Journal,
        _ recovered: RecoveredSite,
        _ server: SiteServer,
        _ logger: Logger
    ) throws -> HandlerRuntime? {
        guard !registrations.isEmpty else { return nil }
        let reporter = CommitReporter()
        let runtime = try HandlerRuntime(
            site: configuration.site,
            registrations: registrations,
            records: JournalReader(journal),
            recovered: recovered.handlers.withLock { $0 },
            logger: logger
        ) { [weak server] commits in
            server?.submit(commits) { count, sequence in reporter.appended(count, sequence) }
        }
        reporter.report(to: runtime)
        return runtime
    }
}

// MARK: - What the demo and the console ask

extension SiteNode {
    /// Decisions since the start.
    var decided: UInt64 { runtime?.decided ?? 0 }

    /// The highest number that a bridge has given to a message for the cloud.
    var bridged: UInt64 { bridges?.lastSequence ?? 0 }

    /// Messages that a bridge has numbered and the cloud has not confirmed.
    var bridgeBacklog: UInt64 { bridges?.backlog ?? 0 }
}

/// Tells the runtime where its commits stand. It breaks the circle of server and runtime.
private final class CommitReporter: Sendable {
    private struct Weak: Sendable { weak var runtime: HandlerRuntime? }

    private let state = Mutex(Weak())

    func report(to runtime: HandlerRuntime) { state.withLock { $0.runtime = runtime } }

    func appended(_ count: Int, _ sequence: UInt64) {
        state.withLock { $0.runtime }?.appended(count, through: sequence)
    }
}

/// The oldest journal record that any reader outside the core still needs.
final class OldestNeeded: Sendable {
    private struct State {
        var readers: [@Sendable () -> UInt64] = []
        var isComplete = false
    }

    private let state = Mutex(State())

    func add(_ reader: @escaping @Sendable () -> UInt64) { state.withLock { $0.readers.append(reader) } }

    /// Whether every reader is known. Until then nothing may be retired.
    var isComplete: Bool {
        get { state.withLock { $0.isComplete } }
        set { state.withLock { $0.isComplete = newValue } }
    }

    var value: UInt64 {
        let state = state.withLock { $0 }
        guard state.isComplete else { return 0 }
        return state.readers.reduce(UInt64.max) { min($0, $1()) }
    }
}
