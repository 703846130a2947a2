import Broker
import Foundation
import HandlerKit
import MQTT
import NIOCore

@testable import HandlerRuntime

/// A handler that counts what it is given and does on demand whatever a test wants.
struct Probe: Handler {
    struct State: Codable, Sendable, Equatable {
        var count = 0
        var sum = 0
        var padding = ""
        var value = 0.0
    }

    static let plugin = PluginDescription(
        name: "test.probe",
        version: "1",
        summary: "Counts.",
        parameters: [ParameterDescription("seconds", .number(0...10, unit: "s"), default: 0, "how slow it is")]
    )

    init(parameters: HandlerParameters) throws(HandlerConfigurationError) {
        _ = try parameters.validated(by: Self.plugin)
    }

    func initialState(key: String) -> State { State() }

    func totals(of state: State) -> [String: Int64] { ["count": Int64(state.count)] }

    func reduce(_ state: inout State, _ input: HandlerInput, _ context: HandlerContext) -> Decision {
        switch input {
        case .timer(let firing):
            state.sum += 1000
            return Decision(.decided, outputs: [output(["timer": .string(firing.name), "sum": sum(state)], context)])
        case .message(let message):
            guard let payload = try? message.json(), let number = payload["n"]?.int else {
                return .rejected("no number")
            }
            switch payload["do"]?.text {
            case "nothing": return .none
            case "outputs":
                return Decision(.decided, outputs: (0..<100).map { output(["n": .integer($0)], context) })
            case "bad topic": return Decision(.decided, outputs: [HandlerOutput(topic: "a/#", payload: 1)])
            case "huge":
                state.padding = String(repeating: "x", count: 300_000)
                return .none
            case "not a number":
                state.value = .nan
                return .none
            case "forget": return Decision(.decided, forgetsKey: true)
            case "timer":
                let seconds = payload["in"]?.double ?? 0
                return Decision(.none, timers: [.set(name: "t", at: context.now.adding(seconds: seconds))])
            case "cancel": return Decision(.none, timers: [.cancel(name: "t")])
            default: break
            }
            state.count += 1
            state.sum += Int(number)
            var result = output(
                [
                    "n": .integer(number), "count": .integer(Int64(state.count)), "sum": sum(state),
                    "id": .string(context.id("n", String(number))), "total": .integer(context.totals["count"] ?? 0),
                ],
                context
            )
            if payload["do"] == "expire" { result.expirySeconds = 60 }
            let record = DecisionRecord(decision: "counted", why: "It came.", basis: [context.basis])
            return Decision(.decided, outputs: [result], record: record)
        }
    }

    private func sum(_ state: State) -> JSONValue { .integer(Int64(state.sum)) }

    private func output(_ payload: JSONValue, _ context: HandlerContext) -> HandlerOutput {
        HandlerOutput(topic: "out/\(context.handler)/\(context.key)", payload: payload)
    }
}

extension HandlerRegistration {
    static func probe(
        _ name: String = "probe",
        topics: [String] = ["in/{key}"],
        start: Start = .beginning,
        resets: Bool = false
    ) -> HandlerRegistration {
        HandlerRegistration(
            name: name,
            plugin: Probe.self,
            topics: topics,
            key: "{1}",
            start: start,
            resetsUnreadableState: resets
        )
    }
}

/// A journal in memory that behaves as the broker and the real one do together: what is appended becomes durable later,
/// a handler's commit becomes one record with its outputs as messages, and a crash takes what is not durable.
struct SimulatedJournal {
    struct Record {
        var messages: [JournaledMessage]
        var commit: HandlerCommit?
    }

    private(set) var records: [Record] = []
    private(set) var durable: UInt64 = 0

    var next: UInt64 { UInt64(records.count) + 1 }

    mutating func publish(_ topic: String, _ payload: JSONValue, at instant: Int64, origin: MessageOrigin = .client) {
        append([Message(topic: topic, payload: payload.encoded(), properties: [])], nil, instant, origin, "device")
    }

    mutating func publish(raw payload: [UInt8], topic: String, at instant: Int64) {
        append([Message(topic: topic, payload: payload, properties: [])], nil, instant, .client, "device")
    }

    /// Several messages in one record.
    mutating func publish(_ topic: String, all payloads: [JSONValue], at instant: Int64) {
        let messages = payloads.map { Message(topic: topic, payload: $0.encoded(), properties: []) }
        append(messages, nil, instant, .client, "device")
    }

