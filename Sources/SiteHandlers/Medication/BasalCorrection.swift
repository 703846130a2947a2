/// What brings a prediction into the target range: Loop's correction algorithm, as a temporary basal rate.
struct BasalCorrection: Sendable, Hashable {
    enum Kind: String, Sendable, Hashable {
        /// Something predicted is below the suspend threshold: no insulin.
        case suspend
        /// It ends in range, or is on its way back: the scheduled basal.
        case inRange
        /// It ends above, so more.
        case above
        /// It is and ends below, so less.
        case below
    }

    /// Hours that a temporary basal rate lasts.
    static let durationHours = 0.5

    let kind: Kind
    /// Units beyond the scheduled basal, negative for less.
    let units: Double

    struct Target: Sendable, Hashable {
        var low: Double
        var high: Double
        var suspend: Double

        var middle: Double { (low + high) / 2 }

        /// What may be corrected to at a share of the time insulin acts: early on anything above the threshold will do,
        /// because insulin cannot be taken back; from half the time on it nears the middle of the range.
        func value(atShare share: Double) -> Double {
            guard share > 0.5 else { return suspend }
            guard share < 1 else { return middle }
            return suspend + (middle - suspend) * 2 * (share - 0.5)
        }
    }

    init(_ prediction: GlucosePrediction, target: Target, sensitivity: Double, model: InsulinModel) {
        var lowest = Double.infinity
        var sensitivityAtLowest = 0.0
        var least: Double?
        for (index, value) in prediction.values.enumerated() {
            let minutes = Double(index) * GlucosePrediction.stepMinutes
            guard minutes <= model.effectMinutes else { break }
            guard value >= target.suspend else {
                self.init(kind: .suspend, units: 0)
                return
            }
            let effective = (1 - model.remaining(afterMinutes: minutes)) * sensitivity
            if value < lowest {
                lowest = value
                sensitivityAtLowest = effective
            }
            guard effective > 0 else { continue }
            let units = (value - target.value(atShare: minutes / model.effectMinutes)) / effective
            if units > 0, units < least ?? .infinity { least = units }
        }
        let eventual = prediction.eventual
        if lowest < target.low, eventual < target.low {
            let units = (lowest - target.middle) / max(sensitivityAtLowest, .ulpOfOne)
            self.init(kind: .below, units: units)
        } else if eventual > target.high, let least, lowest >= target.low {
            self.init(kind: .above, units: least)
        } else {
            self.init(kind: .inRange, units: 0)
        }
    }

    private init(kind: Kind, units: Double) {
        self.kind = kind
        self.units = units
    }

    /// The rate in units an hour before any cap but zero.
    func rate(basal: Double) -> Double {
        switch kind {
        case .suspend: 0
        case .inRange: basal
        case .above, .below: max(0, basal + units / Self.durationHours)
        }
    }
}

/// The limits that a rate is held to, each with what it is called in a decision record.
struct RateCaps: Sendable, Hashable {
    /// The hard limit of the order, U/h.
    var maxBasal: Double
    /// The highest rate of the day's schedule, and how often it may be exceeded.
    var maxDailyBasal: Double
    var dailyFactor: Double
    var currentFactor: Double
    /// The most insulin on board above which nothing is added; 0 never adds.
    var maxInsulinOnBoard: Double
    /// The pump's step.
    var grid: Double

    /// The highest rate at all.
    func highest(basal: Double) -> Double {
        min(maxBasal, dailyFactor * maxDailyBasal, currentFactor * basal)
    }

    func held(_ wanted: Double, basal: Double, insulinOnBoard: Double) -> (rate: Double, limits: [String]) {
        var rate = wanted
        var limits: [String] = []
        func hold(to limit: Double, _ name: String) {
            guard rate > limit else { return }
            rate = limit
            limits.append(name)
        }
        hold(to: maxBasal, "max_basal")
        hold(to: dailyFactor * maxDailyBasal, "max_basal_x_daily")
        hold(to: currentFactor * basal, "max_basal_x_current")
        // Insulin that is missing makes no room: it was held back for a reason.
        let room = max(0, maxInsulinOnBoard - max(0, insulinOnBoard)) / BasalCorrection.durationHours
        hold(to: basal + room, "max_iob")
        return (onGrid(rate), limits)
    }

    /// A rate cut down to the pump's step, allowing for what binary fractions lose.
    func onGrid(_ rate: Double) -> Double {
        let steps = max(0, (rate / grid + 1e-9).rounded(.down))
        return (steps * grid * 1000).rounded() / 1000
    }
}
