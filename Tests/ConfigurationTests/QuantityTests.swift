import Testing

@testable import CausewayConfiguration

@Suite struct QuantityTests {
    @Test(
        arguments: [
            ("0", 0), ("200ms", 200), ("30s", 30_000), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000),
            ("2w", 1_209_600_000), ("0s", 0), ("10 s", 10_000),
        ] as [(String, Int64)]
    )
    func `durations are read`(text: String, milliseconds: Int64) throws {
        #expect(try Quantity.milliseconds(text) == milliseconds)
    }

    @Test(arguments: [
        "", "s", "-1s", "1.5h", "5", "5 minutes", "5M", "1h30m", "٣s", "9223372036854775807s", "36601d", "1e3s",
        "0x10s", " 5s",
    ])
    func `what is no duration is refused`(text: String) {
        #expect(throws: Quantity.Malformed.self) { try Quantity.milliseconds(text) }
    }

    @Test(
        arguments: [
            ("0", 0), ("1", 1), ("64KiB", 65_536), ("8GiB", 8_589_934_592), ("2MB", 2_000_000), ("1 kB", 1_000),
            ("7B", 7),
            ("8388607TiB", 9_223_370_937_343_148_032),
        ] as [(String, Int64)]
    )
    func `byte counts are read`(text: String, bytes: Int64) throws {
        #expect(try Quantity.bytes(text) == bytes)
    }

    @Test(arguments: ["", "GiB", "-1", "1.5GiB", "8G", "8gib", "8388608TiB", "9223372036854775808", "1 2"])
    func `what is no byte count is refused`(text: String) {
        #expect(throws: Quantity.Malformed.self) { try Quantity.bytes(text) }
    }

    @Test func `quantities are written the way they are read`() {
        #expect(Quantity.describe(milliseconds: 86_400_000) == "1d")
        #expect(Quantity.describe(milliseconds: 90_000) == "90s")
        #expect(Quantity.describe(milliseconds: 1) == "1ms")
        #expect(Quantity.describe(bytes: 1 << 20) == "1MiB")
        #expect(Quantity.describe(bytes: 1_000) == "1000")
    }

    @Test func `the distance counts a swap as one step`() {
        #expect(Suggestion.distance(Array("bnid".utf8), Array("bind".utf8)) == 1)
        #expect(Suggestion.distance(Array("bind".utf8), Array("bind".utf8)) == 0)
        #expect(Suggestion.distance([], Array("bind".utf8)) == 4)
        #expect(Suggestion.distance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
    }

    @Test func `a suggestion is close or there is none`() {
        let words = ["max_connections", "bind", "tls"]
        #expect(Suggestion.closest(to: "max-connection", among: words) == "max_connections")
        #expect(Suggestion.closest(to: "certfile", among: words) == nil)
        #expect(Suggestion.closest(to: String(repeating: "b", count: 100_000), among: words) == nil)
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.255.0.9", true), ("::1", true), ("localhost", true), ("128.0.0.1", false),
        ("0.0.0.0", false), ("::", false), ("localhost.example.com", false), ("127.0.0.1.example.com", false),
    ])
    func `loopback is told from the rest`(host: String, isLoopback: Bool) {
        #expect(NetworkAddress(host: host, port: 1).isLoopback == isLoopback)
    }
}
