import ArgumentParser
import CausewayConfiguration
import Foundation
import HandlerKit
import SiteHandlers

/// Reads a configuration file for a command that runs; what is wrong goes to `report`, all of it.
enum ConfigurationFile {
    static func site(_ path: String) throws -> SiteConfiguration {
        let loaded = site(path, { Output.problem($0.description) }, note: Output.problem)
        guard let loaded else { throw ExitCode.failure }
        return loaded
    }

    static func site(
        _ path: String,
        _ report: (ConfigurationProblem) -> Void,
        note: (String) -> Void
    ) -> SiteConfiguration? {
        loadSite(path, note).flatMap { accept($0, path, report, references: { $0.fileReferences }) }
    }

    /// The same without a look at the files that it names: they may be missing or open to others.
    static func siteText(_ path: String, _ report: (String) -> Void) -> SiteConfiguration? {
        loadSite(path, report).flatMap { accept($0, path, { report($0.description) }, references: { _ in [] }) }
    }

    private static func loadSite(
        _ path: String,
        _ note: (String) -> Void
    ) -> ConfigurationOutcome<SiteConfiguration>? {
        read(path, note).map { text in
            SiteConfiguration.load(
                text: text,
                file: path,
                environment: ProcessInfo.processInfo.environment,
                plugins: SiteHandlers.builtIn.map { $0.plugin.name }
            )
        }
    }

    static func cloud(_ path: String) throws -> CloudConfiguration {
        let loaded = read(path, Output.problem).flatMap { text in
            accept(
                CloudConfiguration.load(text: text, file: path, environment: ProcessInfo.processInfo.environment),
                path,
                { Output.problem($0.description) },
                references: { $0.fileReferences }
            )
        }
        guard let loaded else { throw ExitCode.failure }
        return loaded
    }

    /// What kind of configuration a file holds; that of a site if it cannot be read.
    static func kind(_ path: String) -> ConfigurationKind {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        return ConfigurationKind.of(text: String(decoding: data, as: UTF8.self))
    }

    private static func read(_ path: String, _ report: (String) -> Void) -> String? {
        guard let data = FileManager.default.contents(atPath: path) else {
            report("\(path): the file cannot be read")
            return nil
        }
        guard let text = String(data: data, encoding: .utf8) else {
            report("\(path): the file is not UTF-8 text")
            return nil
        }
        return text
    }

    private static func accept<Value>(
        _ outcome: ConfigurationOutcome<Value>,
        _ path: String,
        _ report: (ConfigurationProblem) -> Void,
        references: (Value) -> [FileReference]
    ) -> Value? {
        var problems = outcome.problems
        if let value = outcome.value { problems += FileChecks.check(references(value), file: path) }
        for problem in problems { report(problem) }
        return problems.contains { $0.severity == .error } ? nil : outcome.value
    }
}
