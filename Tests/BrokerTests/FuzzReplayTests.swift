import Foundation
import Testing

@Suite("Scripts of operations on the core")
struct FuzzReplayTests {
    /// Inputs on which the core once failed.
    static let inputs: [String] = {
        let folder =
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
            + "/Fixtures/fuzz/core"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
        return names.map { folder + "/" + $0 }
    }()

    @Test("Scripts that once failed pass", arguments: inputs)
    func replay(_ path: String) throws {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        #expect(FuzzScript.run(bytes) == nil)
    }

    @Test("Random scripts keep the core's invariants")
    func random() {
        let seed = UInt64.random(in: 0 ... .max)
        print("core scripts: seed \(seed)")
        var state = seed
        func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        for _ in 0..<1_000 {
            let input = (0..<Int(next() % 600)).map { _ in UInt8(truncatingIfNeeded: next()) }
            if let mistake = FuzzScript.run(input) {
                let text = input.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                Issue.record("seed \(seed): \(mistake): \(text)")
                return
            }
        }
    }
}
