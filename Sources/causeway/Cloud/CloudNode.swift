import Access
import Broker
import CausewayConfiguration
import Cloud
import Foundation
import Journal
import Logging
import MQTT
import MosquittoClient
import SiteServer

/// The cloud's side: a broker of its own or a link to an existing one, and the aggregator that stores what sites
/// bridge.
final class CloudNode: Sendable {
    /// The embedded broker's listeners, with the ports they really have.
    let listeners: [BoundListener]
    let aggregator: Aggregator
    let broker: SiteServer?
    private let journal: Journal?
    private let console: ConsoleTask?
    private let logger: Logger

    /// Starts everything; returns when sites can connect.
    static func start(_ configuration: CloudConfiguration, logger: Logger) async throws -> CloudNode {
        var broker: SiteServer?
        var journal: Journal?
        var bound: [BoundListener] = []
        let link: MosquittoConfiguration
        switch configuration.broker {
        case .embedded(let embedded):
            let secret = Secret.make()
            let made = try EmbeddedBroker.make(configuration, embedded, secret: secret, logger: logger)
            bound = try await made.server.start()
            broker = made.server
            journal = made.journal
            guard let own = bound.first(where: { $0.name == InternalDoor.listener }) else {
                throw StartFailure("The embedded broker has no listener for its aggregator")
            }
            var internalLink = MosquittoConfiguration(
                host: own.address,
                port: UInt16(clamping: own.port),
                clientID: "causeway-aggregator"
            )
            internalLink.username = InternalDoor.username
            internalLink.password = secret
            link = internalLink
        case .existing(let address):
            link = try .make(address, clientID: "causeway-\(configuration.cloud)")
        }
        var aggregation = AggregatorConfiguration()
        aggregation.batchMessagesMax = configuration.batch.maxMessages
        aggregation.batchMilliseconds = configuration.batch.maxDelay.wholeMilliseconds
        if case .only(let shards) = configuration.shards {
            aggregation.shards = shards.map { $0 < 10 ? "0\($0)" : "\($0)" }
        }
        let database = configuration.databasePath
        try Folder.make(forFile: database)
        let aggregator = Aggregator(
            configuration: aggregation,
            logger: logger,
            makeStore: { SQLiteStore(path: database) },
            makeLink: { MosquittoAggregatorLink(configuration: link) }
        )
        try aggregator.start()
        let source = CloudConsoleSource(aggregator: aggregator, broker: broker)
        let console = try configuration.console.map {
            try ConsoleTask.start($0, source: source, logger: logger)
        }
        return CloudNode(
            listeners: bound.filter { $0.name != InternalDoor.listener },
            aggregator: aggregator,
            broker: broker,
            journal: journal,
            console: console,
            logger: logger
        )
    }

    private init(
        listeners: [BoundListener],
        aggregator: Aggregator,
        broker: SiteServer?,
        journal: Journal?,
        console: ConsoleTask?,
        logger: Logger
    ) {
        self.listeners = listeners
        self.aggregator = aggregator
        self.broker = broker
        self.journal = journal
        self.console = console
        self.logger = logger
    }

    /// Commits what is queued and ends everything.
    func stop() async {
        await console?.stop()
        await aggregator.stop()
        await broker?.shutDown()
        journal?.close()
    }
}

/// A broker for sites' bridges inside the aggregator's process.
enum EmbeddedBroker {
    static func make(
        _ configuration: CloudConfiguration,
        _ embedded: EmbeddedBrokerConfiguration,
        secret: String,
        logger: Logger
    ) throws -> (server: SiteServer, journal: Journal) {
        let notices = JournalNotices()
        let (journal, recovery) = try Journal.open(
            try Journal.Configuration(configuration.journal, directory: configuration.journal.path + "/journal"),
            onCommit: { notices.post($0) }
        )
        var listeners = embedded.listeners.map { SiteServerConfiguration.Listener($0, limits: embedded.limits) }
        listeners.append(
            SiteServerConfiguration.Listener(
                name: InternalDoor.listener,
                host: "127.0.0.1",
                port: 0,
                connectionsMax: 16
            )
        )
        let limits = embedded.limits
        let authorizer = InternalAccess(
            others: try RuleAuthorizer.make(configuration.access, levelsMax: limits.maxTopicLevels)
        )
        let authenticator = InternalDoor(secret: secret, others: try ListenerAuthenticator.make(configuration.users))
        var brokerConfiguration = BrokerConfiguration(limits, instanceID: Secret.makeInstanceID())
        // The aggregator's window: with more in flight a batch fills in one round trip.
        brokerConfiguration.inflightMessagesMax = max(brokerConfiguration.inflightMessagesMax, 1_000)
        brokerConfiguration.alarmFilters = configuration.journal.reserveTopics.compactMap { try? TopicFilter($0) }
        let recovered = RecoveredSite()
        let core = brokerConfiguration
        let server = SiteServer(
            configuration: SiteServerConfiguration(
                listeners: listeners,
                limits: SiteServerLimits(limits),
                journalKeep: configuration.journal.keep
            ),
            journal: journal,
            authenticator: authenticator,
            logger: logger,
            makeCore: {
                try recovered.makeCore(
                    core,
                    authorizer,
                    readers: [],
                    recovery: recovery,
                    journal: journal,
                    logger: logger
                )
            }
        )
        notices.add { [weak server] in server?.journalNotice($0) }
        return (server, journal)
    }
}
