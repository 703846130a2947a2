import Foundation
import MosquittoClient
import MosquittoFixture
import Synchronization
import Testing

@testable import Cloud

/// A site as simple as can be: publishes stamped messages through the library and hears the commit notices.
private final class PlainSite: Sendable {
    private struct State {
        var isSubscribed = false
        var isOver = false
        var commits: [BridgeCommit] = []
        var answered = 0
    }

    let name: String
    private let version: MosquittoProtocol
    private let state = Mutex(State())
    private let connection = Mutex<MosquittoConnection?>(nil)

    init(_ name: String, port: UInt16, version: MosquittoProtocol) throws {
        self.name = name
        self.version = version
        var configuration = MosquittoConfiguration(host: "127.0.0.1", port: port, clientID: "site-\(name)")
        configuration.protocolVersion = version
        let made = try MosquittoConnection(configuration: configuration) { [weak self] in self?.handle($0) }
        connection.withLock { $0 = made }
        try made.start()
    }

    deinit { connection.withLock { $0 }?.abandon() }

    private func handle(_ event: MosquittoEvent) {
        switch event {
        case .connected:
            _ = try? connection.withLock { $0 }?.subscribe([BridgeCommit.topic(site: name)], qos: 1)
        case .subscribed:
            state.withLock { $0.isSubscribed = true }
        case .message(let message):
            guard let commit = BridgeCommit(decoding: message.payload) else { return }
            state.withLock { $0.commits.append(commit) }
        case .published:
            state.withLock { $0.answered += 1 }
        case .connectFailed, .disconnected:
            state.withLock { $0.isOver = true }
        case .unsubscribed:
            return
        }
    }

    var isReady: Bool { state.withLock { $0.isSubscribed } }
    var isOver: Bool { state.withLock { $0.isOver } }
    var commits: [BridgeCommit] { state.withLock { $0.commits } }
    var answered: Int { state.withLock { $0.answered } }

    func send(_ sequences: some Sequence<UInt64>, replayed: Bool = false) throws {
        for sequence in sequences {
            let stamp = BridgeStamp(
                site: name,
                epoch: 1,
                sequence: sequence,
                className: "transaction",
                receivedMilliseconds: noon,
                queuedMilliseconds: 3,
                isReplayed: replayed
            )
            var properties = MosquittoPublishProperties()
            var payload = Array("{\"value\":\(sequence)}".utf8)
            if version == .v5 {
                properties.userProperties = stamp.userProperties
            } else {
                payload = BridgeEnvelope(stamp: stamp, payload: payload).encode()
            }
            _ = try connection.withLock { $0 }?.publish(
                topic: "up/07/\(name)/sales/1",
                payload: payload,
                qos: 1,
                properties: properties
            )
        }
    }
}

