import Broker
import HandlerKit
import MQTT
import NIOCore

// One input: key, checks, the handler's decision, and the commit that comes of it.
extension HandlerEngine {
    func decide(
        _ index: Int,
        _ message: JournaledMessage,
        _ pattern: TopicPattern,
        _ captures: TopicCaptures,
        _ now: Int64
    ) {
        let lane = lanes[index]
        lane.metrics.inputs += 1
        let hops = Chain.hops(of: message)
        var parsed: JSONValue?
        if lane.keyTemplate.needsPayload(for: pattern) {
            parsed = try? JSONValue(parsing: message.payload.readableBytesView)
        }
        guard let key = lane.keyTemplate.filled(captures: captures, payload: parsed),
            key.utf8.count <= limits.keyBytesMax
        else {
            reject(index, message, reason: "no key: \(lane.keyTemplate.template) cannot be filled", now)
            return
        }
        if hops >= limits.chainMax {
            reject(index, message, reason: "it has passed through \(hops) handlers, the limit", now)
        } else if lane.unreadableKeys.contains(key) {
            reject(index, message, reason: "the state of its key cannot be read", now)
        } else if !lane.table.holds(key), lane.table.keyCount >= limits.keysMax {
            reject(index, message, reason: "the handler has \(limits.keysMax) keys, the limit", now)
        } else {
            fireOverdue(index, key: key, before: message, now)
            guard lane.breaker.admits(now) else {
                reject(index, message, reason: "the handler's circuit breaker is open after repeated failures", now)
                return
            }
            let input = InputMessage(message, captures: captures, parsed: parsed)
            let basis = Basis(
                reference: input.reference,
                topic: input.topic,
                receivedMilliseconds: message.receivedMilliseconds,
                hops: hops
            )
            run(index, key: key, input: .message(input), basis: basis, position: message.reference, message, now)
        }
    }

    /// A key's timers that were due before a message was received fire before it, as they would have had the message
    /// been read at once.
    private func fireOverdue(_ index: Int, key: String, before message: JournaledMessage, _ now: Int64) {
        let lane = lanes[index]
        for _ in 0..<limits.timerFiringsMax {
            guard !lane.breaker.isOpen,
                let first = lane.table.timers(of: key).min(by: { ($0.value, $0.key) < ($1.value, $1.key) }),
                first.value < message.receivedMilliseconds
            else { return }
            fire(index, TimerQueue.Entry(due: first.value, key: key, name: first.key), at: first.value, now)
        }
    }

    func fire(_ index: Int, _ entry: TimerQueue.Entry, at instant: Int64, _ now: Int64) {
        let lane = lanes[index]
        lane.metrics.inputs += 1
        let firing = TimerFiring(
            name: entry.name,
            dueAt: WallTime(milliseconds: entry.due),
            firedAt: WallTime(milliseconds: instant)
        )
        let basis = Basis(
            reference: "timer/\(entry.name)/\(firing.dueAt)",
            topic: "",
            receivedMilliseconds: instant,
            hops: 0
        )
        // The position stays where the last decision left it: what was passed without effect may be passed again.
        run(index, key: entry.key, input: .timer(firing), basis: basis, position: lane.submittedPosition, nil, now)
    }

    private func run(
        _ index: Int,
        key: String,
        input: HandlerInput,
        basis: Basis,
        position: MessageReference,
        _ message: JournaledMessage?,
        _ now: Int64
    ) {
        let lane = lanes[index]
        let context = HandlerContext(
            now: WallTime(milliseconds: basis.receivedMilliseconds),
            handler: lane.name,
            site: site,
            key: key,
            totals: lane.table.totals,
            configuration: lane.configuration,
            basis: basis.reference
        )
        let knownTimers = lane.table.timers(of: key)
        let started = stopwatch()
        let proposal: Proposal
        let checked: [HandlerCommit.Output]
        do {
            proposal = try lane.table.reduce(key: key, input: input, context: context)
            checked = try check(proposal, basis, now, lane)
        } catch {
            lane.table.discard()
            fail(index, key: key, input: input, basis: basis, position: position, message, error.reason, now)
            return
        }
        let seconds = stopwatch() - started
        lane.metrics.lastDecisionSeconds = seconds
        lane.metrics.lastLatencySeconds = max(0, Double(now - basis.receivedMilliseconds) / 1000)
        var outputs = checked
        if seconds > limits.slowSeconds {
            lane.metrics.failures += 1
            outputs += noteBreaker(lane, lane.breaker.failed(now), now)
        } else {
            outputs += noteBreaker(lane, lane.breaker.succeeded(), now)
        }
        var letter: HandlerCommit.Output?
        switch proposal.decision.kind {
        case .rejected(let reason):
            lane.metrics.rejected += 1
            if let message { letter = DeadLetter.output(handler: lane.name, message, reason: reason, limits: limits) }
        case .decided: lane.metrics.decided += 1
        case .none: break
        }
        lane.table.accept()
        lane.schedule(key, lane.table.timers(of: key), except: knownTimers)
        lane.metrics.outputs += UInt64(checked.count)
        if let letter { outputs.append(letter) }
        let record = DecisionEntry.bytes(
            proposal.decision,
            context: context,
            lane: lane,
            basis: basis,
            outputs: checked
        )
        guard proposal.state != nil || !outputs.isEmpty || record != nil else { return }
        submit(
            index,
            HandlerCommit(
                handler: lane.name,
                position: position,
                key: key,
                state: proposal.state.map { ByteBuffer(bytes: $0) },
                outputs: outputs,
                decision: record.map { ByteBuffer(bytes: $0) }
            )
        )
    }

