import Broker
import HandlerKit
import MQTT
import NIOCore

/// The handlers of a site as one sequential machine: committed messages and the time in, commits out. It has no thread,
/// no clock and no disk of its own; ``HandlerRuntime`` drives it, and tests do.
///
/// What makes a decision happen exactly once: an input's effect, the state after it and the position behind it stand in
/// one ``HandlerCommit``, which becomes one journal record. After a crash the engine starts from what is in the journal
/// and decides again about whatever has no such record, from the same state, with the same outcome.
final class HandlerEngine {
    let site: String
    let limits: HandlerLimits
    let lanes: [HandlerLane]
    /// The next record to read.
    private(set) var cursor: UInt64
    /// Commits that wait to be submitted, with the index of their lane.
    private(set) var outbox: [(lane: Int, commit: HandlerCommit)] = []
    /// Lines for the operator that wait to be logged.
    var diagnostics: [Diagnostic] = []
    /// How long a piece of work took; the driver's monotonic clock, because pure code has none.
    let stopwatch: () -> Double

    /// Sets up the handlers as the journal left them.
    ///
    /// - Throws: ``HandlerConfigurationError`` if a handler cannot be made from its configuration.
    init(
        site: String,
        registrations: [HandlerRegistration],
        recovered: [String: RecoveredHandler],
        firstSequence: UInt64,
        committedSequence: UInt64,
        limits: HandlerLimits,
        stopwatch: @escaping () -> Double
    ) throws(HandlerConfigurationError) {
        self.site = site
        self.limits = limits
        self.stopwatch = stopwatch
        var lanes: [HandlerLane] = []
        var firstCommits: [(lane: Int, commit: HandlerCommit)] = []
        var diagnostics: [Diagnostic] = []
        for registration in registrations {
            let lane = try HandlerLane.make(registration, site: site, limits: limits)
            guard !lanes.contains(where: { $0.name == lane.name }) else {
                throw HandlerConfigurationError(
                    parameter: "name",
                    problem: "two handlers are called \(lane.name)",
                    hint: "give each handler a name of its own: it stands in the journal for the handler's position"
                )
            }
            if let found = recovered[lane.name] {
                Self.restore(lane, from: found, firstSequence: firstSequence, &diagnostics)
            } else {
                // Its beginning is committed before anything else, so that a crash cannot move it.
                let isNow = lane.start == .now && committedSequence > 0
                lane.position = isNow ? MessageReference(record: committedSequence, index: .max) : .zero
                lane.submittedPosition = lane.position
                firstCommits.append((lanes.count, Self.positionCommit(lane)))
            }
            lanes.append(lane)
        }
        self.lanes = lanes
        self.outbox = firstCommits
        self.diagnostics = diagnostics
        self.cursor = max(1, firstSequence, lanes.map { Self.neededRecord($0.position) }.min() ?? committedSequence + 1)
    }

    private static func restore(
        _ lane: HandlerLane,
        from found: RecoveredHandler,
        firstSequence: UInt64,
        _ diagnostics: inout [Diagnostic]
    ) {
        lane.position = found.position
        lane.submittedPosition = found.position
        lane.committedPosition = found.position
        if neededRecord(found.position) < firstSequence, found.position != .zero {
            diagnostics.append(
                Diagnostic(
                    .error,
                    "The journal no longer has all inputs of a handler",
                    [
                        "handler": lane.name, "position": String(found.position.record),
                        "oldest": String(firstSequence),
                    ]
                )
            )
        }
        for (key, state) in found.states {
            do {
                try lane.table.load(key: key, bytes: Array(state.readableBytesView))
                lane.schedule(key, lane.table.timers(of: key), except: [:])
            } catch {
                if !lane.resetsUnreadableState { lane.unreadableKeys.insert(key) }
            }
        }
        if !lane.unreadableKeys.isEmpty {
            diagnostics.append(
                Diagnostic(
                    .error,
                    "States of a handler cannot be read; inputs for their keys go to the dead letters",
                    ["handler": lane.name, "keys": String(lane.unreadableKeys.count)]
                )
            )
        }
    }

    /// The oldest record that a reader at a position has not read to its end.
    static func neededRecord(_ position: MessageReference) -> UInt64 {
        position.index == .max ? position.record + 1 : position.record
    }

