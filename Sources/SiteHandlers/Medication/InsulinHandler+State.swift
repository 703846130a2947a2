import HandlerKit

extension InsulinHandler {
    /// What is remembered of one bed.
    public struct State: Codable, Sendable, Hashable {
        /// Readings of the last hour, the oldest first.
        var readings: [Reading] = []
        /// Insulin beyond the scheduled basal (negative: less) that still acts, the oldest first.
        var doses: [Dose] = []
        /// Carbohydrates that are still being absorbed.
        var meals: [Meal] = []
        /// What the pump said it delivers.
        var pump: PumpReport?
        /// The patient's settings, if they came by message.
        var order: Order?
        /// Sequence numbers already seen, by device and boot; the newest stream last.
        var streams: [Stream] = []
        /// The instant of the newest reading that was decided about; older ones never decide again.
        var decidedThrough: WallTime?
        /// The last rate that was proposed or commanded.
        var last: Proposal?
        /// Whether an alarm about a silent sensor stands.
        var isSilent = false
    }

    /// One glucose reading.
    struct Reading: Codable, Sendable, Hashable {
        var at: WallTime
        var milligrams: Double
        var noise: Int64?
        var quality: String?
        /// What a decision record names it by.
        var name: String
    }

    /// Insulin beyond the scheduled basal.
    struct Dose: Codable, Sendable, Hashable {
        var at: WallTime
        var units: Double
    }

    /// Carbohydrates eaten.
    struct Meal: Codable, Sendable, Hashable {
        var at: WallTime
        var grams: Double
        var absorptionMinutes: Double
    }

    /// What the pump delivers from an instant on.
    struct PumpReport: Codable, Sendable, Hashable {
        var at: WallTime
        var rate: Double
        /// Up to when its difference to the basal rate is already among the doses.
        var countedThrough: WallTime
    }

    /// The patient's settings.
    struct Order: Codable, Sendable, Hashable {
        var basal: Double
        var sensitivity: Double
        var carbRatio: Double

        var isComplete: Bool { basal > 0 && sensitivity > 0 && carbRatio > 0 }
    }

    /// A rate that was proposed or commanded.
    struct Proposal: Codable, Sendable, Hashable {
        var commandID: String
        var rate: Double
        var at: WallTime
        var isCommanded: Bool
        var basis: [String]
    }

    /// The sequence numbers of one device since it was started.
    struct Stream: Codable, Sendable, Hashable {
        var name: String
        /// Ascending, the newest ``Limits/numbersMax``.
        var numbers: [Int64]
    }

    /// What is remembered at most.
    enum Limits {
        static let readingsMax = 32
        static let readingMinutes = 65.0
        static let dosesMax = 256
        static let mealsMax = 32
        static let streamsMax = 8
        static let numbersMax = 64
        /// The most carbohydrate that is counted on, in grams.
        static let carbsOnBoardMax = 120.0
        static let doseUnitsMax = 25.0
        static let mealGramsMax = 200.0
        /// How long the last pump report is taken to hold.
        static let pumpReportMinutes = 30.0
        static let doseStepMinutes = 5.0
    }
}

/// Who says something, when, and which of its messages it is.
struct Stamp {
    var at: WallTime
    /// Whether `ts` is there but no instant.
    var isUnreadable: Bool
    var stream: String?
    var number: Int64?
    var name: String

    init(_ payload: JSONValue, _ context: HandlerContext) {
        let given = payload["ts"]
        self.isUnreadable = given != nil && given?.instant == nil
        self.at = given?.instant ?? context.now
        if let device = payload["dev"]?.identifier, let number = payload["seq"]?.int, device.utf8.count <= 128 {
            let boot = payload["boot"]?.identifier ?? ""
            self.stream = device + "/" + String(boot.prefix(64))
            self.number = number
            self.name = "\(device)/\(boot.prefix(64))/\(number)"
        } else {
            self.name = context.basis
        }
    }
}

extension InsulinHandler.State {
    /// Notes a message's number.
    ///
    /// - Returns: False if it was here before, or is so old that this is no longer known.
    mutating func isNew(_ stamp: Stamp) -> Bool {
        guard let name = stamp.stream, let number = stamp.number else { return true }
        guard let index = streams.firstIndex(where: { $0.name == name }) else {
            if streams.count >= InsulinHandler.Limits.streamsMax { streams.removeFirst() }
            streams.append(InsulinHandler.Stream(name: name, numbers: [number]))
            return true
        }
        var stream = streams.remove(at: index)
        defer { streams.append(stream) }
        let place = stream.numbers.firstIndex { $0 >= number } ?? stream.numbers.count
        guard place == stream.numbers.count || stream.numbers[place] != number else { return false }
        let isFull = stream.numbers.count >= InsulinHandler.Limits.numbersMax
        guard place > 0 || !isFull else { return false }
        stream.numbers.insert(number, at: place)
        if isFull { stream.numbers.removeFirst() }
        return true
    }

    /// Forgets what no longer matters.
    mutating func trim(now: WallTime, model: InsulinModel) {
        readings.removeAll { now.seconds(since: $0.at) > InsulinHandler.Limits.readingMinutes * 60 }
        if readings.count > InsulinHandler.Limits.readingsMax {
            readings.removeFirst(readings.count - InsulinHandler.Limits.readingsMax)
        }
        doses.removeAll { now.seconds(since: $0.at) > model.effectMinutes * 60 }
        meals.removeAll { now.seconds(since: $0.at) > ($0.absorptionMinutes + CarbAbsorption.delayMinutes) * 60 }
    }

    /// Takes a dose into account. If there are too many, the two oldest become one at the later instant, which
    /// overstates what is still to act rather than understating it.
    mutating func add(_ dose: InsulinHandler.Dose) {
        let place = doses.firstIndex { $0.at > dose.at } ?? doses.count
        doses.insert(dose, at: place)
        if doses.count > InsulinHandler.Limits.dosesMax {
            let first = doses.removeFirst()
            doses[0].units += first.units
        }
    }

    /// Counts what the pump delivered beyond (or below) basal since it was last counted, in steps.
    mutating func countPump(through now: WallTime, basal: Double) {
        guard var report = pump else { return }
        let end = min(now, report.at.adding(seconds: InsulinHandler.Limits.pumpReportMinutes * 60))
        while report.countedThrough < end {
            let next = min(report.countedThrough.adding(seconds: InsulinHandler.Limits.doseStepMinutes * 60), end)
            let hours = next.seconds(since: report.countedThrough) / 3600
            let units = (report.rate - basal) * hours
            if abs(units) > 1e-9 { add(InsulinHandler.Dose(at: report.countedThrough, units: units)) }
            report.countedThrough = next
        }
        pump = report
    }
}
