import Broker
import HandlerKit
import MQTT
import NIOCore
import Testing

@testable import HandlerRuntime

@Suite("The handler engine: committed records in, commits out")
struct HandlerEngineTests {
    @Test("An input becomes one commit: position, state, outputs and decision record")
    func oneCommit() throws {
        var site = try SimulatedSite()
        site.send(["n": 7])
        site.settle()
        let commit = try #require(site.journal.records.compactMap(\.commit).last)
        #expect(commit.handler == "probe" && commit.key == "k" && commit.position.index == 0)
        #expect(commit.state.map { String(buffer: $0) } == #"{"s":{"count":1,"padding":"","sum":7,"value":0},"t":{}}"#)
        #expect(commit.outputs.count == 1)
        let record = try JSONValue(parsing: #require(commit.decision).readableBytesView)
        #expect(record["decision"] == "counted" && record["plugin"] == "test.probe" && record["key"] == "k")
        #expect(record["outputs"] == ["out/probe/k"])
        #expect(record["at"] == .string(WallTime(milliseconds: site.now).description))
    }

    @Test("Handlers, keys and totals are kept apart, in the order of the journal")
    func partitions() throws {
        var site = try SimulatedSite([.probe("one"), .probe("two")])
        for number in 1...6 { site.send(["n": .integer(Int64(number))], key: "k\(number % 2)") }
        site.settle()
        #expect(site.journal.published("out/one/k1").compactMap { $0["n"]?.int } == [1, 3, 5])
        #expect(site.journal.published("out/two/k0").compactMap { $0["count"]?.int } == [1, 2, 3])
        #expect(site.journal.published("out/one/").compactMap { $0["total"]?.int } == [0, 1, 2, 3, 4, 5])
        try site.crash()
        site.send(["n": 7], key: "k1")
        site.settle()
        #expect(site.journal.published("out/one/k1").last?["total"] == 6, "Totals come back with the states")
    }

    @Test("What cannot be taken goes to the dead letters with reason, topic and a bounded payload")
    func deadLetters() throws {
        var site = try SimulatedSite()
        site.send(["no": "number"])
        site.journal.publish(raw: [0xFF, 0x00] + Array(repeating: 0x41, count: 9000), topic: "in/k", at: site.now)
        site.settle()
        let letters = site.journal.published("dlq/probe")
        #expect(letters.count == 2)
        #expect(letters[0]["reason"] == "no number" && letters[0]["topic"] == "in/k")
        #expect(letters[0]["payload"] == #"{"no":"number"}"#)
        #expect(letters[1]["truncated"] == true && letters[1]["bytes"] == 9002)
        #expect(letters[1]["payload_hex"]?.text?.utf8.count == 2 * 4096)
        #expect(site.engine.lanes[0].metrics.rejected == 2)
    }

    @Test("A message without a key, with too long a key or for a key too many goes to the dead letters")
    func keys() throws {
        var limits = HandlerLimits()
        limits.keysMax = 2
        let registration = HandlerRegistration(
            name: "p",
            plugin: Probe.self,
            topics: ["in/+"],
            key: "{customer}",
            start: .beginning
        )
        var site = try SimulatedSite([registration], limits: limits)
        site.send(["n": 1])
        site.send(["n": 1, "customer": .string(String(repeating: "c", count: 257))])
        for customer in ["a", "b", "c", "a"] { site.send(["n": 1, "customer": .string(customer)]) }
        site.settle()
        let reasons = site.journal.published("dlq/p").compactMap { $0["reason"]?.text }
        #expect(
            reasons == [
                "no key: {customer} cannot be filled", "no key: {customer} cannot be filled",
                "the handler has 2 keys, the limit",
            ]
        )
        #expect(site.journal.published("out/p/a").count == 2)
    }