    mutating func submit(_ commit: HandlerCommit, at instant: Int64) {
        let messages = commit.outputs.map {
            Message(
                topic: $0.topic.string,
                payload: Array($0.payload.readableBytesView),
                properties: $0.properties
            )
        }
        append(messages, commit, instant, .handler, commit.handler)
    }

    private struct Message {
        var topic: String
        var payload: [UInt8]
        var properties: Properties
    }

    private mutating func append(
        _ messages: [Message],
        _ commit: HandlerCommit?,
        _ instant: Int64,
        _ origin: MessageOrigin,
        _ publisher: String
    ) {
        let sequence = next
        let journaled = messages.enumerated().map { index, message in
            JournaledMessage(
                reference: MessageReference(record: sequence, index: UInt16(index)),
                topic: TopicName(uncheckedBytes: ByteBuffer(string: message.topic)),
                payload: ByteBuffer(bytes: message.payload),
                qos: .atLeastOnce,
                retain: false,
                properties: message.properties,
                receivedMilliseconds: instant,
                origin: origin,
                publisher: publisher
            )
        }
        records.append(Record(messages: journaled, commit: commit))
    }

    mutating func sync(through sequence: UInt64? = nil) { durable = max(durable, min(sequence ?? next - 1, next - 1)) }

    mutating func crash() { records.removeLast(records.count - Int(durable)) }

    /// What the broker would hand to the runtime after recovery.
    var recovered: [String: RecoveredHandler] {
        var found: [String: RecoveredHandler] = [:]
        for commit in records.prefix(Int(durable)).compactMap(\.commit) {
            var handler = found.removeValue(forKey: commit.handler) ?? RecoveredHandler()
            handler.position = max(handler.position, commit.position)
            if let state = commit.state { handler.states[commit.key] = state.readableBytes == 0 ? nil : state }
            found[commit.handler] = handler
        }
        return found
    }

    /// Payloads of everything that handlers published to topics with a prefix.
    func published(_ prefix: String) -> [JSONValue] {
        records.flatMap(\.messages).filter { $0.origin == .handler && $0.topic.string.hasPrefix(prefix) }
            .compactMap { try? JSONValue(parsing: $0.payload.readableBytesView) }
    }
}

/// A site without threads: journal, engine and a clock that a test moves.
struct SimulatedSite {
    var journal = SimulatedJournal()
    var engine: HandlerEngine
    var now: Int64 = 1_700_000_000_000
    let registrations: [HandlerRegistration]
    let limits: HandlerLimits
    var stopwatch = Stopwatch()

    /// How long everything takes, as a test wants it.
    final class Stopwatch {
        var seconds = 0.0
        var step = 0.0

        func read() -> Double {
            seconds += step
            return seconds
        }
    }

    init(_ registrations: [HandlerRegistration] = [.probe()], limits: HandlerLimits = HandlerLimits()) throws {
        self.registrations = registrations
        self.limits = limits
        self.engine = try Self.engine(registrations, SimulatedJournal(), limits, stopwatch)
        submitAll()
    }

    static func engine(
        _ registrations: [HandlerRegistration],
        _ journal: SimulatedJournal,
        _ limits: HandlerLimits,
        _ stopwatch: Stopwatch
    ) throws -> HandlerEngine {
        try HandlerEngine(
            site: "s",
            registrations: registrations,
            recovered: journal.recovered,
            firstSequence: 1,
            committedSequence: journal.durable,
            limits: limits,
            stopwatch: stopwatch.read
        )
    }

    /// Takes what is not durable and starts again.
    mutating func crash() throws {
        journal.crash()
        engine = try Self.engine(registrations, journal, limits, stopwatch)
        submitAll()
    }

    mutating func send(_ payload: JSONValue, key: String = "k", at instant: Int64? = nil) {
        journal.publish("in/\(key)", payload, at: instant ?? now)
    }

    @discardableResult
    mutating func consumeOne() -> Bool {
        guard engine.cursor <= journal.durable else { return false }
        let record = journal.records[Int(engine.cursor) - 1]
        engine.consume(sequence: engine.cursor, messages: record.messages, now: now)
        return true
    }

    mutating func submitAll() {
        for (_, commit) in engine.takeCommits(.max) { journal.submit(commit, at: now) }
    }

    /// Runs until nothing is left to do at this instant.
    mutating func settle() {
        for _ in 0..<100_000 {
            submitAll()
            journal.sync()
            if consumeOne() { continue }
            let hasMore = engine.fireTimers(now: now)
            engine.commitPositions(now: now)
            if engine.outbox.isEmpty, !hasMore, engine.cursor > journal.durable { return }
        }
    }
}
