import CausewayConfiguration
import Repeatable
import Testing

/// Whatever is done to a configuration, reading it ends with a value or with problems that point into the file.
@Suite struct MutationTests {
    private static let rounds = 1_500

    /// What tends to break parsers, put in at random places.
    private static let tokens: [String] = [
        "[", "]", "{", "}", ":", ": ", "- ", "? ", "&a ", "*a", "!!int ", "!x ", "| ", "> ", "\"", "'", "#", "%", "@",
        "`",
        "\n", "\n\n", "\t", "  ", "---\n", "...\n", "<<: *a\n", "~", "null", "true", "0", "-1", "1e999", "nan", ".inf",
        "9223372036854775807", "9223372036854775808", "-9223372036854775808", "99999999999999999999999999", "0x7F",
        "0o17",
        "24h", "8GiB", "9223372036854775807ms", "${X}", "${", "$${", "${}", "+", "#/#", "{a}", "{1}", "{", "$share/g/",
        "/",
        "\u{0}", "\u{7F}", "\u{FEFF}", "\u{1F600}", "e\u{301}", "\\ud800", "\\x00", "::1", "[::1]:", "127.0.0.1:",
        "mqtts://", "mqtt://u:p@h:0/x", "site", "listeners", "bind", "tls", "routes", "redact", "with",
    ]

    @Test(arguments: [1, 20_261_122, 0xC0FFEE] as [UInt64])
    func `mutated configurations never trap and every problem points into the file`(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        let seeds = [
            Examples.design, Examples.everySetting, Examples.attached, Examples.embeddedCloud, Examples.existingCloud,
        ].map { Array($0.unicodeScalars) }
        var taken = 0
        for round in 0..<Self.rounds {
            var scalars = seeds[Int.random(in: 0..<seeds.count, using: &generator)]
            for _ in 0..<Int.random(in: 1...4, using: &generator) { Self.mutate(&scalars, using: &generator) }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars)
            let mutated = String(text)
            let lines = mutated.split(separator: "\n", omittingEmptySubsequences: false).count
            let site = SiteConfiguration.load(text: mutated, file: "f", environment: ["X": "9"])
            let cloud = CloudConfiguration.load(text: mutated, file: "f", environment: [:])
            if site.value != nil { taken += 1 }
            for problems in [site.refusal, cloud.refusal] {
                guard let problems else { continue }
                let isSound =
                    problems.contains { $0.severity == .error }
                    && problems.allSatisfy {
                        $0.line >= 1 && $0.line <= lines + 1 && $0.column >= 1 && !$0.message.isEmpty
                    }
                #expect(isSound, "seed \(seed), round \(round): \(problems)\n\(mutated)")
            }
        }
        // If nothing survived, the mutations would only ever have reached the YAML parser.
        #expect(taken > Self.rounds / 50, "seed \(seed): \(taken) taken")
    }

    private static func mutate(_ scalars: inout [Unicode.Scalar], using generator: inout SeededRandom) {
        guard !scalars.isEmpty else { return }
        let place = Int.random(in: 0..<scalars.count, using: &generator)
        let end = min(scalars.count, place + Int.random(in: 1...24, using: &generator))
        switch Int.random(in: 0..<6, using: &generator) {
        case 0:
            let token = tokens[Int.random(in: 0..<tokens.count, using: &generator)]
            scalars.insert(contentsOf: token.unicodeScalars, at: place)
        case 1:
            let token = tokens[Int.random(in: 0..<tokens.count, using: &generator)]
            scalars.replaceSubrange(place..<end, with: token.unicodeScalars)
        case 2: scalars.removeSubrange(place..<end)
        case 3:
            let piece = scalars[place..<end]
            scalars.insert(contentsOf: piece, at: Int.random(in: 0...scalars.count, using: &generator))
        case 4:
            // A value is replaced as a whole, so that the schema sees it and not only the parser.
            guard let colon = scalars[place...].firstIndex(of: ":") else { return }
            let stop = scalars[colon...].firstIndex { $0 == "," || $0 == "}" || $0 == "\n" } ?? scalars.count
            let token = tokens[Int.random(in: 0..<tokens.count, using: &generator)]
            scalars.replaceSubrange(colon..<stop, with: ": \(token)".unicodeScalars)
        default: scalars.removeSubrange(place...)
        }
    }
}
