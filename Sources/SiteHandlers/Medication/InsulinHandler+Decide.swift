import HandlerKit

// A glucose reading, and what follows from it.
extension InsulinHandler {
    static let silence = "silence"
    /// How long the alarm about a silent sensor stands if nobody takes it back.
    static let alarmSeconds: UInt32 = 86_400

    func reading(_ state: inout State, _ payload: JSONValue, _ stamp: Stamp, _ context: HandlerContext) -> Decision {
        if stamp.isUnreadable { return .rejected("ts is neither ISO 8601 with a zone nor milliseconds since 1970") }
        guard let unit = payload["unit"]?.text.flatMap(GlucoseUnit.init(rawValue:)) else {
            return .rejected("unit is neither mg/dL nor mmol/L")
        }
        guard let value = payload["value"]?.double, value >= 0,
            unit.milligrams(value) <= SensorGuard.milligramsMax
        else { return .rejected("value is not a number from 0 to \(SensorGuard.milligramsMax) mg/dL") }
        let quality = payload["quality"]?.text
        guard quality?.utf8.count ?? 0 <= 32 else { return .rejected("quality is longer than 32 bytes") }
        guard state.isNew(stamp), !state.readings.contains(where: { $0.at == stamp.at }) else { return .none }
        let reading = Reading(
            at: stamp.at,
            milligrams: unit.milligrams(value),
            noise: payload["noise"]?.int,
            quality: quality,
            name: stamp.name
        )
        if let last = state.decidedThrough, reading.at <= last {
            // Late: it completes the history and never decides again.
            insert(reading, into: &state)
            state.trim(now: context.now, model: model)
            return .none
        }
        var readings = state.readings
        readings.append(reading)
        if let why = sensor.refusal(reading, readings: readings, now: context.now) {
            // A clock that is ahead must not close the door on the readings that follow.
            let isAhead = reading.at.seconds(since: context.now) > sensor.futureSeconds
            if !isAhead { state.decidedThrough = reading.at }
            if why.hasPrefix("the sensor has shown") { insert(reading, into: &state) }
            return refuse(&state, why, reading, context)
        }
        insert(reading, into: &state)
        state.decidedThrough = reading.at
        state.trim(now: context.now, model: model)
        return decide(&state, reading, context)
    }

    private func insert(_ reading: Reading, into state: inout State) {
        let place = state.readings.firstIndex { $0.at > reading.at } ?? state.readings.count
        state.readings.insert(reading, at: place)
    }

    private func decide(_ state: inout State, _ reading: Reading, _ context: HandlerContext) -> Decision {
        let order = state.order ?? order
        guard order.isComplete else {
            return refuse(&state, "there is no order with basal, isf and carb_ratio", reading, context)
        }
        state.countPump(through: context.now, basal: order.basal)
        let prediction = GlucosePrediction(input(state, reading, order))
        var target = target
        var limits: [String] = []
        if let noise = reading.noise, noise >= SensorGuard.noiseMax - 1 {
            target.low = min(200, target.low * 1.3)
            target.high = max(target.low, min(200, target.high * 1.3))
            limits.append("noisy sensor: target raised")
        }
        if prediction.hasJump { limits.append("jump: no momentum") }
        let correction = BasalCorrection(prediction, target: target, sensitivity: order.sensitivity, model: model)
        var caps = caps
        caps.maxDailyBasal = order.basal
        let wanted = correction.rate(basal: order.basal)
        let held = caps.held(wanted, basal: order.basal, insulinOnBoard: prediction.insulinOnBoard)
        limits += held.limits
        var values: [String: JSONValue] = [
            "glucose": .number(Self.rounded(reading.milligrams, 10)),
            "eventual": .number(Self.rounded(prediction.eventual, 10)),
            "lowest": .number(Self.rounded(prediction.lowest, 10)),
            "iob": .number(Self.rounded(prediction.insulinOnBoard, 1000)),
            "cob": .number(Self.rounded(prediction.carbsOnBoard, 10)),
            "wanted": .number(Self.rounded(wanted, 1000)),
            "rate": .number(held.rate),
            "basal": .number(order.basal),
        ]
        let basis = state.readings.suffix(8).map(\.name)
        if keeps(state.last, rate: held.rate, context) {
            values["running"] = state.last.map { .number($0.rate) } ?? .null
            return finish(
                &state,
                outputs: [],
                DecisionRecord(
                    decision: "keep",
                    why: "The running rate is within 80 to 120 % of the new one and has more than 20 min to go.",
                    basis: basis,
                    limits: limits,
                    values: values
                ),
                context
            )
        }
        var isCommand = mode == .auto
        if isCommand, context.now.seconds(since: state.pump?.at ?? WallTime(milliseconds: 0)) > pumpStaleSeconds {
            isCommand = false
            limits.append("pump state unknown: proposed instead of commanded")
        }
        let why = Self.why(correction.kind, prediction, target, reading)
        let proposal = Proposal(
            commandID: context.id("temp_basal", reading.name, String(held.rate)),
            rate: held.rate,
            at: context.now,
            isCommanded: isCommand,
            basis: basis
        )
        state.last = proposal
        let output =
            isCommand
            ? command(proposal, reason: why, limits: limits, left: outputSeconds, context)
            : self.output("proposal", proposal, why, limits, values, context)
        return finish(
            &state,
            outputs: [output],
            DecisionRecord(
                decision: isCommand ? "command" : "proposal",
                why: why,
                basis: basis,
                limits: limits,
                values: values.merging(["cmdId": .string(proposal.commandID)]) { _, new in new }
            ),
            context
        )
    }

