import Broker
import HandlerKit
import MQTT
import NIOCore
import Repeatable
import Testing

@testable import HandlerRuntime

/// A site that crashes at random points, seeded. After it, the journal must show each input's effect once.
@Suite("A handler decides exactly once")
struct ExactlyOnceTests {
    /// How commits are written: as they are, or as one would do it wrong.
    enum Writing: CaseIterable {
        case whole
        /// The state and the outputs, but not the position.
        case stateWithoutPosition
        /// The position in a record of its own, before state and outputs.
        case positionFirst
    }

    /// Runs a site through crashes and returns what is wrong with its journal.
    static func violations(seed: UInt64, _ writing: Writing) throws -> [String] {
        var generator = SeededRandom(seed: seed)
        var site = try SimulatedSite([.probe("one"), .probe("two", topics: ["in/+", "other/{x}"])])
        site.journal.sync()
        var number: Int64 = 0
        var crashes = 0
        func submit(_ count: Int, _ site: inout SimulatedSite) {
            for (_, commit) in site.engine.takeCommits(count) {
                var first = commit
                switch writing {
                case .whole: break
                case .stateWithoutPosition: first.position = .zero
                case .positionFirst where commit.state != nil:
                    first.state = nil
                    first.outputs = []
                    site.journal.submit(first, at: site.now)
                    first = commit
                case .positionFirst: break
                }
                site.journal.submit(first, at: site.now)
            }
        }
        for _ in 0..<600 {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<30:
                number += 1
                let key = "k\(Int.random(in: 0..<3, using: &generator))"
                switch Int.random(in: 0..<8, using: &generator) {
                case 0: site.send(["n": .integer(number), "do": "nothing"], key: key)
                case 1: site.journal.publish("nobody/\(key)", ["n": .integer(number)], at: site.now)
                case 2: site.send(["bad": .integer(number)], key: key)
                case 3:
                    let more = number + 1
                    site.journal.publish(
                        "in/\(key)",
                        all: [["n": .integer(number)], ["n": .integer(more)]],
                        at: site.now
                    )
                    number = more
                case 4: site.send(["n": .integer(number), "do": "timer", "in": 3], key: key)
                default: site.send(["n": .integer(number)], key: key)
                }
            case 30..<55: _ = site.consumeOne()
            case 55..<75: submit(Int.random(in: 1...4, using: &generator), &site)
            case 75..<90:
                let newest = site.journal.next - 1
                if newest > site.journal.durable {
                    site.journal.sync(through: .random(in: site.journal.durable...newest, using: &generator))
                }
            case 90..<94:
                site.now += Int64.random(in: 0...2000, using: &generator)
                if site.engine.cursor > site.journal.durable { _ = site.engine.fireTimers(now: site.now) }
            case 94..<96: site.engine.commitPositions(now: site.now, isStopping: true)
            default:
                // The clock goes on while the site is down.
                site.now += 500
                site.journal.crash()
                site.engine = try SimulatedSite.engine(site.registrations, site.journal, site.limits, site.stopwatch)
                crashes += 1
            }
        }
        // Up to the end, in peace.
        site.now += 60_000
        for _ in 0..<10_000 {
            submit(.max, &site)
            site.journal.sync()
            if site.consumeOne() { continue }
            _ = site.engine.fireTimers(now: site.now)
            if site.engine.outbox.isEmpty { break }
        }
        #expect(crashes > 3, "seed \(seed): too few crashes to say anything")
        return site.engine.lanes.flatMap { audit(site.journal, handler: $0.name) }
    }

    /// Compares the effects in the journal with the inputs in it.
    static func audit(_ journal: SimulatedJournal, handler: String) -> [String] {
        var problems: [String] = []
        var expected: [String: [Int64]] = [:]
        var rejected = 0
        var timers = 0
        for message in journal.records.flatMap(\.messages) where message.origin == .client {
            guard message.topic.string.hasPrefix("in/"),
                let payload = try? JSONValue(parsing: message.payload.readableBytesView)
            else { continue }
            let key = String(message.topic.string.dropFirst(3))
            if payload["bad"] != nil { rejected += 1 }
            if payload["do"] == "timer" { timers += 1 }
            if let number = payload["n"]?.int, payload["do"] == nil { expected[key, default: []].append(number) }
        }
        var identifiers: Set<String> = []
        for (key, numbers) in expected {
            let outputs = journal.published("out/\(handler)/\(key)").filter { $0["n"] != nil }
            let found = outputs.compactMap { $0["n"]?.int }
            if found != numbers {
                problems.append("\(handler)/\(key): expected \(numbers.count), found \(found.count)")
            }
            let counts = outputs.compactMap { $0["count"]?.int }
            if counts != (0..<found.count).map({ Int64($0 + 1) }) {
                problems.append("\(handler)/\(key): the state was lost or used twice")
            }
            for id in outputs.compactMap({ $0["id"]?.text }) where !identifiers.insert(id).inserted {
                problems.append("\(handler)/\(key): identifier \(id) twice")
            }
        }
        let letters = journal.published("dlq/\(handler)").count
        if letters != rejected { problems.append("\(handler): \(rejected) bad inputs, \(letters) dead letters") }
        let fired = journal.published("out/\(handler)/").filter { $0["timer"] != nil }.count
        // Setting a timer again moves it, so there may be fewer firings, never more.
        if fired > timers || (timers > 0 && fired == 0) {
            problems.append("\(handler): \(timers) timers, \(fired) fired")
        }
        return problems
    }

    @Test("No input is skipped and none has its effect twice, wherever the site crashes", arguments: 1...150)
    func wholeCommits(seed: Int) throws {
        let violations = try Self.violations(seed: UInt64(seed), .whole)
        #expect(violations.isEmpty, "seed \(seed): \(violations.joined(separator: "; "))")
    }

    @Test("The check finds commits without position and positions without state", arguments: Writing.allCases)
    func control(writing: Writing) throws {
        var found = 0
        for seed in 1...20 where try !Self.violations(seed: UInt64(seed), writing).isEmpty { found += 1 }
        #expect(writing == .whole ? found == 0 : found >= 15, "\(writing): \(found) of 20")
    }

    @Test("What a crash undid is decided again with the same identifiers")
    func sameIdentifiers() throws {
        var site = try SimulatedSite()
        for number in 1...20 { site.send(["n": .integer(Int64(number))]) }
        site.journal.sync()
        while site.consumeOne() {}
        site.submitAll()
        let first = site.journal.published("out/").compactMap { $0["id"]?.text }
        try site.crash()
        site.settle()
        #expect(first.count == 20 && site.journal.published("out/").compactMap { $0["id"]?.text } == first)
    }
}
