import ArgumentParser
import CausewayConfiguration
import Foundation
import HandlerKit
import HandlerRuntime
import SiteHandlers

/// `causeway check`: every mistake of a configuration, with file, line and a hint.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration: every mistake with file, line and a hint.",
        discussion: """
            Prints one line for each mistake, as file:line:column: error: setting: what is wrong (what to do). Ends with 0 \
            if the configuration can be run, else with 1. Warnings do not count.
            """
    )

    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: "The configuration, such as site.yaml or cloud.yaml."
    )
    var file: String

    @Flag(name: .customLong("no-files"), help: "Do not look for the files that the configuration names.")
    var skipsFiles = false

    @Flag(help: "Print one JSON object instead of lines.")
    var json = false

    func run() throws {
        guard let data = FileManager.default.contents(atPath: file) else {
            return try report([problem("the file cannot be read")], summary: nil)
        }
        guard let text = String(data: data, encoding: .utf8) else {
            return try report([problem("the file is not UTF-8 text")], summary: nil)
        }
        switch ConfigurationKind.of(text: text) {
        case .site: try checkSite(text)
        case .cloud: try checkCloud(text)
        }
    }

    private func checkSite(_ text: String) throws {
        let outcome = SiteConfiguration.load(
            text: text,
            file: file,
            environment: ProcessInfo.processInfo.environment,
            plugins: SiteHandlers.builtIn.map { $0.plugin.name }
        )
        guard let site = outcome.value else { return try report(outcome.problems, summary: nil) }
        let problems = outcome.problems + HandlerChecks.problems(in: site) + filesProblems(site.fileReferences)
        let source = site.siteBroker.map { "attached to \($0.address)" } ?? Self.count(site.listeners.count, "listener")
        let summary =
            "site \(site.site), \(source), \(Self.count(site.handlers.count, "handler")), "
            + Self.count(site.bridges.count + site.relays.count, "bridge")
        try report(problems, summary: summary)
    }

    private func checkCloud(_ text: String) throws {
        let outcome = CloudConfiguration.load(
            text: text,
            file: file,
            environment: ProcessInfo.processInfo.environment
        )
        guard let cloud = outcome.value else { return try report(outcome.problems, summary: nil) }
        let source =
            switch cloud.broker {
            case .embedded(let broker): Self.count(broker.listeners.count, "listener")
            case .existing(let broker): "attached to \(broker.address)"
            }
        try report(
            outcome.problems + filesProblems(cloud.fileReferences),
            summary: "cloud \(cloud.cloud), \(source)"
        )
    }

    private func filesProblems(_ references: [FileReference]) -> [ConfigurationProblem] {
        skipsFiles ? [] : FileChecks.check(references, file: file)
    }

    private func problem(_ message: String) -> ConfigurationProblem {
        ConfigurationProblem(file: file, position: .start, path: "", message: message)
    }

    private static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    private func report(_ problems: [ConfigurationProblem], summary: String?) throws {
        let inOrder = problems.enumerated().sorted {
            ($0.element.position, $0.offset) < ($1.element.position, $1.offset)
        }
        let sorted = inOrder.map(\.element)
        let errors = sorted.count { $0.severity == .error }
        if json {
            try Output.line(CheckReport(file: file, problems: sorted, isValid: errors == 0).json())
        } else {
            for problem in sorted { Output.line(problem.description) }
            let warnings = sorted.count - errors
            if errors > 0 {
                Output.problem("\(file): \(Self.count(errors, "error"))")
            } else if let summary {
                let addition = warnings > 0 ? ", \(Self.count(warnings, "warning"))" : ""
                Output.line("\(file): right (\(summary)\(addition))")
            }
        }
        if errors > 0 { throw ExitCode.failure }
    }
}

/// What `check --json` prints.
private struct CheckReport: Encodable {
    struct Problem: Encodable {
        var severity: String
        var line: Int
        var column: Int
        var path: String
        var message: String
        var hint: String?
    }

    var file: String
    var valid: Bool
    var problems: [Problem]

    init(file: String, problems: [ConfigurationProblem], isValid: Bool) {
        self.file = file
        valid = isValid
        self.problems = problems.map { problem in
            Problem(
                severity: problem.severity.rawValue,
                line: problem.line,
                column: problem.column,
                path: problem.path,
                message: problem.message,
                hint: problem.hint
            )
        }
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
