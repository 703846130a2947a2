import Broker
import Dispatch
import Foundation
import HandlerKit
import HandlerRuntime
import Journal
import Logging
import MQTT
import NIOCore
import Testing

/// The real journal, the real core on a queue that stands for its loop, the real runtime.
private final class Site: @unchecked Sendable {
    // SAFETY: `core`, `runtime` and `nextReported` are touched on `loop` alone; `start` hands them over to it.
    private let loop = DispatchQueue(label: "loop")
    private let core: BrokerCore
    private var journal: Journal?
    private var runtime: HandlerRuntime?
    private let committed = NSCondition()
    private var committedThrough: UInt64 = 0

    private struct Everything: Authorizer {
        func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
        func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
        func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
        func allowsEverything(_ identity: Identity) -> Bool { true }
    }

    init(directory: String, registrations: [HandlerRegistration]) throws {
        core = BrokerCore(authorizer: Everything())
        let box = Box()
        let (journal, recovery) = try Journal.open(Journal.Configuration(directory: directory)) { notice in
            if case .committed(let sequence) = notice { box.site?.noteCommitted(sequence) }
        }
        var failure: (any Error)?
        _ = try journal.read(from: recovery.firstSequence, maxBytes: .max) { sequence, payload in
            do {
                try core.recover(record: ByteBuffer(bytes: payload), sequence: sequence)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        core.finishRecovery(nextSequence: recovery.nextSequence, now: Self.now())
        let runtime = try HandlerRuntime(
            site: "s",
            registrations: registrations,
            records: JournalReader(journal),
            recovered: core.recoveredHandlers,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            submit: { commits in box.site?.submit(commits) }
        )
        let filters = try runtime.filters.map { try TopicFilter($0) }
        core.addDurableReader(name: "handlers", filters: filters)
        self.journal = journal
        self.runtime = runtime
        box.site = self
        runtime.start()
    }

    private final class Box: @unchecked Sendable {
        // SAFETY: set before the runtime's thread starts and before anything is appended.
        weak var site: Site?
    }

    private static func now() -> BrokerTime {
        BrokerTime(
            monotonicNanoseconds: DispatchTime.now().uptimeNanoseconds,
            wallMilliseconds: HandlerRuntime.wallClock()
        )
    }

    private func turn(_ body: (BrokerTime, inout Effects) -> Void) {
        var effects = Effects()
        let now = Self.now()
        body(now, &effects)
        core.endTurn(now: now, effects: &effects)
        let append = effects.journal
        if !append.isEmpty {
            journal?.append(firstSequence: append.firstSequence, bytes: append.bytes, ends: append.ends)
        }
    }

    private func submit(_ commits: [HandlerCommit]) {
        loop.async { [self] in
            var last: UInt64?
            turn { now, effects in
                for commit in commits { last = core.submit(commit, now: now, effects: &effects) ?? last }
            }
            if let last { runtime?.appended(commits.count, through: last) }
        }
    }

    private func noteCommitted(_ sequence: UInt64) {
        loop.async { [self] in
            turn { now, effects in core.committed(through: sequence, now: now, effects: &effects) }
            runtime?.committed(through: sequence)
            committed.lock()
            committedThrough = sequence
            committed.broadcast()
            committed.unlock()
        }
    }

    func publish(_ topic: String, _ payload: JSONValue) {
        loop.sync {
            turn { now, effects in
                _ = core.publish(
                    topic: TopicName(uncheckedBytes: ByteBuffer(string: topic)),
                    payload: ByteBuffer(bytes: payload.encoded()),
                    qos: .atLeastOnce,
                    retain: false,
                    origin: .client,
                    publisher: "device",
                    now: now,
                    effects: &effects
                )
            }
        }
    }

    var decided: UInt64 { loop.sync { runtime?.decided ?? 0 } }
    var oldestNeededRecord: UInt64 { loop.sync { runtime?.oldestNeededRecord ?? 0 } }

    /// Waits until so many decisions are on disk, or 20 seconds are over.
    func wait(forDecisions count: UInt64) -> Bool {
        let deadline = Date(timeIntervalSinceNow: 20)
        while decided < count || outputs().count < Int(count) {
            committed.lock()
            defer { committed.unlock() }
            guard committed.wait(until: min(deadline, Date(timeIntervalSinceNow: 0.05))) || Date() < deadline else {
                return false
            }
        }
        return true
    }

    /// Everything that handlers published, as the journal has it.
    func outputs() -> [JSONValue] {
        guard let journal else { return [] }
        var found: [JSONValue] = []
        _ = try? JournalReader(journal).read(from: journal.firstSequence, maxBytes: .max) { _, messages in
            for message in messages where message.origin == .handler && message.topic.string.hasPrefix("out/") {
                if let value = try? JSONValue(parsing: message.payload.readableBytesView) { found.append(value) }
            }
            return true
        }
        return found
    }

    func stop() {
        let runtime = loop.sync { self.runtime }
        runtime?.stop()
        loop.sync {}
        journal?.close()
        loop.sync { self.runtime = nil }
        journal = nil
    }
}

@Suite("Core, journal and handlers together")
struct WholeChainTests {
    @Test("What was decided before a restart is neither repeated nor forgotten after it")
    func restart() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "causeway-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let registrations = [
            HandlerRegistration(
                name: "probe",
                plugin: Probe.self,
                topics: ["in/{key}"],
                key: "{key}",
                start: .beginning
            )
        ]
        let first = try Site(directory: folder.path, registrations: registrations)
        for number in 1...200 { first.publish("in/k\(number % 4)", ["n": .integer(Int64(number))]) }
        #expect(first.wait(forDecisions: 200))
        first.stop()
        let second = try Site(directory: folder.path, registrations: registrations)
        for number in 201...300 { second.publish("in/k\(number % 4)", ["n": .integer(Int64(number))]) }
        #expect(second.wait(forDecisions: 100))
        let outputs = second.outputs()
        #expect(outputs.compactMap { $0["n"]?.int }.sorted() == Array(1...300))
        #expect(outputs.compactMap { $0["count"]?.int }.max() == 75)
        #expect(Set(outputs.compactMap { $0["id"]?.text }).count == 300)
        second.stop()
    }
}
