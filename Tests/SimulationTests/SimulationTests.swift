import Foundation
import Testing

/// Whole sites by seeds, see `Docs/ADR/0018-simulation.md`. Each test runs the product `causeway-sim`, as a process
/// of its own: the order of Swift's dictionaries is the same in each only from the start.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SimulationTests {
    /// Worlds of one run of the tests; `make campaign NAME=simulation` runs more.
    private static let seeds = 60

    @Test("sixty sites keep the invariants through crashes, power cuts, broken connections and wrong clocks")
    func invariantsHold() throws {
        let (status, output) = try run(["--seeds", "\(Self.seeds)"])
        print(output)
        #expect(status == 0, "\(output)")
    }

    @Test("every planted fault is noticed")
    func plantedFaultsAreNoticed() throws {
        let (status, output) = try run(["--controls", "--seeds", "60"])
        print(output)
        #expect(status == 0, "\(output)")
    }

    @Test("a seed is the same world in each process", arguments: [7, 8])
    func aSeedReplays(seed: Int) throws {
        let first = try run(["--seed", "\(seed)"])
        let second = try run(["--seed", "\(seed)"])
        let hash = try #require(first.output.split(separator: "\n").last?.split(separator: ",").first)
        #expect(hash.hasPrefix("hash "))
        #expect(second.output.split(separator: "\n").last?.hasPrefix(hash) == true)
        let trace = try run(["--seed", "\(seed)", "--trace"])
        #expect(trace.output.split(separator: "\n").count > 1_000)
    }

    /// Runs the product that was built beside these tests.
    private func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = try product()
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    private func product() throws -> URL {
        // The test bundle lies beside the products, or this process is the bundle itself.
        let candidates = [CommandLine.arguments.first ?? "", Bundle.main.executablePath ?? ""] + CommandLine.arguments
        for candidate in candidates {
            let folder = URL(fileURLWithPath: candidate).deletingLastPathComponent()
            let product = folder.appendingPathComponent("causeway-sim")
            if FileManager.default.isExecutableFile(atPath: product.path) { return product }
        }
        Issue.record("causeway-sim was not built beside the tests")
        throw CocoaError(.fileNoSuchFile)
    }
}
