import Broker
import Foundation
import HandlerKit
import Logging
import Testing

@testable import HandlerRuntime

/// A journal and a broker for the real runtime: thread-safe, durable at once or when told.
final class SharedJournal: CommittedRecords, @unchecked Sendable {
    // SAFETY: every access to `journal` and the counters is under the condition's lock.
    private let condition = NSCondition()
    private var journal = SimulatedJournal()
    private var readError: (any Error)?
    private var gone: Set<UInt64> = []
    private(set) var batches: [Int] = []

    struct Unreadable: Error {}

    var firstSequence: UInt64 { 1 }
    var committedSequence: UInt64 { locked { $0.durable } }

    func locked<Result>(_ body: (inout SimulatedJournal) -> Result) -> Result {
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        return body(&journal)
    }

    /// Makes records unreadable, as quarantined damage does.
    func lose(_ sequences: Set<UInt64>) { locked { _ in gone = sequences } }

    func breakReading() { locked { _ in readError = Unreadable() } }

    func read(
        from sequence: UInt64,
        maxBytes: Int,
        _ body: (_ sequence: UInt64, _ messages: [JournaledMessage]) -> Bool
    ) throws -> UInt64 {
        let (records, error, gone) = locked { journal in
            (
                Array(journal.records.prefix(Int(journal.durable)).dropFirst(Int(sequence) - 1).prefix(100)), readError,
                self.gone
            )
        }
        if let error { throw error }
        for (index, record) in records.enumerated() {
            let current = sequence + UInt64(index)
            if gone.contains(current) { continue }
            if !body(current, record.messages) { return current + 1 }
        }
        return sequence + UInt64(records.count)
    }

    /// Appends commits and returns the sequence of the last one.
    func submit(_ commits: [HandlerCommit]) -> UInt64 {
        locked { journal in
            batches.append(commits.count)
            for commit in commits { journal.submit(commit, at: 1_700_000_000_000) }
            return journal.next - 1
        }
    }

    /// Waits until something holds, or 20 seconds are over.
    func wait(until predicate: (SimulatedJournal) -> Bool) -> Bool {
        let deadline = Date(timeIntervalSinceNow: 20)
        condition.lock()
        defer { condition.unlock() }
        while !predicate(journal) {
            guard condition.wait(until: deadline) else { return predicate(journal) }
        }
        return true
    }
}

/// Holds the runtime for the closure that it is made with.
final class RuntimeBox: @unchecked Sendable {
    // SAFETY: written once before the runtime is started.
    var runtime: HandlerRuntime?
}

@Suite("The handler runtime on its thread")
struct HandlerRuntimeTests {
    static func make(
        _ journal: SharedJournal,
        limits: HandlerLimits = HandlerLimits(),
        commitsAtOnce: Bool = true
    ) throws -> HandlerRuntime {
        let box = RuntimeBox()
        let runtime = try HandlerRuntime(
            site: "s",
            registrations: [.probe(), .probe("other", topics: ["in/+", "nothing/{x}"])],
            records: journal,
            recovered: journal.locked { $0.recovered },
            limits: limits,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            clock: { 1_700_000_000_000 },
            submit: { commits in
                let sequence = journal.submit(commits)
                box.runtime?.appended(commits.count, through: sequence)
                guard commitsAtOnce else { return }
                journal.locked { $0.sync() }
                box.runtime?.committed(through: sequence)
            }
        )
        box.runtime = runtime
        return runtime
    }

    static func publish(_ count: Int, to journal: SharedJournal, _ runtime: HandlerRuntime) {
        let committed = journal.locked { journal in
            for number in 1...count {
                journal.publish("in/k\(number % 5)", ["n": .integer(Int64(number))], at: 1_700_000_000_000)
            }
            journal.sync()
            return journal.durable
        }
        runtime.committed(through: committed)
    }

    @Test("It decides about everything, in order, and gives the journal free")
    func decidesAll() throws {
        let journal = SharedJournal()
        let runtime = try Self.make(journal)
        #expect(runtime.filters == ["in/+", "nothing/+"])
        runtime.start()
        runtime.start()
        Self.publish(2000, to: journal, runtime)
        #expect(journal.wait { $0.published("out/").count == 4000 })
        runtime.stop()
        #expect(runtime.decided == 4000)
        #expect(runtime.metrics.map(\.decided) == [2000, 2000] && runtime.metrics.map(\.keys) == [5, 5])
        let counts = journal.locked { $0.published("out/probe/k3").compactMap { $0["n"]?.int } }
        #expect(counts == counts.sorted() && counts.count == 400)
        // Whatever the last commits moved, everything before the last message is free.
        #expect(runtime.oldestNeededRecord > 2000)
        #expect(runtime.metrics.allSatisfy { $0.inFlight == 0 })
    }

    @Test("It reads no further than the window of commits that are not yet on disk")
    func window() throws {
        var limits = HandlerLimits()
        limits.inFlightCommitsMax = 64
        limits.batchCommitsMax = 16
        let journal = SharedJournal()
        let runtime = try Self.make(journal, limits: limits, commitsAtOnce: false)
        runtime.start()
        Self.publish(1000, to: journal, runtime)
        func commits() -> Int { journal.locked { $0.records.count { $0.commit != nil } } }
        #expect(journal.wait { journal in journal.records.count { $0.commit != nil } >= 64 })
        let stuck = commits()
        // One record's inputs may go over it: there are two handlers.
        #expect(stuck <= 64 + 2)
        var seen = stuck
        while seen < 2002 {
            let durable = journal.locked { journal in
                journal.sync()
                return journal.durable
            }
            runtime.committed(through: durable)
            #expect(journal.wait { journal in journal.records.count { $0.commit != nil } > seen })
            let now = commits()
            #expect(now - seen <= 66 + 2)
            seen = now
        }
        #expect(journal.batches.allSatisfy { $0 <= 16 })
        runtime.stop()
        #expect(journal.locked { $0.published("out/").count } == 2000)
    }

    @Test("Stopped and started again it goes on where it was")
    func restart() throws {
        let journal = SharedJournal()
        let first = try Self.make(journal)
        first.start()
        Self.publish(100, to: journal, first)
        #expect(journal.wait { $0.published("out/").count == 200 })
        first.stop()
        let second = try Self.make(journal)
        second.start()
        Self.publish(50, to: journal, second)
        #expect(journal.wait { $0.published("out/").count == 300 })
        second.stop()
        #expect(journal.locked { $0.published("out/").count } == 300)
        #expect(journal.locked { $0.published("out/probe/k1").compactMap { $0["count"]?.int } } == Array(1...30))
    }

    @Test("Records that are gone are passed over, in the middle and at the end")
    func holes() throws {
        let journal = SharedJournal()
        let runtime = try Self.make(journal)
        journal.lose([5, 6, 20])
        Self.publish(20, to: journal, runtime)
        runtime.start()
        #expect(journal.wait { $0.published("out/").count == 34 })
        runtime.stop()
        #expect(runtime.failure == nil)
        #expect(runtime.oldestNeededRecord > 20)
    }

    @Test("A journal that cannot be read makes it stand still and say so")
    func unreadable() throws {
        let journal = SharedJournal()
        let runtime = try Self.make(journal)
        journal.breakReading()
        Self.publish(1, to: journal, runtime)
        runtime.start()
        runtime.stop()
        #expect(runtime.failure == "the journal cannot be read")
        #expect(runtime.decided == 0)
    }
}
