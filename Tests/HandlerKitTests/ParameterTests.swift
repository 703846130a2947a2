import HandlerKit
import Testing

@Suite("Parameters of a plugin")
struct ParameterTests {
    static let plugin = PluginDescription(
        name: "example",
        version: "1",
        summary: "An example.",
        parameters: [
            ParameterDescription("rate", .number(0...4, unit: "U/h"), default: 1, "a rate"),
            ParameterDescription("count", .integer(1...9), default: 3, "a count"),
            ParameterDescription("wait", .duration(1...3600), default: "15m", "a wait"),
            ParameterDescription("mode", .choice(["a", "b"]), default: "a", "a mode"),
            ParameterDescription("name", .text(bytesMax: 4), default: nil, "a name"),
            ParameterDescription("flag", .flag, default: false, "a flag"),
            ParameterDescription("key", .secret(bytesMin: 8), default: "12345678", "a key"),
        ]
    )

    @Test("Defaults are filled in and durations become seconds")
    func defaults() throws {
        let values = try HandlerParameters(["name": "n"]).validated(by: Self.plugin)
        #expect(values.number("rate") == 1 && values.integer("count") == 3 && values.number("wait") == 900)
        #expect(values.text("mode") == "a" && values.text("name") == "n" && values.flag("flag") == false)
        let durations: [(JSONValue, Double)] = [
            ("90s", 90), ("1h", 3600), ("500ms", 0.5), (60, 60), (1.5, 1.5), ("7", 7),
        ]
        for (written, seconds) in durations where seconds >= 1 {
            let values = try HandlerParameters(["name": "n", "wait": written]).validated(by: Self.plugin)
            #expect(values.number("wait") == seconds)
        }
    }

    @Test(
        "What is unknown, missing or out of its limits is named, with what may be written",
        arguments: [
            (["name": "n", "rat": 1], "rat", "it knows count, flag, key, mode, name, rate, wait"),
            ([:], "name", "write text of at most 4 bytes: a name"),
            (["name": "n", "rate": 5], "rate", "write a number from 0 to 4 U/h"),
            (["name": "n", "rate": "1"], "rate", "write a number from 0 to 4 U/h"),
            (["name": "n", "count": 1.5], "count", "write a whole number from 1 to 9"),
            (
                ["name": "n", "wait": "2h"], "wait",
                "write a duration such as 90s, 15m, 24h or 28d, from 1 to 3600 seconds"
            ),
            (
                ["name": "n", "wait": "soon"], "wait",
                "write a duration such as 90s, 15m, 24h or 28d, from 1 to 3600 seconds"
            ),
            (["name": "n", "mode": "c"], "mode", "write one of a, b"),
            (["name": "long!"], "name", "write text of at most 4 bytes"),
            (["name": "n", "flag": 1], "flag", "write true or false"),
            (["name": "n", "key": "short"], "key", "write a secret of at least 8 bytes"),
        ] as [([String: JSONValue], String, String)]
    )
    func refused(values: [String: JSONValue], parameter: String, hint: String) {
        let error = #expect(throws: HandlerConfigurationError.self) {
            try HandlerParameters(values).validated(by: Self.plugin)
        }
        #expect(error?.parameter == parameter)
        #expect(error?.hint == hint)
    }

    @Test("A configuration's fingerprint changes with every value and with the version")
    func fingerprints() {
        let parameters = HandlerParameters(["name": "n", "key": "12345678"])
        let one = parameters.fingerprint(of: Self.plugin)
        var newer = Self.plugin
        newer.version = "2"
        #expect(one.count == 16 && one == parameters.fingerprint(of: Self.plugin))
        #expect(one != parameters.fingerprint(of: newer))
        #expect(one != HandlerParameters(["name": "n", "key": "12345679"]).fingerprint(of: Self.plugin))
    }
}
