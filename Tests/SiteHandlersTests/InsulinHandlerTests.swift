import HandlerKit
import Testing

@testable import SiteHandlers

@Suite("medication.insulin: readings in, decisions out")
struct InsulinHandlerTests {
    static let start = WallTime(milliseconds: 1_700_000_000_000)
    static let order: HandlerParameters = [
        "basal": 1, "isf": 50, "carb_ratio": 10, "max_basal": 4, "max_basal_x_daily": 4, "max_iob": 10,
    ]

    static func at(_ minutes: Double) -> WallTime { start.adding(seconds: minutes * 60) }

    static func cgm(_ value: Double, _ minutes: Double, seq: Int64? = nil, unit: String = "mg/dL") -> JSONValue {
        var members: [String: JSONValue] = [
            "value": .number(value), "unit": .string(unit), "ts": .string(at(minutes).description),
        ]
        if let seq {
            members["dev"] = "cgm-1"
            members["boot"] = "b7"
            members["seq"] = .integer(seq)
        }
        return .object(members)
    }

    /// A bench that has had an hour of readings, not all equal, ending at minute 0.
    static func bench(
        _ changes: HandlerParameters = [:],
        ending value: Double = 150
    ) throws -> Bench<InsulinHandler> {
        let parameters = HandlerParameters(order.values.merging(changes.values) { _, new in new })
        var bench = try Bench(InsulinHandler.self, parameters)
        for index in -12..<0 {
            let wobble = index.isMultiple(of: 2) ? 1.0 : -1.0
            bench.send("cgm", cgm(value + wobble, Double(index) * 5), at: at(Double(index) * 5))
        }
        return bench
    }

    static func rate(_ decision: Decision) -> Double? {
        decision.outputs.first?.payload?["rate"]?["value"]?.double
    }

    @Test("By default it proposes, never commands, and what it says expires")
    func proposes() throws {
        var bench = try Self.bench()
        let decision = bench.send("cgm", Self.cgm(150, 0), at: Self.at(0))
        #expect(decision.kind == .decided)
        #expect(decision.record?.decision == "proposal")
        #expect(decision.outputs.map(\.topic) == ["hnd/h/b1/proposal"])
        #expect(decision.outputs.allSatisfy { !$0.retain && ($0.expirySeconds ?? 0) == 300 })
        let rate = try #require(Self.rate(decision))
        #expect(abs(rate - 2.2) < 0.3)
        #expect(decision.timers == [.set(name: "silence", at: Self.at(12))])
    }

    @Test("With max_iob as it comes, nothing is ever added to basal")
    func neverAddsByDefault() throws {
        var bench = try Self.bench(["max_iob": 0])
        let decision = bench.send("cgm", Self.cgm(300, 0), at: Self.at(0))
        #expect(try #require(Self.rate(decision)) <= 1)
        #expect(decision.record?.limits.contains("max_iob") == true)
    }

    @Test("A reading in mmol/L decides as the same one in mg/dL; any other unit goes to the dead letters")
    func units() throws {
        var one = try Self.bench()
        var other = try Self.bench()
        let first = one.send("cgm", Self.cgm(150, 0), at: Self.at(0))
        let second = other.send("cgm", Self.cgm(150 / 18.0182, 0, unit: "mmol/L"), at: Self.at(0))
        #expect(Self.rate(first) == Self.rate(second))
        for unit in ["mg/dl", "MG/DL", "mmol/l", "mmol", "g/L", "", "IU/h"] {
            let decision = one.send("cgm", Self.cgm(150, 5, unit: unit), at: Self.at(5))
            #expect(decision == .rejected("unit is neither mg/dL nor mmol/L"), "\(unit)")
        }
        #expect(one.send("cgm", ["value": 8, "ts": 5], at: Self.at(5)).outputs.isEmpty)
    }

    @Test("A stale reading, a clock ahead, an error code, noise and bad quality are refused with the reason")
    func refusals() throws {
        let cases: [(JSONValue, Double, String)] = [
            (Self.cgm(150, 0), 12.1, "12 min old"), (Self.cgm(150, 10), 4, "6 min ahead"),
            (Self.cgm(5, 0), 0, "error code"), (Self.cgm(38, 0), 0, "error code"),
            (["value": 150, "unit": "mg/dL", "noise": 3], 0, "noisy"),
            (["value": 150, "unit": "mg/dL", "quality": "calibrating"], 0, "calibrating"),
        ]
        for (payload, minutes, reason) in cases {
            var bench = try Self.bench()
            let decision = bench.send("cgm", payload, at: Self.at(minutes))
            #expect(decision.outputs.map(\.topic) == ["hnd/h/b1/refusal"], "\(reason)")
            #expect(decision.record?.why.contains(reason) == true, "\(decision.record?.why ?? "")")
            #expect(Self.rate(decision) == nil)
        }
        var bench = try Self.bench()
        #expect(Self.rate(bench.send("cgm", Self.cgm(150, 0), at: Self.at(12))) != nil, "12 min is not yet stale")
    }

