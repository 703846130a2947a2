import Foundation
import Logging
import MosquittoClient
import Repeatable
import Synchronization
import Testing

@testable import Cloud

/// A broker in the test's hands: it decides what connects, what arrives, and sees what is published.
private final class FakeBroker: Sendable {
    private struct State {
        var links: [FakeLink] = []
        var accepts = true
        var grants = true
        var takesPublishes = true
        var published: [(topic: String, commit: BridgeCommit)] = []
        var filters: [[String]] = []
        var attempts = 0
    }

    private let state = Mutex(State())

    func makeLink() -> any AggregatorLink { FakeLink(self) }

    func set(accepts: Bool? = nil, grants: Bool? = nil, takesPublishes: Bool? = nil) {
        state.withLock { state in
            if let accepts { state.accepts = accepts }
            if let grants { state.grants = grants }
            if let takesPublishes { state.takesPublishes = takesPublishes }
        }
    }

    var attempts: Int { state.withLock { $0.attempts } }
    var filters: [[String]] { state.withLock { $0.filters } }
    var published: [(topic: String, commit: BridgeCommit)] { state.withLock { $0.published } }

    /// The last notice a site was given.
    func told(_ site: String) -> BridgeCommit? {
        published.last { $0.topic == "down/\(site)/commit" }?.commit
    }

    /// The live link, once there is one.
    func live() async -> FakeLink? {
        guard await eventually({ self.state.withLock { !$0.links.isEmpty } }) else { return nil }
        return state.withLock { $0.links.last }
    }

    func opened(_ link: FakeLink) -> Bool {
        state.withLock { state in
            state.attempts += 1
            return state.accepts
        }
    }

    func subscribed(_ link: FakeLink, _ filters: [String]) -> Bool {
        state.withLock { state in
            state.filters.append(filters)
            if state.grants { state.links.append(link) }
            return state.grants
        }
    }

    func published(_ topic: String, _ payload: [UInt8]) -> Bool {
        state.withLock { state in
            guard state.takesPublishes, let commit = BridgeCommit(decoding: payload) else { return false }
            state.published.append((topic, commit))
            return true
        }
    }

    func gone(_ link: FakeLink) { state.withLock { $0.links.removeAll { $0 === link } } }
}

private final class FakeLink: AggregatorLink {
    private let broker: FakeBroker
    private let calls = Mutex<(event: @Sendable (AggregatorLinkEvent) -> Void, settle: @Sendable () -> Bool)?>(nil)

    init(_ broker: FakeBroker) { self.broker = broker }

    func open(event: @escaping @Sendable (AggregatorLinkEvent) -> Void, settle: @escaping @Sendable () -> Bool) {
        calls.withLock { $0 = (event, settle) }
        event(broker.opened(self) ? .connected : .down(reason: "refused"))
    }

    func subscribe(_ filters: [String]) {
        let granted = broker.subscribed(self, filters)
        calls.withLock { $0 }?.event(.subscribed(granted: granted))
    }

    func publish(topic: String, payload: [UInt8]) -> Bool { broker.published(topic, payload) }

    func close() { broker.gone(self) }

    /// Delivers messages, then asks for them to be stored, as a link does before it acknowledges.
    /// On a thread of its own, as links do: it waits, and must not do so on Swift's pool.
    @discardableResult
    func deliver(_ messages: [LinkMessage]) async -> Bool {
        guard let calls = calls.withLock({ $0 }) else { return false }
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                for message in messages { calls.event(.message(message)) }
                continuation.resume(returning: calls.settle())
            }
        }
    }

    /// Delivers messages that nobody waits for.
    func post(_ messages: [LinkMessage]) {
        guard let calls = calls.withLock({ $0 }) else { return }
        for message in messages { calls.event(.message(message)) }
    }

    func drop() {
        broker.gone(self)
        calls.withLock { $0 }?.event(.down(reason: "cut"))
    }
}

/// What is wrong with a store, if anything: the test's to change.
private final class Ailment: Sendable {
    private let error = Mutex<StoreError?>(nil)

