import ArgumentParser
import CausewayConfiguration
import Foundation
import HandlerKit
import SiteHandlers

/// Reads a configuration file for a command that runs; what is wrong goes to standard error, all of it.
enum ConfigurationFile {
    static func site(_ path: String) throws -> SiteConfiguration {
        let text = try read(path)
        return try accept(
            SiteConfiguration.load(
                text: text,
                file: path,
                environment: ProcessInfo.processInfo.environment,
                plugins: SiteHandlers.builtIn.map { $0.plugin.name }
            ),
            path
        ) { $0.fileReferences }
    }

    static func cloud(_ path: String) throws -> CloudConfiguration {
        let text = try read(path)
        return try accept(
            CloudConfiguration.load(text: text, file: path, environment: ProcessInfo.processInfo.environment),
            path
        ) { $0.fileReferences }
    }

    private static func read(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            Output.problem("\(path): the file cannot be read")
            throw ExitCode.failure
        }
        guard let text = String(data: data, encoding: .utf8) else {
            Output.problem("\(path): the file is not UTF-8 text")
            throw ExitCode.failure
        }
        return text
    }

    private static func accept<Value>(
        _ outcome: ConfigurationOutcome<Value>,
        _ path: String,
        _ references: (Value) -> [FileReference]
    ) throws -> Value {
        var problems = outcome.problems
        if let value = outcome.value { problems += FileChecks.check(references(value), file: path) }
        for problem in problems { Output.problem(problem.description) }
        guard let value = outcome.value, !problems.contains(where: { $0.severity == .error }) else {
            throw ExitCode.failure
        }
        return value
    }
}
