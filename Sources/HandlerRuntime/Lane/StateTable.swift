import Foundation
import HandlerKit

/// The states of one handler's keys, with the handler's type behind it.
///
/// ``reduce(key:input:context:)`` only proposes: nothing has changed until ``accept()``.
protocol StateTable: AnyObject {
    var keyCount: Int { get }
    var totals: [String: Int64] { get }
    func holds(_ key: String) -> Bool
    /// The instants of a key's timers by name.
    func timers(of key: String) -> [String: Int64]
    /// Takes a key's state as the journal has it.
    func load(key: String, bytes: [UInt8]) throws
    func reduce(key: String, input: HandlerInput, context: HandlerContext) throws(StateFailure) -> Proposal
    /// Proposes the key as it is, without a timer: the handler failed on its firing.
    func dropTimer(_ name: String, key: String) throws(StateFailure) -> Proposal
    /// Makes the last proposal the state.
    func accept()
    /// Drops the last proposal.
    func discard()
}

/// What a handler wants, before it is checked.
struct Proposal {
    var decision: Decision
    /// The key's encoded state: nil if it is as before, empty if the key is forgotten.
    var state: [UInt8]?
    /// The key's timers, as they would be.
    var timers: [String: Int64]
}

/// The handler made something that cannot be kept.
struct StateFailure: Error {
    var reason: String
}

/// What of a key goes into the journal. Field names are short because it is written with every decision.
private struct StoredState<State: Codable>: Codable {
    /// The state.
    var s: State
    /// Timers, by name, in milliseconds since 1970.
    var t: [String: Int64]
}

final class TypedStateTable<H: Handler>: StateTable {
    private struct Entry {
        var state: H.State
        var timers: [String: Int64]
        var encoded: [UInt8]
    }

    private enum Pending {
        case none
        case change(key: String, Entry)
        case removal(key: String)
    }

    private let handler: H
    private let encoder = JSONEncoder()
    private let decoder = JSONDecoder()
    private var entries: [String: Entry] = [:]
    private var pending = Pending.none
    private(set) var totals: [String: Int64] = [:]

    init(_ handler: H) {
        self.handler = handler
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    var keyCount: Int { entries.count }

    func holds(_ key: String) -> Bool { entries[key] != nil }

    func timers(of key: String) -> [String: Int64] { entries[key]?.timers ?? [:] }

    func load(key: String, bytes: [UInt8]) throws {
        let stored = try decoder.decode(StoredState<H.State>.self, from: Data(bytes))
        pending = .change(key: key, Entry(state: stored.s, timers: stored.t, encoded: bytes))
        accept()
    }

    func reduce(key: String, input: HandlerInput, context: HandlerContext) throws(StateFailure) -> Proposal {
        let old = entries[key]
        var state = old?.state ?? handler.initialState(key: key)
        var timers = old?.timers ?? [:]
        if case .timer(let firing) = input { timers[firing.name] = nil }
        let decision = handler.reduce(&state, input, context)
        pending = .none
        if case .rejected = decision.kind {
            // A timer has fired all the same; the state stays as it was.
            state = old?.state ?? handler.initialState(key: key)
        } else if decision.forgetsKey {
            pending = .removal(key: key)
            return Proposal(decision: decision, state: old == nil ? nil : [], timers: [:])
        } else {
            for change in decision.timers {
                switch change {
                case .set(let name, let instant): timers[name] = instant.milliseconds
                case .cancel(let name): timers[name] = nil
                }
            }
        }
        if old == nil, case .rejected = decision.kind { return Proposal(decision: decision, state: nil, timers: [:]) }
        return try propose(decision, key: key, state: state, timers: timers, old: old?.encoded)
    }

    func dropTimer(_ name: String, key: String) throws(StateFailure) -> Proposal {
        pending = .none
        guard let old = entries[key] else { return Proposal(decision: .none, state: nil, timers: [:]) }
        var timers = old.timers
        timers[name] = nil
        return try propose(.none, key: key, state: old.state, timers: timers, old: old.encoded)
    }

    private func propose(
        _ decision: Decision,
        key: String,
        state: H.State,
        timers: [String: Int64],
        old: [UInt8]?
    ) throws(StateFailure) -> Proposal {
        let encoded: [UInt8]
        do {
            encoded = Array(try encoder.encode(StoredState(s: state, t: timers)))
        } catch {
            throw StateFailure(reason: "the state cannot be encoded")
        }
        guard encoded != old else { return Proposal(decision: decision, state: nil, timers: timers) }
        pending = .change(key: key, Entry(state: state, timers: timers, encoded: encoded))
        return Proposal(decision: decision, state: encoded, timers: timers)
    }

    func accept() {
        switch pending {
        case .none: return
        case .change(let key, let entry):
            add(entries[key]?.state, sign: -1)
            add(entry.state, sign: 1)
            entries[key] = entry
        case .removal(let key):
            add(entries[key]?.state, sign: -1)
            entries[key] = nil
        }
        pending = .none
    }

    func discard() { pending = .none }

    private func add(_ state: H.State?, sign: Int64) {
        guard let state else { return }
        let added = handler.totals(of: state)
        guard !added.isEmpty else { return }
        for name in added.keys.sorted().prefix(HandlerTotals.countMax) {
            let sum = (totals[name] ?? 0) &+ sign &* (added[name] ?? 0)
            totals[name] = sum == 0 ? nil : sum
        }
    }
}
