import HandlerKit

// Inputs that only tell something.
extension InsulinHandler {
    /// Why a stamp is not believed, or nil.
    func refusal(_ stamp: Stamp, _ context: HandlerContext) -> String? {
        if stamp.isUnreadable { return "ts is neither ISO 8601 with a zone nor milliseconds since 1970" }
        if stamp.at.seconds(since: context.now) > sensor.futureSeconds { return "ts is in the future" }
        return nil
    }

    func dose(_ state: inout State, _ payload: JSONValue, _ stamp: Stamp, _ context: HandlerContext) -> Decision {
        if let reason = refusal(stamp, context) { return .rejected(reason) }
        guard let units = payload["units"]?.double, units > 0, units <= Limits.doseUnitsMax else {
            return .rejected("units is not a number above 0 and at most \(Limits.doseUnitsMax)")
        }
        guard state.isNew(stamp) else { return .none }
        state.add(Dose(at: stamp.at, units: units))
        state.trim(now: context.now, model: model)
        return .none
    }

    func carbs(_ state: inout State, _ payload: JSONValue, _ stamp: Stamp, _ context: HandlerContext) -> Decision {
        if let reason = refusal(stamp, context) { return .rejected(reason) }
        guard let grams = payload["g"]?.double, grams > 0, grams <= Limits.mealGramsMax else {
            return .rejected("g is not a number above 0 and at most \(Limits.mealGramsMax)")
        }
        let minutes = payload["absorption_min"] == nil ? 180 : payload["absorption_min"]?.double
        guard let minutes, (30...480).contains(minutes) else {
            return .rejected("absorption_min is not a number from 30 to 480")
        }
        guard state.isNew(stamp) else { return .none }
        state.meals.append(Meal(at: stamp.at, grams: grams, absorptionMinutes: minutes))
        state.trim(now: context.now, model: model)
        if state.meals.count > Limits.mealsMax { state.meals.removeFirst() }
        return .none
    }

    func pumpReport(
        _ state: inout State,
        _ payload: JSONValue,
        _ stamp: Stamp,
        _ context: HandlerContext
    ) -> Decision {
        if let reason = refusal(stamp, context) { return .rejected(reason) }
        guard let rate = payload["rate"]?.double, rate >= 0, rate <= 35 else {
            return .rejected("rate is not a number from 0 to 35 U/h")
        }
        guard state.isNew(stamp), stamp.at > state.pump?.at ?? WallTime(milliseconds: .min) else { return .none }
        let basal = (state.order ?? order).basal
        state.countPump(through: stamp.at, basal: basal)
        state.pump = PumpReport(at: stamp.at, rate: rate, countedThrough: stamp.at)
        state.trim(now: context.now, model: model)
        return .none
    }

    func newOrder(_ state: inout State, _ payload: JSONValue, _ context: HandlerContext) -> Decision {
        guard let basal = payload["basal"]?.double, (0.025...10).contains(basal),
            let sensitivity = payload["isf"]?.double, (5...400).contains(sensitivity),
            let carbRatio = payload["carb_ratio"]?.double, (1...150).contains(carbRatio)
        else {
            return .rejected(
                "an order needs basal (0.025 to 10 U/h), isf (5 to 400 mg/dL/U), carb_ratio (1 to 150 g/U)"
            )
        }
        let new = Order(basal: basal, sensitivity: sensitivity, carbRatio: carbRatio)
        guard new != state.order else { return .none }
        state.countPump(through: context.now, basal: (state.order ?? order).basal)
        state.order = new
        return Decision(
            .decided,
            record: DecisionRecord(
                decision: "order taken",
                why: "The patient's settings came by message.",
                basis: [context.basis],
                values: ["basal": .number(basal), "isf": .number(sensitivity), "carb_ratio": .number(carbRatio)]
            )
        )
    }

    func confirm(_ state: inout State, _ payload: JSONValue, _ context: HandlerContext) -> Decision {
        guard let commandID = payload["cmdId"]?.text, let person = payload["by"]?.identifier, person.utf8.count <= 128
        else { return .rejected("a confirmation needs cmdId and by") }
        let why: String
        if mode != .confirm {
            why = "The mode is \(mode.rawValue); nothing waits for a confirmation."
        } else if let last = state.last, last.commandID == commandID {
            if last.isCommanded { return .none }
            let age = context.now.seconds(since: last.at)
            if age >= 0, age <= Double(outputSeconds) {
                state.last?.isCommanded = true
                return Decision(
                    .decided,
                    outputs: [
                        command(
                            last,
                            reason: "Confirmed by a person.",
                            limits: [],
                            left: outputSeconds - UInt32(age),
                            context
                        )
                    ],
                    record: DecisionRecord(
                        decision: "command",
                        why: "A person confirmed the proposal in time.",
                        basis: [context.basis] + last.basis,
                        values: ["cmdId": .string(commandID), "rate": .number(last.rate), "by": .string(person)]
                    )
                )
            }
            why = "The proposal had expired."
        } else {
            why = "It is not for the last proposal."
        }
        return Decision(
            .decided,
            record: DecisionRecord(decision: "confirmation refused", why: why, basis: [context.basis])
        )
    }
}
