import Repeatable
import Testing

@Suite("What comes before MQTT, as a fuzzer sees it")
struct TransportFuzzTests {
    @Test("Inputs that once failed pass", arguments: try FuzzCase.all("transport"))
    func replay(_ input: FuzzCase) { #expect(FuzzTransport.run(input.bytes) == nil) }

    @Test("They pass with any byte changed", arguments: try FuzzCase.all("transport"))
    func damaged(_ input: FuzzCase) { #expect(input.mistakeWhenDamaged(FuzzTransport.run) == nil) }
}
