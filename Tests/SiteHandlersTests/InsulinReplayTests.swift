import HandlerKit
import Repeatable
import Testing

@testable import SiteHandlers

/// Half a year of one person's sensor through the handler, as it came: with gaps, repetitions and noise.
@Suite("medication.insulin on the real glucose series")
struct InsulinReplayTests {
    struct Summary {
        var readings = 0
        var proposals = 0
        var refusals = 0
        var commands = 0
        var kept = 0
        var alarms = 0
        var silent = 0
        var highest = 0.0
        var atZero = 0
    }

    /// What must hold for every decision, whatever the reading.
    static func check(
        _ decision: Decision,
        _ summary: inout Summary,
        age: Double,
        limit: Double
    ) {
        for output in decision.outputs {
            #expect((output.expirySeconds ?? 0) > 0, "Every output expires")
            #expect(!output.retain || output.classification == "alarm", "Only alarms are retained")
            guard let rate = output.payload?["rate"]?["value"]?.double else { continue }
            #expect(rate >= 0 && rate <= limit, "Never above the caps")
            #expect(age <= 720, "Never on stale data")
            summary.highest = max(summary.highest, rate)
            if rate == 0 { summary.atZero += 1 }
        }
        switch decision.record?.decision {
        case "proposal": summary.proposals += 1
        case "command": summary.commands += 1
        case "keep": summary.kept += 1
        case .some(let text) where text.hasPrefix("refused"): summary.refusals += 1
        default: summary.silent += 1
        }
    }

    @Test("52,281 readings as they came: caps hold, every output expires")
    func suggest() throws {
        let series = try Fixture.glucose()
        #expect(series.count == 52_281)
        var bench = try Bench(
            InsulinHandler.self,
            ["basal": 1, "isf": 50, "carb_ratio": 10, "max_basal": 4, "max_basal_x_daily": 4, "max_iob": 2]
        )
        var summary = Summary()
        for (index, reading) in series.enumerated() {
            let payload: JSONValue = [
                "value": .number(reading.milligrams), "unit": "mg/dL", "ts": .integer(reading.at.milliseconds),
                "dev": "cgm", "seq": .integer(Int64(index)),
            ]
            summary.readings += 1
            Self.check(bench.send("cgm", payload, at: reading.at), &summary, age: 0, limit: 4)
        }
        #expect(summary.proposals + summary.refusals + summary.silent == summary.readings)
        #expect(summary.commands == 0)
        #expect(summary.highest == 4)
        #expect(summary.proposals == 51_091 && summary.refusals == 1187 && summary.silent == 3)
    }

    @Test("Delayed, repeated and shuffled readings, with a pump that obeys: the same holds, and nothing is dosed twice")
    func adversarial() throws {
        let seed: UInt64 = 20_261_122
        var generator = SeededRandom(seed: seed)
        let series = try Fixture.glucose().prefix(5000)
        var bench = try Bench(
            InsulinHandler.self,
            [
                "mode": "auto", "basal": 1, "isf": 50, "carb_ratio": 10, "max_basal": 3.5, "max_basal_x_daily": 4,
                "max_iob": 3,
            ]
        )
        var arrivals: [(arrives: WallTime, index: Int)] = []
        for (index, reading) in series.enumerated() {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<5: continue
            case 5..<15:
                arrivals.append((reading.at, index))
                arrivals.append((reading.at.adding(seconds: 90), index))
            case 15..<25:
                arrivals.append((reading.at.adding(seconds: .random(in: 0...2400, using: &generator)), index))
            default: arrivals.append((reading.at, index))
            }
        }
        arrivals.sort { ($0.arrives, $0.index) < ($1.arrives, $1.index) }
        var summary = Summary()
        var commands: Set<String> = []
        var running: (rate: Double, until: WallTime) = (1, .init(milliseconds: 0))
        for (arrives, index) in arrivals {
            let reading = series[series.startIndex + index]
            let rate = running.until > arrives ? running.rate : 1
            bench.send("pump", ["rate": .number(rate), "ts": .integer(arrives.milliseconds)], at: arrives)
            let payload: JSONValue = [
                "value": .number(reading.milligrams), "unit": "mg/dL", "ts": .integer(reading.at.milliseconds),
                "dev": "cgm", "seq": .integer(Int64(index)),
            ]
            summary.readings += 1
            let decision = bench.send("cgm", payload, at: arrives)
            let isNeutral = decision.record?.decision == "refused, back to basal"
            let age = isNeutral ? 0 : arrives.seconds(since: reading.at)
            Self.check(decision, &summary, age: age, limit: isNeutral ? 1 : 3.5)
            for output in decision.outputs where output.topic.hasPrefix("pump/") {
                let id = try #require(output.payload?["cmdId"]?.text)
                #expect(commands.insert(id).inserted, "seed \(seed): a command came twice")
                let new = try #require(output.payload?["rate"]?["value"]?.double)
                running = (new, arrives.adding(seconds: 1800))
            }
            if let onBoard = decision.record?.values["iob"]?.double, let rate = decision.record?.values["rate"]?.double
            {
                #expect(rate <= 1 || onBoard + (rate - 1) / 2 <= 3 + 0.001, "seed \(seed): above max_iob")
            }
        }
        #expect(summary.commands > 1000, "seed \(seed)")
    }
}
