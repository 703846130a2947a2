import Repeatable
import Testing

@Suite("Scripts of operations on the core")
struct FuzzReplayTests {
    @Test("Scripts that once failed pass", arguments: try FuzzCase.all("core"))
    func replay(_ input: FuzzCase) { #expect(FuzzScript.run(input.bytes) == nil) }

    @Test("They pass with any byte changed", arguments: try FuzzCase.all("core"))
    func damaged(_ input: FuzzCase) { #expect(input.mistakeWhenDamaged(FuzzScript.run) == nil) }

    @Test("Random scripts keep the core's invariants")
    func random() {
        var random = SeededRandom(seed: .random(in: 0 ... .max))
        for _ in 0..<1_000 {
            let input = random.bytes(random.int(0...599))
            if let mistake = FuzzScript.run(input) {
                Issue.record("seed \(random.seed): \(mistake): \(input)")
                return
            }
        }
    }
}
