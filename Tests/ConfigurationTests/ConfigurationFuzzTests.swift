import Repeatable
import Testing

@Suite("Configurations, as a fuzzer sees them")
struct ConfigurationFuzzTests {
    @Test("Inputs that once failed pass", arguments: try FuzzCase.all("configuration"))
    func replay(_ input: FuzzCase) { #expect(FuzzConfiguration.run(input.bytes) == nil) }

    @Test("They pass with any byte changed", arguments: try FuzzCase.all("configuration"))
    func damaged(_ input: FuzzCase) { #expect(input.mistakeWhenDamaged(FuzzConfiguration.run) == nil) }
}
