@testable import CausewayConfiguration

/// Any bytes at all, read as configurations: used by the fuzzer under `Tests/Fuzz` and by the replay in `swift test`.
enum FuzzConfiguration {
    /// What is wrong, or nil. The first byte says what the others are: the text of `site.yaml`, `cloud.yaml` or
    /// `mosquitto.conf`, or the values of one of the first two as ``FuzzTree`` has them.
    static func run(_ input: [UInt8]) -> String? {
        guard let first = input.first else { return nil }
        let content = Array(input.dropFirst())
        // A second reading takes as long as the first: of one input in eight.
        let isTwice = first >= 0xE0
        switch first % 8 {
        case 0:
            return check(lines(content), isTwice: isTwice) {
                SiteConfiguration.load(text: text(content), file: "fuzz", environment: ["HOME": "/root"])
            }
        case 1:
            return check(lines(content), isTwice: isTwice) {
                CloudConfiguration.load(text: text(content), file: "fuzz", environment: ["HOME": "/root"])
            }
        case 2, 3: return mosquitto(content)
        case 4:
            let (root, lines) = FuzzTree.read(content)
            return check(lines, isTwice: isTwice) {
                Reader(file: "fuzz").outcome(of: root) { $1.cloud(reader: $0) }
            }
        default:
            let (root, lines) = FuzzTree.read(content)
            return check(lines, isTwice: isTwice) {
                Reader(file: "fuzz").outcome(of: root) { $1.site(reader: $0, plugins: nil) }
            }
        }
    }

    private static func text(_ content: [UInt8]) -> String { String(decoding: content, as: UTF8.self) }

    private static func check<Value: Sendable & Hashable>(
        _ lines: Int,
        isTwice: Bool,
        _ load: () -> ConfigurationOutcome<Value>
    ) -> String? {
        let outcome = load()
        if isTwice {
            let again = load()
            guard outcome.value == again.value, outcome.problems == again.problems else { return "two readings differ" }
        }
        return check(outcome, lines)
    }

    private static func lines(_ content: [UInt8]) -> Int {
        // YAML also ends lines at a carriage return and at U+0085, U+2028 and U+2029.
        1 + content.count { $0 == 0x0A || $0 == 0x0D || $0 == 0x85 || $0 == 0xA8 || $0 == 0xA9 }
    }

    private static func check<Value>(_ outcome: ConfigurationOutcome<Value>, _ lines: Int) -> String? {
        let errors = outcome.problems.filter { $0.severity == .error }
        if outcome.value == nil && errors.isEmpty { return "refused without a reason" }
        if outcome.value != nil && !errors.isEmpty { return "taken in spite of: \(errors[0])" }
        for problem in outcome.problems {
            guard (1...lines + 1).contains(problem.line), problem.column >= 1 else {
                return "line \(problem.line), column \(problem.column) of \(lines): \(problem.message)"
            }
            guard !problem.message.isEmpty else { return "a problem without words" }
            // One line for each, and none that moves the operator's cursor.
            guard problem.description.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
                return "control characters in: \(Array(problem.description.utf8))"
            }
        }
        return nil
    }

    private static func mosquitto(_ content: [UInt8]) -> String? {
        let sources = MosquittoSources(
            read: { path in
                // A second file for what includes one.
                switch path {
                case "fuzz": .success(content)
                case "folder/one.conf": .success(Array("allow_anonymous true\n".utf8))
                default: .failure(MosquittoSources.Failure("it is not there"))
                }
            },
            list: {
                $0 == "folder"
                    ? .success(["one.conf", "two.txt"]) : .failure(MosquittoSources.Failure("it is not there"))
            }
        )
        let outcome = MosquittoSettings.load(file: "fuzz", sources: sources)
        if let mistake = check(outcome, lines(content)) { return mistake }
        guard let settings = outcome.value else { return nil }
        var notes = settings.notes
        _ = SiteConfiguration(mosquitto: settings, options: .init(hostName: "fuzz"), notes: &notes)
        for note in notes where "\(note)".unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
            return "control characters in: \(Array("\(note)".utf8))"
        }
        return nil
    }
}
