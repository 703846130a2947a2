import Testing

@testable import SiteHandlers

@Suite("Insulin: model, prediction, correction, caps")
struct InsulinAlgorithmTests {
    static let adult = InsulinModel()

    @Test(
        "Insulin on board follows the golden values of Loop's adult curve",
        arguments: [
            (30.0, 0.96597), (60, 0.83380), (120, 0.50058), (180, 0.24057), (240, 0.08898), (300, 0.01983), (370, 0),
        ]
    )
    func adultCurve(minutes: Double, share: Double) {
        #expect(abs(Self.adult.remaining(afterMinutes: minutes) - share) < 1e-5)
    }

    @Test(
        "Insulin on board follows the golden values of oref0's curve for 5 hours",
        arguments: [(60.0, 0.76401), (120, 0.41058), (180, 0.15880), (240, 0.03292)]
    )
    func orefCurve(minutes: Double, share: Double) {
        let model = InsulinModel(actionMinutes: 300, peakMinutes: 75, delayMinutes: 0)
        #expect(abs(model.remaining(afterMinutes: minutes) - share) < 1e-5)
    }

    @Test("Insulin and carbohydrate act from nothing to everything and never back")
    func monotone() {
        var insulin = 1.0
        var carbs = 0.0
        for minute in stride(from: -10.0, through: 400, by: 0.5) {
            let remaining = Self.adult.remaining(afterMinutes: minute)
            let absorbed = CarbAbsorption.absorbed(afterMinutes: minute, over: 180)
            #expect(remaining <= insulin + 1e-12 && remaining >= 0)
            #expect(absorbed >= carbs - 1e-12 && absorbed <= 1)
            (insulin, carbs) = (remaining, absorbed)
        }
        #expect(insulin == 0 && carbs == 1)
    }

    struct Scenario: Sendable, CustomTestStringConvertible {
        var name: String
        var readings: [Double]
        var doses: [(Double, Double)] = []
        var meals: [Double] = []
        var rate: Double
        var onBoard: Double?

        var testDescription: String { name }

        static func flat(_ value: Double, _ rate: Double) -> Scenario {
            Scenario(name: "flat \(value)", readings: Array(repeating: value, count: 13), rate: rate)
        }
    }

    /// Rates that LoopAlgorithm gave for basal 1, ISF 50, CR 10, target 110-130, suspend 80, max basal 4.
    static let scenarios: [Scenario] = [
        .flat(200, 4.0), .flat(150, 2.2), .flat(120, 1.0), .flat(100, 0), .flat(75, 0), .flat(250, 4.0),
        Scenario(name: "falling 158 to 110", readings: (0...12).map { 158 - 4 * Double($0) }, rate: 0),
        Scenario(name: "120 and 30 g now", readings: Array(repeating: 120, count: 13), meals: [30], rate: 4.0),
        Scenario(
            name: "140, 2 U 30 min ago",
            readings: Array(repeating: 140, count: 13),
            doses: [(-30, 2)],
            rate: 0,
            onBoard: 1.9319
        ),
        Scenario(
            name: "200, 3 U 60 min ago",
            readings: Array(repeating: 200, count: 13),
            doses: [(-60, 3)],
            rate: 0.0936,
            onBoard: 2.5014
        ),
        Scenario(name: "rising 124 to 160", readings: (0...12).map { 124 + 3 * Double($0) }, rate: 3.416),
    ]

    static func run(_ scenario: Scenario) -> (rate: Double, prediction: GlucosePrediction) {
        let input = PredictionInput(
            readings: scenario.readings.enumerated().map { index, value in
                PredictionInput.Reading(minutes: Double(index - 12) * 5, milligrams: value)
            },
            doses: scenario.doses.map { PredictionInput.Dose(minutes: $0.0, units: $0.1) },
            meals: scenario.meals.map { PredictionInput.Meal(minutes: 0, grams: $0, absorptionMinutes: 180) },
            sensitivity: 50,
            carbRatio: 10,
            model: adult
        )
        let prediction = GlucosePrediction(input)
        let correction = BasalCorrection(
            prediction,
            target: BasalCorrection.Target(low: 110, high: 130, suspend: 80),
            sensitivity: 50,
            model: adult
        )
        return (min(4, correction.rate(basal: 1)), prediction)
    }

    @Test("The rate agrees with LoopAlgorithm", arguments: scenarios)
    func agreesWithLoop(scenario: Scenario) {
        let (rate, prediction) = Self.run(scenario)
        #expect(abs(rate - scenario.rate) < 0.001, "\(scenario.name): \(rate)")
        if let onBoard = scenario.onBoard { #expect(abs(prediction.insulinOnBoard - onBoard) < 1e-4) }
    }

    @Test("A jump of 40 mg/dL between neighbours gives neither momentum nor retrospection")
    func jump() {
        let (_, prediction) = Self.run(
            Scenario(
                name: "jump",
                readings: [120, 120, 120, 120, 120, 120, 120, 120, 120, 120, 120, 120, 160],
                rate: 0
            )
        )
        #expect(prediction.hasJump)
        #expect(prediction.values.allSatisfy { $0 == 160 })
    }

    @Test("Every cap holds and says so, and rates are cut down to the pump's step")
    func caps() {
        var caps = RateCaps(
            maxBasal: 3,
            maxDailyBasal: 1,
            dailyFactor: 3,
            currentFactor: 4,
            maxInsulinOnBoard: 10,
            grid: 0.05
        )
        func expect(
            _ wanted: Double,
            onBoard: Double,
            _ rate: Double,
            _ limits: [String],
            at location: SourceLocation = #_sourceLocation
        ) {
            let held = caps.held(wanted, basal: 1, insulinOnBoard: onBoard)
            #expect(held.rate == rate, sourceLocation: location)
            #expect(held.limits == limits, sourceLocation: location)
        }
        expect(9, onBoard: 0, 3, ["max_basal"])
        caps.maxBasal = 15
        expect(9, onBoard: 0, 3, ["max_basal_x_daily"])
        caps.dailyFactor = 6
        expect(9, onBoard: 0, 4, ["max_basal_x_daily", "max_basal_x_current"])
        expect(3, onBoard: 9.5, 2, ["max_iob"])
        caps.maxInsulinOnBoard = 0
        expect(3, onBoard: 0, 1, ["max_iob"])
        // Missing insulin makes no room, and less than basal is always allowed.
        expect(3, onBoard: -5, 1, ["max_iob"])
        expect(0.3, onBoard: 4, 0.3, [])
        expect(0.99, onBoard: 0, 0.95, [])
        expect(0.15, onBoard: 0, 0.15, [])
    }
}
