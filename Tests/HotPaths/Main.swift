import Foundation

/// `hot-paths allocations TABLE` counts what every message allocates, `hot-paths match [--json]` what matching costs.
@main enum Main {
    static func main() throws {
        let words = Array(CommandLine.arguments.dropFirst())
        switch words.first {
        case "allocations" where words.count == 2:
            if try !AllocationGate.run(table: words[1]) { exit(1) }
        case "match": try MatchCost.run(json: words.contains("--json"))
        default:
            Lines.write("usage: hot-paths allocations TABLE | match [--json]")
            exit(64)
        }
    }
}