    func set(_ code: StoreError.Code?) {
        error.withLock { $0 = code.map { StoreError(code: $0, message: "injected") } }
    }

    func check() throws(StoreError) {
        if let error = error.withLock({ $0 }) { throw error }
    }
}

/// A store that fails when the test says so.
private final class AilingStore: Store {
    private let store: SQLiteStore
    private let ailment: Ailment

    init(path: String, _ ailment: Ailment) {
        store = SQLiteStore(path: path)
        self.ailment = ailment
    }

    func load() throws(StoreError) -> LoadedStore {
        try ailment.check()
        return try store.load()
    }

    func commit(_ batch: IngestBatch) throws(StoreError) {
        try ailment.check()
        try store.commit(batch)
    }

    func close() { store.close() }
}

/// Collects log lines.
private struct LineCounter: LogHandler {
    final class Lines: Sendable {
        let lines = Mutex<[String]>([])
        func count(_ part: String) -> Int { lines.withLock { $0.filter { $0.contains(part) }.count } }
    }

    let collected: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .debug

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        collected.lines.withLock { $0.append("\(event.message)") }
    }
}

@Suite(.timeLimit(.minutes(1))) struct AggregatorTests {
    private let folder: TemporaryFolder
    private let broker = FakeBroker()
    private let lines = LineCounter.Lines()
    private var path: String { folder.file("cloud.db") }

    init() throws { folder = try TemporaryFolder() }

    private func link(_ sequence: UInt64, site: String = "store-1", topicSite: String? = nil, epoch: UInt64 = 1)
        -> LinkMessage
    {
        let stamp = BridgeStamp(
            site: site,
            epoch: epoch,
            sequence: sequence,
            className: "telemetry",
            receivedMilliseconds: noon,
            queuedMilliseconds: 0,
            isReplayed: false
        )
        return LinkMessage(
            topic: "up/07/\(topicSite ?? site)/sales/1",
            payload: Array(#"{"value":1}"#.utf8),
            stamp: stamp
        )
    }

    private func makeAggregator(
        store: (@Sendable () -> any Store)? = nil,
        adjust: (inout AggregatorConfiguration) -> Void = { _ in }
    ) -> Aggregator {
        var configuration = AggregatorConfiguration()
        configuration.noticeMilliseconds = 5
        configuration.reconnectMillisecondsBase = 5
        configuration.reconnectMillisecondsMax = 20
        configuration.storeRetryMillisecondsBase = 5
        configuration.storeRetryMillisecondsMax = 20
        adjust(&configuration)
        let path = path
        let broker = broker
        let lines = lines
        return Aggregator(
            configuration: configuration,
            logger: Logger(label: "test") { _ in LineCounter(collected: lines) },
            makeStore: store ?? { SQLiteStore(path: path) },
            makeLink: { broker.makeLink() }
        )
    }

    @Test func `a message is settled only after it is stored, and then the site is told`() async throws {
        let aggregator = makeAggregator()
        try aggregator.start()
        let live = try #require(await broker.live())
        #expect(broker.filters == [["up/+/+/#"]])
        #expect(await live.deliver([link(1), link(2), link(4)]))
        #expect(try SQLiteStore(path: path, readOnly: true).countRows(site: "store-1").rows == 3)
        #expect(await eventually { broker.told("store-1")?.sequence == 2 })
        #expect(await live.deliver([link(3)]))
        #expect(await eventually { broker.told("store-1")?.sequence == 4 })
        #expect(broker.told("store-1")?.epoch == 1)
        #expect(broker.told("store-1")?.aggregator == aggregator.incarnation)
        await aggregator.stop()
        #expect(aggregator.statistics.counts.stored == 4)
    }

    @Test func `every known site hears its watermark at the start and after a reconnect`() async throws {
        var pump = CommitPump(store: SQLiteStore(path: path), configuration: AggregatorConfiguration())
        _ = try pump.commit((0..<300).map { message(1, site: "s\($0)") }, milliseconds: noon)
        pump.close()
        let aggregator = makeAggregator()
        try aggregator.start()
        #expect(await eventually { Set(broker.published.map(\.topic)).count == 300 })
        let before = broker.published.count
        try #require(await broker.live()).drop()
        #expect(await eventually { broker.published.count == before + 300 })
        #expect(broker.attempts == 2)
        await aggregator.stop()
    }

    @Test func `a duplicate is refused and the site told again`() async throws {
        let aggregator = makeAggregator()
        try aggregator.start()
        let live = try #require(await broker.live())
        await live.deliver([link(1)])
        #expect(await eventually { broker.published.count == 1 })
        await live.deliver([link(1)])
        #expect(await eventually { broker.published.count == 2 })
        await aggregator.stop()
        #expect(aggregator.statistics.counts.duplicates == 1)
        #expect(try SQLiteStore(path: path).countRows(site: "store-1").rows == 1)
    }

    @Test func `an old epoch's box is told of the new epoch`() async throws {
        let aggregator = makeAggregator()
        try aggregator.start()
        let live = try #require(await broker.live())
        await live.deliver([link(1, epoch: 2)])
        #expect(await eventually { broker.told("store-1") != nil })
        let before = broker.published.count
        await live.deliver([link(9, epoch: 1)])
        #expect(await eventually { broker.published.count > before })
        #expect(broker.told("store-1")?.epoch == 2 && broker.told("store-1")?.sequence == 1)
        await aggregator.stop()
    }

    @Test func `what belongs to no stream is counted, logged once, and does not hold others up`() async throws {
        let aggregator = makeAggregator()
        try aggregator.start()
        let live = try #require(await broker.live())
        let nonsense = [
            LinkMessage(topic: "up/07/store-1/x", payload: [0xFF, 0], stamp: nil), link(1, topicSite: "store-2"),
            LinkMessage(topic: "elsewhere", payload: [], stamp: nil),
        ]
        #expect(await live.deliver(nonsense + [link(1)] + nonsense))
        await aggregator.stop()
        #expect(aggregator.statistics.rejected == [.unstamped: 2, .wrongSite: 2, .topic: 2])
        #expect(aggregator.statistics.counts.stored == 1)
        #expect(lines.count("Messages were rejected") == 1)
    }

    @Test func `while the store fails nothing is acknowledged or told, and it is said once`() async throws {
        let ailment = Ailment()
        let path = path
        let aggregator = makeAggregator(store: { AilingStore(path: path, ailment) })
        try aggregator.start()
        let live = try #require(await broker.live())
        #expect(await live.deliver([link(1)]))
        #expect(await eventually { broker.told("store-1")?.sequence == 1 })
        ailment.set(.full)
        #expect(await !live.deliver([link(2), link(3)]), "the link must not acknowledge these")
        live.drop()
        #expect(await eventually { aggregator.statistics.storeFailures >= 5 })
        #expect(aggregator.statistics.storeFailure?.code == .full)
        #expect(broker.told("store-1")?.sequence == 1)
        #expect(lines.count("The store failed") == 1)
        ailment.set(nil)
        #expect(await eventually { aggregator.statistics.storeFailure == nil })
        let again = try #require(await broker.live())
        #expect(
            await again.deliver([link(2), link(3), link(4)]),
            "the broker delivers again what was not acknowledged"
        )
        #expect(await eventually { broker.told("store-1")?.sequence == 4 })
        await aggregator.stop()
        #expect(try SQLiteStore(path: path).countRows(site: "store-1") == RowCount(rows: 4, distinct: 4))
        #expect(lines.count("The store works again") == 1)
    }

    @Test func `without a store that opens it does not connect, and does once there is one`() async throws {
        let ailment = Ailment()
        ailment.set(.corrupt)
        let path = path
        let aggregator = makeAggregator(store: { AilingStore(path: path, ailment) })
        try aggregator.start()
        #expect(await eventually { aggregator.statistics.storeFailures >= 3 })
        #expect(broker.attempts == 0)
        ailment.set(nil)
        #expect(await broker.live() != nil)
        await aggregator.stop()
    }

    @Test func `a refused connection or subscription is tried again with pauses`() async throws {
        broker.set(accepts: false)
        let aggregator = makeAggregator(adjust: { $0.shards = ["07", "12"] })
        try aggregator.start()
        #expect(await eventually { broker.attempts >= 4 })
        #expect(aggregator.statistics.link != .live)
        #expect(lines.count("The connection to the broker ended") == 1, "the same reason is said once")
        broker.set(accepts: true, grants: false)
        #expect(await eventually { broker.filters.count >= 2 })
        broker.set(grants: true)
        #expect(await broker.live() != nil)
        #expect(broker.filters.last == ["up/07/+/#", "up/12/+/#"])
        await aggregator.stop()
    }

    @Test func `a full queue lets go, is not acknowledged, and heals`() async throws {
        let ailment = Ailment()
        let path = path
        let aggregator = makeAggregator(
            store: { AilingStore(path: path, ailment) },
            adjust: {
                $0.queueMessagesMax = 10
                $0.batchMessagesMax = 5
                $0.queueWaitMilliseconds = 50
            }
        )
        try aggregator.start()
        let live = try #require(await broker.live())
        ailment.set(.locked)
        #expect(await !live.deliver((1...40).map { link($0) }))
        live.drop()
        #expect(await eventually { aggregator.statistics.lost > 0 })
        #expect(aggregator.statistics.queued <= 10)
        ailment.set(nil)
        let again = try #require(await broker.live())
        #expect(await again.deliver((1...40).map { link($0) }))
        #expect(await eventually { broker.told("store-1")?.sequence == 40 })
        await aggregator.stop()
        #expect(try SQLiteStore(path: path).countRows(site: "store-1").rows == 40)
    }

    @Test func `notices the link does not take are offered again`() async throws {
        let aggregator = makeAggregator()
        try aggregator.start()
        let live = try #require(await broker.live())
        broker.set(takesPublishes: false)
        await live.deliver([link(1), link(2)])
        #expect(await eventually { aggregator.statistics.counts.stored == 2 })
        #expect(broker.published.isEmpty)
        broker.set(takesPublishes: true)
        #expect(await eventually { broker.told("store-1")?.sequence == 2 })
        await aggregator.stop()
    }

    @Test func `stopping commits what is queued, and stopping twice or before the start is fine`() async throws {
        let aggregator = makeAggregator(adjust: { $0.batchMilliseconds = 60_000 })
        try aggregator.start()
        let live = try #require(await broker.live())
        // Waiting for them makes them urgent: a batch need not fill, nor its time pass.
        #expect(await live.deliver((1...20).map { link($0) }))
        live.post((21...30).map { link($0) })
        await aggregator.stop()
        await aggregator.stop()
        #expect(try SQLiteStore(path: path).countRows(site: "store-1").rows == 30)
        let unused = makeAggregator()
        await unused.stop()
        try unused.start()
        #expect(unused.statistics.link == .down)
    }

    @Test func `running ends when its task is cancelled`() async throws {
        let aggregator = makeAggregator()
        let task = Task { try await aggregator.run() }
        #expect(await broker.live() != nil)
        task.cancel()
        try await task.value
        #expect(aggregator.statistics.link == .down)
        #expect(!aggregator.statistics.isLoaded)
    }

    @Test func `pauses grow, stay under the cap and begin anew`() {
        var backoff = Backoff(base: 100, cap: 1_000)
        var random = SeededRandom(seed: runSeed)
        let pauses = (0..<200).map { _ in backoff.next(using: &random) }
        #expect(pauses.allSatisfy { (100...1_000).contains($0) })
        #expect(Set(pauses).count > 20 && pauses.contains { $0 > 500 })
        backoff.reset()
        #expect(backoff.next(using: &random) <= 300)
        var odd = Backoff(base: 0, cap: -1)
        #expect(odd.next(using: &random) == 1)
        var huge = Backoff(base: .max, cap: .max)
        #expect(huge.next(using: &random) == .max)
    }
}
