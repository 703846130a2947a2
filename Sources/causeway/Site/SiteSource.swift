import CausewayConfiguration
import Foundation
import Logging

/// Where a site's configuration comes from, to be read again when the operator asks for it.
enum SiteSource: Sendable {
    /// A `site.yaml`.
    case site(path: String)
    /// A `mosquitto.conf`, and the ports of the command line.
    case mosquitto(path: String, ports: [Int])

    /// What the operator calls it.
    var path: String {
        switch self {
        case .site(let path), .mosquitto(let path, _): path
        }
    }

    /// Reads it. What is wrong is handed to `report`, all of it, and then there is no configuration. A file that cannot
    /// be read, and what Mosquitto's options mean here, goes to `note`.
    func read(_ report: (ConfigurationProblem) -> Void, note: (String) -> Void) -> SiteConfiguration? {
        switch self {
        case .site(let path): ConfigurationFile.site(path, report, note: note)
        case .mosquitto(let path, let ports): mosquitto(path, ports, report, note)
        }
    }

    private func mosquitto(
        _ path: String,
        _ ports: [Int],
        _ report: (ConfigurationProblem) -> Void,
        _ tell: (String) -> Void
    ) -> SiteConfiguration? {
        let outcome = MosquittoSettings.load(file: path)
        for problem in outcome.problems { report(problem) }
        guard let settings = outcome.value else { return nil }
        var notes = settings.notes
        let options = SiteConfiguration.MosquittoOptions(hostName: ProcessInfo.processInfo.hostName, ports: ports)
        var configuration = SiteConfiguration(mosquitto: settings, options: options, notes: &notes)
        configuration.journal.marker = settings.databasePath
        var seen: Set<MosquittoNote> = []
        for note in notes where note.effect != .moot && seen.insert(note).inserted { tell("\(note)") }
        guard !notes.contains(where: { $0.effect == .impossible }) else { return nil }
        let problems = FileChecks.check(configuration.fileReferences, file: path)
        for problem in problems { report(problem) }
        return problems.contains { $0.severity == .error } ? nil : configuration
    }
}
