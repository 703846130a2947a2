import HandlerKit

/// Whether a glucose reading may be dosed on. Limits after oref0 and Loop.
struct SensorGuard: Sendable, Hashable {
    /// A reading that was taken longer ago is stale.
    var staleSeconds: Double
    /// A reading from further in the future has a wrong clock.
    var futureSeconds: Double
    /// Below this the sensor says that it failed; so it does with exactly 38.
    static let errorCodeMax = 10.0
    static let errorCode = 38.0
    /// Nothing that lives reads more.
    static let milligramsMax = 1000.0
    /// From this noise level on the sensor is not believed; from one less, the target is raised.
    static let noiseMax: Int64 = 3
    /// Readings whose last step is 0 and whose 15 and 45 minute means hardly differ come from a sensor that hangs.
    static let frozenMilligrams = 60.0
    static let frozenMinutes = 45.0

    /// Why a reading may not be dosed on, or nil.
    func refusal(_ reading: InsulinHandler.Reading, readings: [InsulinHandler.Reading], now: WallTime) -> String? {
        let age = now.seconds(since: reading.at)
        if age > staleSeconds { return "the reading is \(Int(age / 60)) min old" }
        if -age > futureSeconds { return "the reading's clock is \(Int(-age / 60)) min ahead" }
        if reading.milligrams <= Self.errorCodeMax || reading.milligrams == Self.errorCode {
            return "the sensor reports an error code as its value"
        }
        if let noise = reading.noise, noise >= Self.noiseMax { return "the sensor is too noisy" }
        if let quality = reading.quality, quality != "ok", quality != "simulated" {
            return "the reading's quality is \(quality)"
        }
        return isFrozen(readings) ? "the sensor has shown the same value for 45 min" : nil
    }

    private func isFrozen(_ readings: [InsulinHandler.Reading]) -> Bool {
        guard let last = readings.last, last.milligrams > Self.frozenMilligrams, readings.count > 3,
            let previous = readings.dropLast().last, previous.milligrams == last.milligrams
        else { return false }
        func change(over minutes: Double) -> Double? {
            let span = readings.filter { last.at.seconds(since: $0.at) <= minutes * 60 + 30 }
            guard let first = span.first, last.at.seconds(since: first.at) >= (minutes - 5) * 60 else { return nil }
            let others = span.dropLast()
            return others.reduce(0) { $0 + (last.milligrams - $1.milligrams) } / Double(others.count)
        }
        guard let short = change(over: 15), let long = change(over: Self.frozenMinutes) else { return false }
        return abs(short) < 1 && abs(long) < 1
    }
}