    /// Holds a proposal against the limits and makes its outputs.
    private func check(
        _ proposal: Proposal,
        _ basis: Basis,
        _ now: Int64,
        _ lane: HandlerLane
    ) throws(StateFailure) -> [HandlerCommit.Output] {
        if let state = proposal.state, state.count > limits.stateBytesMax {
            throw StateFailure(reason: "the state would have \(state.count) bytes, more than \(limits.stateBytesMax)")
        }
        guard proposal.timers.count <= limits.timersMax else {
            throw StateFailure(reason: "more than \(limits.timersMax) timers")
        }
        guard proposal.decision.outputs.count <= limits.outputsMax else {
            throw StateFailure(reason: "more than \(limits.outputsMax) outputs")
        }
        if case .rejected = proposal.decision.kind { return [] }
        var outputs: [HandlerCommit.Output] = []
        for output in proposal.decision.outputs {
            let age = max(0, now - basis.receivedMilliseconds) / 1000
            if let expiry = output.expirySeconds, age >= Int64(expiry), age > 0 {
                // Late after an outage: nobody may be told to act on it now.
                lane.metrics.expiredOutputs += 1
                continue
            }
            outputs.append(try HandlerCommit.Output(output, hops: basis.hops + 1, ageSeconds: age, limits: limits))
        }
        return outputs
    }

    // MARK: - Dead letters

    private func reject(_ index: Int, _ message: JournaledMessage, reason: String, _ now: Int64) {
        let lane = lanes[index]
        lane.metrics.rejected += 1
        let letter = DeadLetter.output(handler: lane.name, message, reason: reason, limits: limits)
        submit(
            index,
            HandlerCommit(
                handler: lane.name,
                position: message.reference,
                key: "",
                state: nil,
                outputs: letter.map { [$0] } ?? [],
                decision: nil
            )
        )
    }

    /// The handler made something impossible. The input goes to the dead letters; a timer that did it is dropped.
    private func fail(
        _ index: Int,
        key: String,
        input: HandlerInput,
        basis: Basis,
        position: MessageReference,
        _ message: JournaledMessage?,
        _ reason: String,
        _ now: Int64
    ) {
        let lane = lanes[index]
        lane.metrics.failures += 1
        diagnostics.append(
            Diagnostic(.error, "A handler failed", ["handler": lane.name, "reason": reason, "input": basis.reference])
        )
        var outputs = noteBreaker(lane, lane.breaker.failed(now), now)
        var state: [UInt8]?
        if let message {
            lane.metrics.rejected += 1
            if let letter = DeadLetter.output(
                handler: lane.name,
                message,
                reason: "the handler failed: \(reason)",
                limits: limits
            ) {
                outputs.append(letter)
            }
        }
        if case .timer(let firing) = input, let dropped = try? lane.table.dropTimer(firing.name, key: key) {
            state = dropped.state
            lane.table.accept()
        }
        submit(
            index,
            HandlerCommit(
                handler: lane.name,
                position: position,
                key: key,
                state: state.map { ByteBuffer(bytes: $0) },
                outputs: outputs,
                decision: nil
            )
        )
    }

    private func noteBreaker(
        _ lane: HandlerLane,
        _ change: CircuitBreaker.Change,
        _ now: Int64
    ) -> [HandlerCommit.Output] {
        lane.metrics.isBreakerOpen = lane.breaker.isOpen
        switch change {
        case .none: return []
        case .opened:
            lane.metrics.breakerOpenings += 1
            diagnostics.append(Diagnostic(.error, "A handler's circuit breaker opened", ["handler": lane.name]))
            return [DeadLetter.status(handler: lane.name, breaker: "open", now)]
        case .closed:
            diagnostics.append(Diagnostic(.info, "A handler's circuit breaker closed", ["handler": lane.name]))
            return [DeadLetter.status(handler: lane.name, breaker: "closed", now)]
        }
    }
}
