import Glibc
import Simulation

/// `causeway-sim`: whole sites in a simulated world, by seeds.
@main
enum Command {
    private static let usage = """
        usage: causeway-sim [--seeds N] [--first N] [--steps N] [--plant NAME] [--without KIND,KIND] [--json FILE]
               causeway-sim --seed N [--trace | --shrink] [--steps N] [--plant NAME] [--without KIND,KIND]
               causeway-sim --controls [--seeds N]
        """

    static func main() {
        hashAlike()
        var order = Campaign.Order()
        var single: UInt64?
        var traces = false
        var shrinks = false
        var controls = false
        var json: String?
        var words = CommandLine.arguments.dropFirst()
        func number() -> UInt64 {
            guard let word = words.popFirst(), let number = UInt64(word) else { fail("a number is missing") }
            return number
        }
        while let word = words.popFirst() {
            switch word {
            case "--seeds": order.seeds = number()
            case "--first": order.first = number()
            case "--seed": single = number()
            case "--steps": order.steps = Int(number())
            case "--trace": traces = true
            case "--shrink": shrinks = true
            case "--controls": controls = true
            case "--json": json = words.popFirst()
            case "--plant":
                guard let plant = words.popFirst().flatMap(Plant.init(rawValue:)) else {
                    fail("plants: \(Plant.allCases.map(\.rawValue).joined(separator: " "))")
                }
                order.plant = plant
            case "--without":
                for name in (words.popFirst() ?? "").split(separator: ",") {
                    guard let trouble = Trouble(rawValue: String(name)) else {
                        fail("kinds: \(Trouble.allCases.map(\.rawValue).joined(separator: " "))")
                    }
                    order.without.insert(trouble)
                }
            default: fail("unknown: \(word)")
            }
        }
        if let single, traces {
            let (hash, failures) = Campaign.trace(order, seed: single)
            for failure in failures { print(failure) }
            print("seed \(single) hash \(String(hash, radix: 16))")
            exit(failures.isEmpty ? 0 : 1)
        }
        if let single, shrinks {
            print(line(Campaign.shrink(order, seed: single), seed: single))
            exit(0)
        }
        if let single {
            order.first = single
            order.seeds = 1
        }
        if controls { exit(runControls(order)) }
        exit(run(order, json))
    }

    /// Swift seeds its hashes anew in each process, and with them the order of dictionaries: a replay needs them alike.
    private static func hashAlike() {
        let name = "SWIFT_DETERMINISTIC_HASHING"
        guard getenv(name) == nil else { return }
        setenv(name, "1", 1)
        let arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        execv("/proc/self/exe", arguments)
        fail("cannot start again with \(name)")
    }

    private static func run(_ order: Campaign.Order, _ json: String?) -> Int32 {
        var start = timespec()
        clock_gettime(CLOCK_MONOTONIC, &start)
        let campaign = Campaign(order) { failure in
            print("seed \(failure.seed): invariant \(failure.invariant): \(failure.text)")
            print("  " + line(Campaign.shrink(order, seed: failure.seed), seed: failure.seed))
        }
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let seconds = Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
        let totals = campaign.totals.map { "\($0.name) \($0.count)" }.joined(separator: ", ")
        print("\(campaign.worlds) seeds from \(order.first), \(campaign.failures.count) with violations: \(totals)")
        print("hash \(String(campaign.hash, radix: 16)), \(Int(seconds * 10)) tenths of a second")
        if let json { write(evidence(order, campaign, seconds), to: json) }
        return campaign.failures.isEmpty ? 0 : 1
    }

    /// Every planted fault must be noticed.
    private static func runControls(_ order: Campaign.Order) -> Int32 {
        var missed = 0
        for plant in Plant.allCases {
            var order = order
            order.plant = plant
            let campaign = Campaign(order)
            if let failure = campaign.failures.first {
                print("\(plant.rawValue): seed \(failure.seed), invariant \(failure.invariant): \(failure.text)")
            } else {
                missed += 1
                print("\(plant.rawValue): NOT NOTICED in \(campaign.worlds) seeds")
            }
        }
        print("\(Plant.allCases.count - missed) of \(Plant.allCases.count) planted faults noticed")
        return missed == 0 ? 0 : 1
    }

    private static func line(_ order: Campaign.Order, seed: UInt64) -> String {
        var line = "causeway-sim --seed \(seed) --trace --steps \(order.steps)"
        if let plant = order.plant { line += " --plant \(plant.rawValue)" }
        let without = order.without.map(\.rawValue).sorted()
        return without.isEmpty ? line : line + " --without \(without.joined(separator: ","))"
    }

    private static func evidence(_ order: Campaign.Order, _ campaign: Campaign, _ seconds: Double) -> String {
        let failures = campaign.failures.map { failure in
            "{\"seed\": \(failure.seed), \"invariant\": \(failure.invariant), \"replay\": \"\(line(order, seed: failure.seed))\"}"
        }
        let totals = campaign.totals.map { "\"\($0.name)\": \($0.count)" }
        return """
            {"campaign": "simulation", "first": \(order.first), "seeds": \(campaign.worlds), "steps": \(order.steps),
             "seconds": \(Int(seconds)), "hash": "\(String(campaign.hash, radix: 16))",
             "totals": {\(totals.joined(separator: ", "))},
             "violations": [\(failures.joined(separator: ", "))]}

            """
    }

    private static func write(_ text: String, to path: String) {
        guard let file = fopen(path, "w") else { fail("cannot write \(path)") }
        fputs(text, file)
        fclose(file)
    }

    private static func fail(_ text: String) -> Never {
        let message = Array("\(text)\n\(usage)\n".utf8)
        _ = Glibc.write(STDERR_FILENO, message, message.count)
        exit(2)
    }
}
