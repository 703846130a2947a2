import Foundation
import Testing

@Suite("Configurations, as a fuzzer sees them")
struct ConfigurationFuzzTests {
    /// Inputs that a fuzzer once failed on, and hostile ones.
    static let inputs: [String] = {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let folder = tests.path + "/Fixtures/fuzz/configuration"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
        return names.map { folder + "/" + $0 }
    }()

    @Test("Inputs that once failed pass", arguments: inputs)
    func replay(_ path: String) throws {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        #expect(FuzzConfiguration.run(bytes) == nil)
    }

    @Test("Inputs that once failed pass with any byte changed", arguments: inputs)
    func damaged(_ path: String) throws {
        let seed = UInt64.random(in: 0 ... .max)
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        var state = seed
        for _ in 0..<200 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            var changed = bytes
            changed[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 24)
            if let mistake = FuzzConfiguration.run(changed) {
                Issue.record("seed \(seed): \(mistake): \(changed)")
                return
            }
        }
    }
}
