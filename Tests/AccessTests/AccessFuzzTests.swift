import Repeatable
import Testing

@Suite("Files of access, as a fuzzer sees them")
struct AccessFuzzTests {
    @Test("Inputs that once failed pass", arguments: try FuzzCase.all("access"))
    func replay(_ input: FuzzCase) { #expect(FuzzAccess.run(input.bytes) == nil) }

    @Test("They pass with any byte changed", arguments: try FuzzCase.all("access"))
    func damaged(_ input: FuzzCase) { #expect(input.mistakeWhenDamaged(FuzzAccess.run) == nil) }
}
