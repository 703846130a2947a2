import Repeatable
import Testing

@Suite("UTF-8 and shares, as a fuzzer sees them")
struct TextFuzzTests {
    @Test("Inputs that once failed pass", arguments: try FuzzCase.all("text"))
    func replay(_ input: FuzzCase) { #expect(FuzzText.run(input.bytes) == nil) }

    @Test("They pass with any byte changed", arguments: try FuzzCase.all("text"))
    func damaged(_ input: FuzzCase) { #expect(input.mistakeWhenDamaged(FuzzText.run) == nil) }
}
