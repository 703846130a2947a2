/// Everything the prediction is made from. Times are minutes; 0 is the last reading, the past is negative.
struct PredictionInput: Sendable {
    struct Reading: Sendable { var minutes: Double; var milligrams: Double }
    struct Dose: Sendable { var minutes: Double; var units: Double }
    struct Meal: Sendable { var minutes: Double; var grams: Double; var absorptionMinutes: Double }

    /// Readings of about the last hour in mg/dL, the oldest first, the last one at 0.
    var readings: [Reading]
    /// Insulin beyond (or, negative, below) the scheduled basal.
    var doses: [Dose]
    /// Carbohydrates eaten.
    var meals: [Meal]
    /// By how many mg/dL one unit lowers glucose.
    var sensitivity: Double
    /// How many grams of carbohydrate one unit makes up for.
    var carbRatio: Double
    /// How insulin acts.
    var model: InsulinModel
}

/// Where glucose goes if nothing is changed, after Loop: insulin, carbohydrates, the momentum of the last quarter of an
/// hour and what the last half hour did that insulin and carbohydrates do not explain.
struct GlucosePrediction: Sendable {
    /// Minutes between predicted values.
    static let stepMinutes = 5.0
    /// A jump between neighbouring readings from which neither momentum nor correction is drawn.
    static let jumpMilligrams = 40.0
    /// The steepest rise that is carried forward, mg/dL a minute.
    static let riseMax = 4.0
    /// Readings further apart are not neighbours.
    static let gapMinutes = 7.5
    private static let momentumMinutes = 15.0
    private static let retrospectionMinutes = 30.0
    private static let decayMinutes = 60.0

    /// Predicted values every ``stepMinutes``, the first one the last reading itself.
    let values: [Double]
    /// Units of insulin still to act.
    let insulinOnBoard: Double
    /// Grams of carbohydrate still to be absorbed.
    let carbsOnBoard: Double
    /// Whether the last readings jump, so that nothing was drawn from them.
    let hasJump: Bool

    var eventual: Double { values.last ?? 0 }
    var lowest: Double { values.min() ?? 0 }

    init(_ input: PredictionInput) {
        let count = Int(input.model.effectMinutes / Self.stepMinutes)
        var known = (0...count).map { Self.effect(input, at: Double($0) * Self.stepMinutes) }
        // From values at instants to changes between them.
        for index in stride(from: count, to: 0, by: -1) { known[index] -= known[index - 1] }
        known[0] = 0
        let recent = Self.neighbours(input.readings)
        let hasJump = zip(recent, recent.dropFirst()).contains {
            abs($1.milligrams - $0.milligrams) >= Self.jumpMilligrams
        }
        if !hasJump {
            Self.addRetrospection(recent, input, to: &known)
            Self.blendMomentum(recent, into: &known)
        }
        var value = input.readings.last?.milligrams ?? 0
        var values = [value]
        for change in known.dropFirst() {
            value += change
            values.append(value)
        }
        self.values = values
        self.hasJump = hasJump
        self.insulinOnBoard = input.doses.reduce(0) { sum, dose in
            dose.minutes > 0 ? sum : sum + dose.units * input.model.remaining(afterMinutes: -dose.minutes)
        }
        self.carbsOnBoard = input.meals.reduce(0) { sum, meal in
            let absorbed = CarbAbsorption.absorbed(afterMinutes: -meal.minutes, over: meal.absorptionMinutes)
            return meal.minutes > 0 ? sum : sum + meal.grams * (1 - absorbed)
        }
    }

    /// What insulin and carbohydrates together have done to glucose up to an instant.
    private static func effect(_ input: PredictionInput, at minutes: Double) -> Double {
        var sum = 0.0
        for dose in input.doses {
            sum -= dose.units * input.sensitivity * (1 - input.model.remaining(afterMinutes: minutes - dose.minutes))
        }
        for meal in input.meals {
            let absorbed = CarbAbsorption.absorbed(
                afterMinutes: minutes - meal.minutes,
                over: meal.absorptionMinutes
            )
            sum += meal.grams * input.sensitivity / input.carbRatio * absorbed
        }
        return sum
    }

    /// The readings of the last 35 minutes up to the last gap.
    private static func neighbours(_ readings: [PredictionInput.Reading]) -> [PredictionInput.Reading] {
        var found: [PredictionInput.Reading] = []
        for reading in readings.reversed() {
            if let next = found.last, next.minutes - reading.minutes > gapMinutes { break }
            guard reading.minutes >= -(retrospectionMinutes + stepMinutes) * 1.01 - 0.5 else { break }
            found.append(reading)
        }
        return found.reversed()
    }

    /// The part of the last half hour that nothing explains goes on for an hour, falling off to nothing.
    private static func addRetrospection(
        _ readings: [PredictionInput.Reading],
        _ input: PredictionInput,
        to changes: inout [Double]
    ) {
        var discrepancies: [(minutes: Double, change: Double)] = []
        for (from, to) in zip(readings, readings.dropFirst()) where to.minutes > from.minutes {
            let explained = effect(input, at: to.minutes) - effect(input, at: from.minutes)
            let rate = (to.milligrams - from.milligrams - explained) / (to.minutes - from.minutes)
            if to.minutes >= -retrospectionMinutes * 1.01 { discrepancies.append((to.minutes, rate * stepMinutes)) }
        }
        guard let first = discrepancies.first, let last = discrepancies.last else { return }
        let sum = discrepancies.reduce(0) { $0 + $1.change }
        let velocity = sum / max(last.minutes - first.minutes, retrospectionMinutes)
        for step in 1...Int(decayMinutes / stepMinutes) where step < changes.count {
            let faded = 1 - Double(step - 1) * stepMinutes / (decayMinutes - stepMinutes)
            changes[step] += velocity * faded * stepMinutes
        }
    }

    /// The slope of the last quarter of an hour counts alone for the next step, half for the one after, then not.
    private static func blendMomentum(_ readings: [PredictionInput.Reading], into changes: inout [Double]) {
        let recent = readings.filter { $0.minutes >= -momentumMinutes - 0.5 }
        guard recent.count > 2, changes.count > 2 else { return }
        let count = Double(recent.count)
        let meanTime = recent.reduce(0) { $0 + $1.minutes } / count
        let meanValue = recent.reduce(0) { $0 + $1.milligrams } / count
        let spread = recent.reduce(0) { $0 + ($1.minutes - meanTime) * ($1.minutes - meanTime) }
        guard spread > 0 else { return }
        let product = recent.reduce(0) { $0 + ($1.minutes - meanTime) * ($1.milligrams - meanValue) }
        let step = min(product / spread, riseMax) * stepMinutes
        changes[1] = step
        changes[2] = 0.5 * changes[2] + 0.5 * step
    }
}