    /// The state as the prediction wants it: minutes before the reading.
    private func input(_ state: State, _ reading: Reading, _ order: Order) -> PredictionInput {
        var onBoard = 0.0
        var meals: [PredictionInput.Meal] = []
        for meal in state.meals.reversed() {
            // Beyond the limit carbohydrates are not counted on: they would ask for insulin.
            let grams = min(meal.grams, Limits.carbsOnBoardMax - onBoard)
            guard grams > 0 else { break }
            onBoard += grams
            meals.append(
                PredictionInput.Meal(
                    minutes: meal.at.seconds(since: reading.at) / 60,
                    grams: grams,
                    absorptionMinutes: meal.absorptionMinutes
                )
            )
        }
        return PredictionInput(
            readings: state.readings.filter { $0.at <= reading.at }.map {
                PredictionInput.Reading(minutes: $0.at.seconds(since: reading.at) / 60, milligrams: $0.milligrams)
            },
            doses: state.doses.map {
                PredictionInput.Dose(minutes: $0.at.seconds(since: reading.at) / 60, units: $0.units)
            },
            meals: meals,
            sensitivity: order.sensitivity,
            carbRatio: order.carbRatio,
            model: model
        )
    }

    /// Whether what was commanded before is good enough to let it run.
    private func keeps(_ last: Proposal?, rate: Double, _ context: HandlerContext) -> Bool {
        guard mode != .suggest, let last, last.isCommanded else { return false }
        let left = BasalCorrection.durationHours * 3600 - context.now.seconds(since: last.at)
        guard left > 20 * 60 else { return false }
        return rate == 0 ? last.rate == 0 : (0.8...1.2).contains(last.rate / rate)
    }

    /// The reading cannot be dosed on. A higher rate that was commanded is taken back to basal; a lower one runs out.
    private func refuse(
        _ state: inout State,
        _ why: String,
        _ reading: Reading,
        _ context: HandlerContext
    ) -> Decision {
        let neutral = neutralCommand(&state, basis: [reading.name], context)
        let payload: JSONValue = [
            "decision": "refused", "reason": .string(why), "basis": .array([.string(reading.name)]),
            "expires": .string(context.now.adding(seconds: Double(outputSeconds)).description),
        ]
        let refusal = HandlerOutput(
            topic: topic("refusal", context),
            payload: payload,
            expirySeconds: outputSeconds,
            classification: "clinical"
        )
        return Decision(
            .decided,
            outputs: [refusal] + neutral,
            record: DecisionRecord(
                decision: neutral.isEmpty ? "refused" : "refused, back to basal",
                why: "No dosing: \(why).",
                basis: [reading.name],
                limits: ["sensor"]
            )
        )
    }

    /// A command back to the scheduled basal, if a higher rate may be running by our command.
    private func neutralCommand(_ state: inout State, basis: [String], _ context: HandlerContext) -> [HandlerOutput] {
        let basal = (state.order ?? order).basal
        guard let last = state.last, last.isCommanded, last.rate > basal, basal > 0,
            context.now.seconds(since: last.at) < BasalCorrection.durationHours * 3600
        else { return [] }
        let proposal = Proposal(
            commandID: context.id("neutral", context.basis),
            rate: caps.onGrid(basal),
            at: context.now,
            isCommanded: true,
            basis: basis
        )
        state.last = proposal
        let reason = "The sensor cannot be trusted; back to the programmed basal rate."
        return [command(proposal, reason: reason, limits: ["sensor"], left: outputSeconds, context)]
    }

