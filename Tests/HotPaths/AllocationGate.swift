import AllocationCount
import Foundation

/// Counts the allocations of the hot paths and compares them with a table that is checked in.
///
/// The table holds what a debug build and a release build are allowed. A debug build allocates more, for what the
/// optimizer would keep on the stack, but as exactly: it is there in every test run, so a change that allocates is seen
/// at once, and `make bench` counts what is shipped.
enum AllocationGate {
    private static let warmUpRounds = 200
    private static let countedRounds = 1_000
    /// Growth of collections, spread over many rounds.
    private static let tolerance = 0.05

    static var build: String {
        var name = "release"
        assert({ name = "debug" }() == ())
        return name
    }

    static func count(_ path: HotPath) -> Double {
        for _ in 0..<warmUpRounds { path.operation() }
        let before = allocation_count()
        for _ in 0..<countedRounds { path.operation() }
        return Double(allocation_count() - before) / Double(countedRounds * path.messages)
    }

    /// Prints the counts beside what is allowed; returns whether none is above it.
    static func run(table file: String) throws -> Bool {
        guard allocation_count_works() != 0 else {
            Lines.write("allocations are not counted on this system")
            return true
        }
        let data = try Data(contentsOf: URL(fileURLWithPath: file))
        let table = try JSONDecoder().decode([String: [String: Double]].self, from: data)
        var isWithin = true
        var paths: Set<String> = []
        for make in HotPaths.all {
            let path = make()
            paths.insert(path.name)
            let counted = count(path)
            guard let allowed = table[path.name]?[build] else {
                Lines.write("\(path.name): \(text(counted)) allocations in a \(build) build, not in the table")
                isWithin = false
                continue
            }
            let isAbove = counted > allowed + tolerance
            let isBelow = counted < allowed - tolerance
            let remark = isAbove ? "  ABOVE THE TABLE" : isBelow ? "  below: lower the table" : ""
            Lines.write("\(path.name): \(text(counted)) allocations for a message, \(text(allowed)) allowed\(remark)")
            isWithin = isWithin && !isAbove
        }
        for name in table.keys.sorted() where !paths.contains(name) {
            Lines.write("\(name): in the table, and no path any more")
            isWithin = false
        }
        Lines.write(isWithin ? "allocations: within the table (\(build))" : "allocations: above the table (\(build))")
        return isWithin
    }

    private static func text(_ value: Double) -> String { String(format: "%.2f", value) }
}

/// Standard output.
enum Lines {
    static func write(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
}