    @Test(
        "A decision that breaks a limit is undone and its input goes to the dead letters",
        arguments: [
            ("outputs", "more than 16 outputs"), ("bad topic", "an output's topic is not valid"),
            ("huge", "the state would have 300"), ("not a number", "the state cannot be encoded"),
        ]
    )
    func failures(action: String, reason: String) throws {
        var site = try SimulatedSite()
        site.send(["n": 1])
        site.send(["n": 2, "do": .string(action)])
        site.send(["n": 3])
        site.settle()
        let letters = site.journal.published("dlq/probe").compactMap { $0["reason"]?.text }
        #expect(letters.count == 1 && letters[0].hasPrefix("the handler failed: \(reason)"), "\(letters)")
        #expect(site.journal.published("out/probe/k").compactMap { $0["sum"]?.int } == [1, 4])
        #expect(site.engine.lanes[0].metrics.failures == 1)
        #expect(site.engine.diagnostics.count == 1)
    }

    @Test("Failures in a row open the breaker; what comes then is not lost; one success closes it")
    func breaker() throws {
        var site = try SimulatedSite()
        for number in 1...5 { site.send(["n": .integer(Int64(number)), "do": "huge"]) }
        for number in 6...8 { site.send(["n": .integer(Int64(number))]) }
        site.settle()
        #expect(site.engine.lanes[0].breaker.isOpen)
        #expect(site.journal.published("out/probe/k").isEmpty)
        #expect(site.journal.published("dlq/probe").count == 8)
        #expect(site.journal.published("hnd/probe/status").map { $0["breaker"] } == ["open"])
        site.now += 30_000
        site.send(["n": 9, "do": "huge"])
        site.send(["n": 10])
        site.settle()
        #expect(site.engine.lanes[0].breaker.isOpen, "The one that was tried failed")
        site.now += 30_000
        site.send(["n": 11])
        site.send(["n": 12])
        site.settle()
        #expect(site.journal.published("out/probe/k").compactMap { $0["n"]?.int } == [11, 12])
        #expect(
            site.journal.published("hnd/probe/status").compactMap { $0["breaker"]?.text } == ["open", "open", "closed"]
        )
        #expect(site.journal.published("dlq/probe").count == 10)
    }

    @Test("Bad payloads never open the breaker: a broken device must not take the handler from the others")
    func badPayloads() throws {
        var site = try SimulatedSite()
        for _ in 1...50 { site.send(["bad": 1]) }
        site.send(["n": 1], key: "other")
        site.settle()
        #expect(site.journal.published("out/probe/other").count == 1)
    }

    @Test("A decision that takes too long holds, and counts as a failure")
    func slow() throws {
        var site = try SimulatedSite()
        site.stopwatch.step = 2
        for number in 1...5 { site.send(["n": .integer(Int64(number))]) }
        site.settle()
        #expect(site.journal.published("out/probe/k").count == 5)
        #expect(site.engine.lanes[0].breaker.isOpen)
    }

    @Test("A handler never sees its own outputs; two that feed each other are stopped by the length of the chain")
    func chains() throws {
        var alone = try SimulatedSite([.probe("p", topics: ["#"])])
        alone.journal.publish("k", ["n": 1], at: alone.now)
        alone.settle()
        #expect(alone.journal.published("out/p").count == 1)
        var pair = try SimulatedSite([
            .probe("a", topics: ["start/+", "out/b/+"]), .probe("b", topics: ["out/a/+"]),
        ])
        pair.journal.publish("start/x", ["n": 1], at: pair.now)
        pair.settle()
        #expect(pair.journal.published("out/").count == 8)
        #expect(
            pair.journal.published("dlq/").compactMap { $0["reason"]?.text } == [
                "it has passed through 8 handlers, the limit"
            ]
        )
    }

    @Test("A dead letter makes no dead letter")
    func deadLetterOfDeadLetter() throws {
        var site = try SimulatedSite([.probe("a", topics: ["in/+"]), .probe("b", topics: ["dlq/+"])])
        site.send(["bad": 1])
        site.settle()
        #expect(site.journal.published("dlq/").count == 1)
    }

    @Test("A new handler begins now or at the beginning, and a crash does not move its beginning")
    func beginnings() throws {
        var site = try SimulatedSite([.probe("old")])
        site.send(["n": 1])
        site.settle()
        let registrations: [HandlerRegistration] = [
            .probe("old"), .probe("now", start: .now), .probe("all", start: .beginning),
        ]
        var grown = site
        grown.engine = try SimulatedSite.engine(registrations, site.journal, site.limits, site.stopwatch)
        grown.submitAll()
        grown.send(["n": 2])
        grown.journal.sync()
        grown.journal.crash()
        grown.engine = try SimulatedSite.engine(registrations, grown.journal, site.limits, site.stopwatch)
        grown.settle()
        #expect(grown.journal.published("out/now/").compactMap { $0["n"]?.int } == [2])
        #expect(grown.journal.published("out/all/").compactMap { $0["n"]?.int } == [1, 2])
        #expect(grown.journal.published("out/old/").compactMap { $0["n"]?.int } == [1, 2])
    }

    @Test("Positions without effect are committed after so many records or seconds, and then there is peace")
    func positions() throws {
        var limits = HandlerLimits()
        limits.positionRecordsMax = 10
        var site = try SimulatedSite(limits: limits)
        site.settle()
        let start = site.journal.next
        for _ in 0..<25 { site.journal.publish("nobody", 1, at: site.now) }
        site.settle()
        #expect(
            site.journal.records.dropFirst(Int(start) - 1).compactMap(\.commit).count == 1,
            "At the end of the turn"
        )
        let middle = site.journal.next
        site.journal.publish("nobody", 1, at: site.now)
        site.settle()
        #expect(site.engine.nextWake(now: site.now) == site.now + 30_000)
        site.now += 30_000
        site.settle()
        site.now += 3_600_000
        site.settle()
        #expect(site.journal.records.dropFirst(Int(middle) - 1).compactMap(\.commit).count == 1)
        #expect(site.engine.nextWake(now: site.now) == nil)
        #expect(HandlerEngine.neededRecord(site.engine.lanes[0].submittedPosition) == middle + 1)
    }

    @Test("A timer fires once, when due, also after a crash")
    func timers() throws {
        var site = try SimulatedSite()
        site.send(["n": 1, "do": "timer", "in": 5])
        site.settle()
        #expect(site.engine.nextWake(now: site.now) == site.now + 5000)
        try site.crash()
        site.now += 4999
        site.settle()
        #expect(site.journal.published("out/").isEmpty)
        site.now += 1
        site.settle()
        #expect(site.journal.published("out/").count == 1)
        try site.crash()
        site.now += 60_000
        site.settle()
        #expect(site.journal.published("out/").count == 1)
    }

    @Test("A timer that is set again moves, and one that is cancelled does not fire")
    func movedTimers() throws {
        var site = try SimulatedSite()
        site.send(["n": 1, "do": "timer", "in": 5], key: "a")
        site.send(["n": 1, "do": "timer", "in": 9], key: "a")
        site.send(["n": 1, "do": "timer", "in": 5], key: "b")
        site.send(["n": 1, "do": "cancel"], key: "b")
        site.settle()
        site.now += 8000
        site.settle()
        #expect(site.journal.published("out/").isEmpty)
        site.now += 1000
        site.settle()
        #expect(site.journal.published("out/probe/a").count == 1 && site.journal.published("out/probe/b").isEmpty)
        #expect(site.engine.lanes[0].timers.count == 0)
    }

    @Test("After an outage a timer fires before the messages that came after it was due")
    func timersInOrder() throws {
        var site = try SimulatedSite()
        let start = site.now
        site.send(["n": 1, "do": "timer", "in": 5], at: start)
        site.send(["n": 1], at: start + 4000)
        site.send(["n": 2], at: start + 6000)
        site.now = start + 20_000
        site.settle()
        #expect(site.journal.published("out/").compactMap { $0["sum"]?.int } == [1, 1001, 1003])
    }

    @Test("An output that expired while the site was down is not published, and the record says so")
    func lateOutputs() throws {
        var site = try SimulatedSite()
        site.send(["n": 1, "do": "expire"], at: site.now - 61_000)
        site.send(["n": 2, "do": "expire"], at: site.now - 20_000)
        site.settle()
        #expect(site.journal.published("out/").compactMap { $0["n"]?.int } == [2])
        let commits = site.journal.records.compactMap(\.commit).filter { $0.decision != nil }
        #expect(commits.count == 2)
        let record = try JSONValue(parsing: #require(commits.first?.decision).readableBytesView)
        #expect(record["limits"] == ["outputs held back because they had expired: 1"])
        let left: UInt32? = commits.last?.outputs.first?.properties.first { property in
            guard case .messageExpiryInterval(let seconds) = property else { return nil }
            return seconds
        }
        #expect(left == 40)
        #expect(site.engine.lanes[0].metrics.expiredOutputs == 1)
    }

    @Test("A state that cannot be read keeps its key's inputs in the dead letters, or begins afresh if told so")
    func unreadableStates() throws {
        let recovered = [
            "probe": RecoveredHandler(position: .zero, states: ["k": ByteBuffer(string: "{}"), "ok": ByteBuffer()])
        ]
        for resets in [false, true] {
            var site = try SimulatedSite()
            site.engine = try HandlerEngine(
                site: "s",
                registrations: [.probe(resets: resets)],
                recovered: recovered,
                firstSequence: 1,
                committedSequence: 0,
                limits: HandlerLimits(),
                stopwatch: { 0 }
            )
            site.send(["n": 1])
            site.send(["n": 1], key: "new")
            site.settle()
            #expect(site.journal.published("out/probe/k").count == (resets ? 1 : 0))
            #expect(site.journal.published("out/probe/new").count == 1)
            #expect(site.journal.published("dlq/probe").count == (resets ? 0 : 1))
            #expect(site.engine.diagnostics.count == (resets ? 0 : 1))
        }
    }

    @Test("A key that is forgotten is gone, and begins afresh")
    func forgetting() throws {
        var site = try SimulatedSite()
        site.send(["n": 5])
        site.send(["n": 6, "do": "timer", "in": 5])
        site.send(["n": 7, "do": "forget"])
        site.settle()
        #expect(site.journal.recovered["probe"]?.states.isEmpty == true)
        site.now += 60_000
        site.send(["n": 8])
        site.settle()
        #expect(site.journal.published("out/").compactMap { $0["sum"]?.int } == [5, 8])
    }

    @Test("Inputs that the journal no longer has are told to the operator")
    func lostInputs() throws {
        let engine = try HandlerEngine(
            site: "s",
            registrations: [.probe()],
            recovered: ["probe": RecoveredHandler(position: MessageReference(record: 10, index: .max))],
            firstSequence: 20,
            committedSequence: 30,
            limits: HandlerLimits(),
            stopwatch: { 0 }
        )
        #expect(engine.cursor == 20)
        #expect(engine.diagnostics.map(\.message) == ["The journal no longer has all inputs of a handler"])
    }

    @Test(
        "A wrong registration is refused by the field that is wrong",
        arguments: [
            ("name", HandlerRegistration(name: "a/b", plugin: Probe.self, topics: ["a/+"])),
            ("name", HandlerRegistration(name: "", plugin: Probe.self, topics: ["a/+"])),
            ("topics", HandlerRegistration(name: "a", plugin: Probe.self, topics: [])),
            ("topics", HandlerRegistration(name: "a", plugin: Probe.self, topics: ["a/#/b"])),
            ("key", HandlerRegistration(name: "a", plugin: Probe.self, topics: ["a/+"], key: "{2}")),
            ("key", HandlerRegistration(name: "a", plugin: Probe.self, topics: ["a/b"], key: "{1}")),
            ("key", HandlerRegistration(name: "a", plugin: Probe.self, topics: ["a/+"], key: "{")),
            ("rate", HandlerRegistration(name: "a", plugin: Probe.self, topics: ["a/+"], parameters: ["rate": 1])),
        ]
    )
    func registrations(field: String, registration: HandlerRegistration) {
        let error = #expect(throws: HandlerConfigurationError.self) { try registration.check() }
        #expect(error?.parameter == field)
    }

    @Test("Two handlers with one name are refused")
    func sameName() {
        let error = #expect(throws: HandlerConfigurationError.self) { try SimulatedSite([.probe("a"), .probe("a")]) }
        #expect(error?.parameter == "name")
    }
}