    /// Takes commits to submit, at most so many, in order.
    func takeCommits(_ count: Int) -> [(lane: Int, commit: HandlerCommit)] {
        let taken = Array(outbox.prefix(count))
        outbox.removeFirst(taken.count)
        return taken
    }

    // MARK: - Inputs

    /// Decides about the messages of the next record.
    ///
    /// - Parameter now: The wall clock, milliseconds since 1970: only for the circuit breaker and for outputs that are
    ///   past their expiry.
    func consume(sequence: UInt64, messages: [JournaledMessage], now: Int64) {
        skip(to: sequence, now: now)
        for (index, lane) in lanes.enumerated() where Self.neededRecord(lane.position) <= sequence {
            for message in messages where message.reference > lane.position {
                if message.origin == .handler, message.publisher == lane.name { continue }
                let captures = message.topic.bytes.withUnsafeReadableBytes { bytes in
                    lane.pattern(for: bytes).flatMap { pattern in pattern.captures(of: bytes).map { (pattern, $0) } }
                }
                guard let (pattern, captures) = captures else { continue }
                decide(index, message, pattern, captures, now)
            }
            lane.pass(sequence, isEmpty: messages.isEmpty, now: now)
        }
        cursor = sequence + 1
    }

    /// Passes over records that are gone. It is told: handlers will never decide about what was in them.
    func skip(to sequence: UInt64, now: Int64) {
        guard sequence > cursor else { return }
        diagnostics.append(
            Diagnostic(
                .error,
                "Records of the journal are gone before the handlers read them",
                ["first": String(cursor), "last": String(sequence - 1)]
            )
        )
        for lane in lanes where Self.neededRecord(lane.position) < sequence {
            lane.pass(sequence - 1, isEmpty: false, now: now)
        }
        cursor = sequence
    }

    /// Fires what is due by the wall clock. Only to be called when everything that is committed has been read, so that
    /// a timer never overtakes a message that was received before it was due.
    ///
    /// - Returns: Whether more may be due: the work of one call is bounded.
    func fireTimers(now: Int64) -> Bool {
        for (index, lane) in lanes.enumerated() {
            var fired = 0
            while let entry = lane.nextTimer(), entry.due <= now {
                guard fired < limits.timerFiringsMax else { return true }
                guard !lane.breaker.isOpen || lane.breaker.admits(now) else { break }
                _ = lane.timers.removeFirst()
                fire(index, entry, at: now, now)
                fired += 1
            }
        }
        return false
    }

    /// The instant at which ``fireTimers(now:)`` or ``commitPositions(now:)`` has something to do, if nothing else
    /// comes.
    func nextWake(now: Int64) -> Int64? {
        var next: Int64?
        for lane in lanes {
            if let due = lane.nextTimer()?.due {
                // An open breaker holds timers back; look again in a second.
                next = min(next ?? .max, lane.breaker.isOpen ? max(due, now + 1000) : due)
            }
            if lane.passedRecords > 0 {
                next = min(next ?? .max, lane.passedSinceMilliseconds + Int64(limits.positionSecondsMax * 1000))
            }
        }
        return next
    }

    /// Commits the positions of handlers whose inputs had no effect for long, so that the journal can be cut. Records
    /// without messages, such as those that come of this, do not count: else it would never end.
    func commitPositions(now: Int64, isStopping: Bool = false) {
        for (index, lane) in lanes.enumerated() where lane.passedRecords > 0 {
            let waited = Double(now - lane.passedSinceMilliseconds) / 1000
            guard isStopping || lane.passedRecords >= limits.positionRecordsMax || waited >= limits.positionSecondsMax
            else { continue }
            submit(index, Self.positionCommit(lane))
        }
    }

    private static func positionCommit(_ lane: HandlerLane) -> HandlerCommit {
        HandlerCommit(
            handler: lane.name,
            position: lane.position,
            key: "",
            state: nil,
            outputs: [],
            decision: nil
        )
    }

    func submit(_ index: Int, _ commit: HandlerCommit) {
        let lane = lanes[index]
        lane.submittedPosition = commit.position
        lane.passedRecords = 0
        outbox.append((index, commit))
    }
}