    /// Nothing has come from the sensor for as long as a reading may be dosed on.
    func sensorIsSilent(_ state: inout State, _ context: HandlerContext) -> Decision {
        let neutral = neutralCommand(&state, basis: [context.basis], context)
        state.isSilent = true
        let minutes = Int(sensor.staleSeconds / 60)
        let alarm = HandlerOutput(
            topic: alarmTopic(context),
            payload: [
                "id": .string(context.id("silence", context.basis)), "priority": "medium", "kind": "technical",
                "condition": "CGM_SILENT", "phase": "start", "state": "active",
                "since": .string(context.now.description),
            ],
            retain: true,
            expirySeconds: Self.alarmSeconds,
            classification: "alarm"
        )
        return Decision(
            .decided,
            outputs: [alarm] + neutral,
            record: DecisionRecord(
                decision: neutral.isEmpty ? "alarm" : "alarm, back to basal",
                why: "No reading that can be dosed on has come for \(minutes) min.",
                basis: [context.basis],
                limits: ["stale"]
            )
        )
    }

    /// Sets the watch on the sensor anew, and takes an alarm back.
    private func finish(
        _ state: inout State,
        outputs: [HandlerOutput],
        _ record: DecisionRecord,
        _ context: HandlerContext
    ) -> Decision {
        var outputs = outputs
        if state.isSilent {
            state.isSilent = false
            outputs.append(
                HandlerOutput(
                    topic: alarmTopic(context),
                    payload: nil,
                    retain: true,
                    expirySeconds: Self.alarmSeconds,
                    classification: "alarm"
                )
            )
        }
        let deadline = (state.decidedThrough ?? context.now).adding(seconds: sensor.staleSeconds)
        return Decision(
            .decided,
            outputs: outputs,
            record: record,
            timers: [.set(name: Self.silence, at: deadline)]
        )
    }

    // MARK: - Outputs

    func command(
        _ proposal: Proposal,
        reason: String,
        limits: [String],
        left: UInt32,
        _ context: HandlerContext
    ) -> HandlerOutput {
        let values = ["handler": context.handler, "key": context.key, "kind": "command"]
        return HandlerOutput(
            topic: commandTopic.topic(values) ?? topic("command", context),
            payload: body(proposal, reason, limits, left: left, context),
            qos: .atLeastOnce,
            retain: false,
            expirySeconds: max(1, left),
            classification: "clinical"
        )
    }

    private func output(
        _ kind: String,
        _ proposal: Proposal,
        _ reason: String,
        _ limits: [String],
        _ values: [String: JSONValue],
        _ context: HandlerContext
    ) -> HandlerOutput {
        var payload = body(proposal, reason, limits, left: outputSeconds, context)
        if case .object(var members) = payload {
            members["mode"] = .string(mode.rawValue)
            members["values"] = .object(values)
            members["notice"] = "Advice, not a medical device."
            payload = .object(members)
        }
        return HandlerOutput(
            topic: topic(kind, context),
            payload: payload,
            expirySeconds: outputSeconds,
            classification: "clinical"
        )
    }

    private func body(
        _ proposal: Proposal,
        _ reason: String,
        _ limits: [String],
        left: UInt32,
        _ context: HandlerContext
    ) -> JSONValue {
        [
            "cmdId": .string(proposal.commandID), "op": "temp_basal",
            "rate": ["value": .number(proposal.rate), "unit": "[iU]/h"],
            "duration_s": .integer(Int64(BasalCorrection.durationHours * 3600)),
            "expires": .string(context.now.adding(seconds: Double(left)).description),
            "basis": .array(proposal.basis.map(JSONValue.string)),
            "limits": .array(limits.map(JSONValue.string)),
            "reason": .string(reason),
        ]
    }

    private func topic(_ kind: String, _ context: HandlerContext) -> String {
        outputTopic.topic(["handler": context.handler, "key": context.key, "kind": kind])
            ?? "hnd/\(context.handler)/\(TopicTemplate.escaped(context.key))/\(kind)"
    }

    private func alarmTopic(_ context: HandlerContext) -> String {
        "alarm/\(context.handler)/\(TopicTemplate.escaped(context.key))-cgm-silent"
    }

    private static func rounded(_ value: Double, _ scale: Double) -> Double { (value * scale).rounded() / scale }

    private static func why(
        _ kind: BasalCorrection.Kind,
        _ prediction: GlucosePrediction,
        _ target: BasalCorrection.Target,
        _ reading: Reading
    ) -> String {
        let lowest = Int(prediction.lowest.rounded())
        let eventual = Int(prediction.eventual.rounded())
        switch kind {
        case .suspend:
            return "Glucose is predicted to fall to \(lowest) mg/dL, below \(Int(target.suspend)): no insulin."
        case .inRange: return "Glucose is predicted to end at \(eventual) mg/dL without going low: the basal rate."
        case .above: return "Glucose is predicted to end at \(eventual) mg/dL, above \(Int(target.high)): more."
        case .below: return "Glucose is predicted to fall to \(lowest) mg/dL and end at \(eventual): less."
        }
    }
}