@Suite(.serialized, .timeLimit(.minutes(2))) struct MosquittoLoopbackTests {
    private let folder: TemporaryFolder
    private var path: String { folder.file("cloud.db") }

    init() throws { folder = try TemporaryFolder() }

    private func makeAggregator(port: UInt16, version: MosquittoProtocol) -> Aggregator {
        var configuration = AggregatorConfiguration()
        // More than one SUBSCRIBE carries.
        configuration.shards = (0..<20).map { $0 < 10 ? "0\($0)" : "\($0)" }
        configuration.reconnectMillisecondsBase = 20
        configuration.reconnectMillisecondsMax = 100
        var link = MosquittoConfiguration(host: "127.0.0.1", port: port, clientID: "aggregator")
        link.protocolVersion = version
        link.cleanStart = false
        if version == .v5 { link.sessionExpirySeconds = 3_600 }
        let path = path
        return Aggregator(
            configuration: configuration,
            logger: quietLogger(),
            makeStore: { SQLiteStore(path: path) },
            makeLink: { [link] in MosquittoAggregatorLink(configuration: link) }
        )
    }

    @Test(arguments: [MosquittoProtocol.v5, .v311])
    func `two sites' messages through a stock mosquitto are stored once and confirmed to each`(
        version: MosquittoProtocol
    ) async throws {
        let broker = try MosquittoBroker(
            directory: URL(fileURLWithPath: folder.path),
            lines: ["allow_anonymous true", "max_queued_messages 0"]
        )
        try broker.start()
        let aggregator = makeAggregator(port: broker.port, version: version)
        try aggregator.start()
        #expect(await eventually { aggregator.statistics.link == .live })
        let sites = try ["store-1", "ward-7"].map { try PlainSite($0, port: broker.port, version: version) }
        #expect(await eventually { sites.allSatisfy(\.isReady) })
        for site in sites { try site.send(1...1_000) }
        #expect(await eventually(seconds: 30) { sites.allSatisfy { $0.commits.last?.sequence == 1_000 } })
        for site in sites {
            #expect(zip(site.commits, site.commits.dropFirst()).allSatisfy { $0.sequence <= $1.sequence })
            try site.send(901...1_000, replayed: true)
        }
        #expect(await eventually(seconds: 30) { aggregator.statistics.counts.duplicates == 200 })
        await aggregator.stop()
        let proof = try CloudProof(from: SQLiteStore(path: path), expected: ["store-1": 1_000, "ward-7": 1_000])
        #expect(proof.stored == 2_000 && proof.holds && proof.duplicatesRefused == 200)
    }

    @Test func `a broker that dies under load and comes back leaves nothing out and nothing twice`() async throws {
        let broker = try MosquittoBroker(
            directory: URL(fileURLWithPath: folder.path),
            lines: ["allow_anonymous true", "max_queued_messages 0"]
        )
        try broker.start()
        let aggregator = makeAggregator(port: broker.port, version: .v5)
        try aggregator.start()
        #expect(await eventually { aggregator.statistics.link == .live })
        var watermark: UInt64 = 0
        for life in UInt64(1)...3 {
            let site = try PlainSite("store-1", port: broker.port, version: .v5)
            #expect(await eventually { site.isReady || site.isOver })
            // As a bridge does: from the watermark on. Each life brings something new.
            try? site.send((watermark + 1)...(life * 1_000))
            if life < 3 {
                #expect(await eventually(seconds: 30) { (site.commits.last?.sequence ?? 0) > watermark })
                broker.kill()
                #expect(await eventually { aggregator.statistics.link != .live })
                watermark = site.commits.last?.sequence ?? watermark
                try broker.start()
                #expect(await eventually(seconds: 30) { aggregator.statistics.link == .live })
            } else {
                #expect(await eventually(seconds: 30) { site.commits.last?.sequence == 3_000 })
            }
        }
        await aggregator.stop()
        #expect(try CloudProof(from: SQLiteStore(path: path), expected: ["store-1": 3_000]).holds)
        #expect(try SQLiteStore(path: path).countRows(site: "store-1") == RowCount(rows: 3_000, distinct: 3_000))
    }

    @Test func `an aggregator stopped under load goes on where it was`() async throws {
        let broker = try MosquittoBroker(
            directory: URL(fileURLWithPath: folder.path),
            lines: ["allow_anonymous true", "max_queued_messages 0"]
        )
        try broker.start()
        let first = makeAggregator(port: broker.port, version: .v5)
        try first.start()
        #expect(await eventually { first.statistics.link == .live })
        let site = try PlainSite("store-1", port: broker.port, version: .v5)
        #expect(await eventually { site.isReady })
        try site.send(1...3_000)
        #expect(await eventually { first.statistics.counts.stored > 0 })
        await first.stop()
        let second = makeAggregator(port: broker.port, version: .v5)
        try second.start()
        // The broker kept what was not acknowledged: nothing is sent again by the site.
        #expect(await eventually(seconds: 30) { site.commits.last?.sequence == 3_000 })
        #expect(site.commits.last?.aggregator == second.incarnation)
        await second.stop()
        #expect(try CloudProof(from: SQLiteStore(path: path), expected: ["store-1": 3_000]).holds)
    }
}