    @Test("A sensor that shows one value for 45 minutes is refused")
    func frozen() throws {
        var bench = try Bench(InsulinHandler.self, Self.order)
        var refusedAt: Int?
        for index in 0...12 where refusedAt == nil {
            let decision = bench.send("cgm", Self.cgm(180, Double(index) * 5), at: Self.at(Double(index) * 5))
            if decision.record?.why.contains("same value") == true { refusedAt = index * 5 }
        }
        #expect(refusedAt == 40 || refusedAt == 45)
    }

    @Test("A reading that comes twice decides once, and one that comes late never decides")
    func duplicatesAndOrder() throws {
        var bench = try Self.bench()
        let first = bench.send("cgm", Self.cgm(150, 0, seq: 10), at: Self.at(0))
        #expect(first.kind == .decided)
        let state = bench.states["b1"]
        for _ in 0..<100 { #expect(bench.send("cgm", Self.cgm(150, 0, seq: 10), at: Self.at(1)) == .none) }
        #expect(bench.states["b1"] == state)
        #expect(bench.send("cgm", Self.cgm(160, 10, seq: 12), at: Self.at(10)).kind == .decided)
        #expect(bench.send("cgm", Self.cgm(155, 5, seq: 11), at: Self.at(11)) == .none)
        #expect(bench.states["b1"]?.readings.map(\.milligrams).suffix(3) == [150, 155, 160])
        #expect(bench.send("cgm", Self.cgm(150, 0), at: Self.at(11)) == .none, "Known by its instant")
    }

    @Test("The same input after a restart gives the same command identifier")
    func identifiers() throws {
        var one = try Self.bench()
        var other = try Self.bench()
        let first = one.send("cgm", Self.cgm(150, 0, seq: 1), at: Self.at(0))
        let second = other.send("cgm", Self.cgm(150, 0, seq: 1), at: Self.at(0))
        let next = other.send("cgm", Self.cgm(150, 5, seq: 2), at: Self.at(5))
        #expect(first == second)
        #expect(first.outputs.first?.payload?["cmdId"] != next.outputs.first?.payload?["cmdId"])
    }

    @Test("In auto it commands only while the pump reports, and never retains a command")
    func auto() throws {
        var bench = try Self.bench(["mode": "auto"])
        let unknown = bench.send("cgm", Self.cgm(150, 0), at: Self.at(0))
        #expect(unknown.record?.decision == "proposal")
        #expect(unknown.record?.limits.contains { $0.hasPrefix("pump state unknown") } == true)
        bench.send("pump", ["rate": 1, "ts": .string(Self.at(4).description)], at: Self.at(4))
        let known = bench.send("cgm", Self.cgm(151, 5), at: Self.at(5))
        #expect(known.record?.decision == "command")
        let command = try #require(known.outputs.first)
        #expect(command.topic == "pump/b1/cmd/temp_basal")
        #expect(!command.retain && command.expirySeconds == 300)
        #expect(command.payload?["duration_s"] == 1800)
    }

    @Test("What the pump delivers beyond basal counts as insulin on board")
    func pumpCounts() throws {
        var bench = try Self.bench()
        bench.send("pump", ["rate": 3, "ts": .string(Self.at(-30).description)], at: Self.at(-30))
        bench.send("pump", ["rate": 1, "ts": .string(Self.at(0).description)], at: Self.at(0))
        let decision = bench.send("cgm", Self.cgm(150, 0), at: Self.at(0))
        let onBoard = try #require(decision.record?.values["iob"]?.double)
        #expect(onBoard > 0.95 && onBoard < 1.0, "1 U over half an hour, hardly acted yet: \(onBoard)")
    }

    @Test("When the sensor falls silent a high rate goes back to basal and an alarm stands until a reading comes")
    func silence() throws {
        var bench = try Self.bench(["mode": "auto"], ending: 200)
        bench.send("pump", ["rate": 1, "ts": .string(Self.at(-1).description)], at: Self.at(-1))
        let high = bench.send("cgm", Self.cgm(200, 0), at: Self.at(0))
        #expect(try #require(Self.rate(high)) > 1)
        let silent = bench.fire("silence", at: Self.at(12))
        #expect(silent.outputs.map(\.topic) == ["alarm/h/b1-cgm-silent", "pump/b1/cmd/temp_basal"])
        #expect(silent.outputs.last?.payload?["rate"]?["value"]?.double == 1)
        #expect(silent.outputs.first?.retain == true)
        let back = bench.send("cgm", Self.cgm(190, 14), at: Self.at(14))
        let cleared = back.outputs.filter { $0.topic == "alarm/h/b1-cgm-silent" }
        #expect(cleared.count == 1 && cleared.first?.payload == nil && cleared.first?.retain == true)
    }

    @Test("In confirm a command needs a person, in time, and comes once")
    func confirm() throws {
        var bench = try Self.bench(["mode": "confirm"])
        let proposal = bench.send("cgm", Self.cgm(150, 0), at: Self.at(0))
        let id = try #require(proposal.outputs.first?.payload?["cmdId"])
        #expect(bench.send("confirm", ["cmdId": "other", "by": "n"], at: Self.at(1)).outputs.isEmpty)
        let command = bench.send("confirm", ["cmdId": id, "by": "nurse-7"], at: Self.at(1))
        #expect(command.outputs.map(\.topic) == ["pump/b1/cmd/temp_basal"])
        #expect(command.outputs.first?.payload?["cmdId"] == id)
        #expect(command.outputs.first?.expirySeconds == 240)
        #expect(bench.send("confirm", ["cmdId": id, "by": "nurse-7"], at: Self.at(2)) == .none)
        var late = try Self.bench(["mode": "confirm"])
        let expired = late.send("cgm", Self.cgm(150, 0), at: Self.at(0))
        let expiredID = try #require(expired.outputs.first?.payload?["cmdId"])
        #expect(late.send("confirm", ["cmdId": expiredID, "by": "n"], at: Self.at(6)).outputs.isEmpty)
    }

    @Test("Without an order nothing is proposed; one that comes by message is obeyed")
    func orders() throws {
        var bench = try Bench(InsulinHandler.self, [:])
        #expect(bench.send("cgm", Self.cgm(150, 0), at: Self.at(0)).record?.decision == "refused")
        #expect(
            bench.send("order", ["basal": 0.8, "isf": 40, "carb_ratio": 12], at: Self.at(1)).record?.decision
                == "order taken"
        )
        let decision = bench.send("cgm", Self.cgm(150, 5), at: Self.at(5))
        #expect(decision.record?.decision == "proposal")
        #expect(try #require(Self.rate(decision)) <= 0.8)
    }

