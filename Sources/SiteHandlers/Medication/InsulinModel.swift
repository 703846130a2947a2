import Foundation

/// How much of a subcutaneous dose of rapid insulin is still to act, after Loop's exponential model (the same equation
/// as oref0's): fully determined by how long it acts, when it acts most, and how long it takes to begin.
struct InsulinModel: Sendable, Hashable {
    /// Minutes from the beginning of action to its end.
    let actionMinutes: Double
    /// Minutes from the beginning of action to its peak; less than half of ``actionMinutes``.
    let peakMinutes: Double
    /// Minutes from the dose to the beginning of action.
    let delayMinutes: Double
    private let tau: Double
    private let rise: Double
    private let scale: Double

    init(actionMinutes: Double = 360, peakMinutes: Double = 75, delayMinutes: Double = 10) {
        self.actionMinutes = actionMinutes
        self.peakMinutes = peakMinutes
        self.delayMinutes = delayMinutes
        self.tau = peakMinutes * (1 - peakMinutes / actionMinutes) / (1 - 2 * peakMinutes / actionMinutes)
        self.rise = 2 * tau / actionMinutes
        self.scale = 1 / (1 - rise + (1 + rise) * exp(-actionMinutes / tau))
    }

    /// Minutes from the dose until it no longer acts.
    var effectMinutes: Double { actionMinutes + delayMinutes }

    /// The share of a dose that is still to act, 1 to 0.
    func remaining(afterMinutes minutes: Double) -> Double {
        let time = minutes - delayMinutes
        guard time > 0 else { return 1 }
        guard time < actionMinutes else { return 0 }
        let acted = (time * time / (tau * actionMinutes * (1 - rise)) - time / tau - 1) * exp(-time / tau) + 1
        return 1 - scale * (1 - rise) * acted
    }
}

/// How much of eaten carbohydrate has been absorbed, after Loop's piecewise linear model: it rises to full speed over
/// 15 % of the time, holds it until half the time, and falls to nothing.
enum CarbAbsorption {
    /// Minutes from eating to the beginning of absorption.
    static let delayMinutes = 10.0
    private static let riseEnd = 0.15
    private static let fallStart = 0.5
    private static let scale = 2 / (1 + fallStart - riseEnd)

    /// The share absorbed, 0 to 1.
    static func absorbed(afterMinutes minutes: Double, over duration: Double) -> Double {
        let share = (minutes - delayMinutes) / duration
        guard share > 0 else { return 0 }
        guard share < 1 else { return 1 }
        if share < riseEnd { return 0.5 * scale * share * share / riseEnd }
        if share < fallStart { return scale * (share - 0.5 * riseEnd) }
        let falling = share - fallStart
        return scale * (fallStart - 0.5 * riseEnd + falling * (1 - 0.5 * falling / (1 - fallStart)))
    }
}