    @Test(
        "Nonsense goes to the dead letters and changes nothing",
        arguments: [
            ("cgm", #"{"value":"150","unit":"mg/dL"}"#), ("cgm", #"{"value":-1,"unit":"mg/dL"}"#),
            ("cgm", #"{"value":1e9,"unit":"mg/dL"}"#), ("cgm", #"{"value":150,"unit":"mg/dL","ts":"yesterday"}"#),
            ("cgm", "[]"), ("cgm", "null"), ("insulin", #"{"units":0}"#), ("insulin", #"{"units":26}"#),
            ("carbs", #"{"g":500}"#), ("carbs", #"{"g":20,"absorption_min":1}"#), ("pump", #"{"rate":-1}"#),
            ("order", #"{"basal":1}"#), ("confirm", "{}"), ("unknown", "{}"), ("insulin", #"{"units":1,"ts":9e14}"#),
        ]
    )
    func nonsense(kind: String, text: String) throws {
        var bench = try Self.bench()
        let state = bench.states["b1"]
        let decision = bench.send(kind, try JSONValue(parsing: text.utf8), at: Self.at(0))
        guard case .rejected(let reason) = decision.kind else {
            Issue.record("\(kind) \(text) was taken")
            return
        }
        #expect(!reason.isEmpty)
        #expect(bench.states["b1"] == state)
    }

    @Test(
        "A wrong parameter is named, with why and what to do",
        arguments: [
            ("target", "high"), ("target", "140-100 mg/dL"), ("target", "100-140"), ("target", "20-40 mg/dL"),
            ("suspend", 119), ("mode", "always"), ("peak_min", 120), ("nonsense", 1), ("basal", "1"),
            ("stale", "1h"), ("command_topic", "pump/cmd"), ("output_topic", "{key}/{nope}"),
        ] as [(String, JSONValue)]
    )
    func wrongParameters(name: String, value: JSONValue) throws {
        let parameters = HandlerParameters([name: value, "dia_min": name == "peak_min" ? 200 : 360])
        let error = #expect(throws: HandlerConfigurationError.self) { try InsulinHandler(parameters: parameters) }
        #expect(error?.parameter == name)
        #expect(error?.hint.isEmpty == false)
    }
}
