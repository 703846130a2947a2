import ArgumentParser
import CausewayConfiguration
import Foundation
import HandlerKit
import SiteHandlers

/// `causeway import`: makes a `site.yaml` of a mosquitto.conf, and says line by line what changes.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make a site.yaml of a configuration of Mosquitto.",
        discussion: """
            The listeners with their TLS files, password and ACL files, persistence, limits and bridges are carried over. \
            A report on standard error names each line that means something else here. Ends with 0; with 2 if something \
            that protects could not be carried over, with 1 if the configuration is wrong.
            """
    )

    /// Ends the process where what was written protects less than what was read.
    private static let lessSecure = ExitCode(2)

    @Argument(help: "The configuration of Mosquitto.", completion: .file(extensions: ["conf"]))
    var mosquittoFile: String

    @Option(name: .shortAndLong, help: "Where to write. Without it: to standard output.")
    var output: String?

    @Option(help: "The name of the site. Default: this machine's name.")
    var site: String?

    @Flag(help: "Write over a file that is there.")
    var force = false

    func run() throws {
        let outcome = MosquittoSettings.load(file: mosquittoFile)
        for problem in outcome.problems { Output.problem(problem.description) }
        guard let settings = outcome.value else { throw ExitCode.failure }
        var notes = settings.notes
        let hostName = ProcessInfo.processInfo.hostName
        let configuration = SiteConfiguration(
            mosquitto: settings,
            options: SiteConfiguration.MosquittoOptions(
                site: site ?? Self.siteName(from: hostName),
                hostName: hostName,
                baseFolder: FileManager.default.currentDirectoryPath
            ),
            notes: &notes
        )
        let text = try configuration.text(header: header)
        try check(text)
        try write(text)
        try report(notes)
    }

    private var header: String {
        """
        A site, made of \(mosquittoFile) by 'causeway import'.
        Every setting is described in the documentation; 'causeway check' looks for mistakes.
        """
    }

    /// What is written must be what our own reader takes.
    private func check(_ text: String) throws {
        let file = output ?? "site.yaml"
        let outcome = SiteConfiguration.load(
            text: text,
            file: file,
            environment: [:],
            plugins: SiteHandlers.builtIn.map { $0.plugin.name }
        )
        for problem in outcome.problems { Output.problem(problem.description) }
        guard let loaded = outcome.value else { throw ExitCode.failure }
        for problem in FileChecks.check(loaded.fileReferences, file: file) {
            Output.problem("before it starts: \(problem)")
        }
    }

    private func write(_ text: String) throws {
        guard let output else { return Output.text(text) }
        guard force || !FileManager.default.fileExists(atPath: output) else {
            Output.problem("\(output) is there already; --force writes over it")
            throw ExitCode.failure
        }
        // It may hold the passwords of bridges.
        let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        guard FileManager.default.createFile(atPath: output, contents: Data(text.utf8), attributes: attributes) else {
            Output.problem("\(output) cannot be written")
            throw ExitCode.failure
        }
    }

    private func report(_ notes: [MosquittoNote]) throws {
        var seen: Set<MosquittoNote> = []
        for note in notes where seen.insert(note).inserted {
            let word =
                switch note.effect {
                case .moot: "not needed"
                case .different: "changes"
                case .security: "protects less"
                case .impossible: "cannot be had"
                }
            Output.problem("\(note.place.file):\(note.place.line): \(note.option): \(word): \(note.message)")
        }
        if notes.contains(where: { $0.effect == .security || $0.effect == .impossible }) { throw Self.lessSecure }
    }

    /// A host's name as the name of a site.
    private static func siteName(from hostName: String) -> String {
        let label = hostName.split(separator: ".").first ?? "site"
        let name = label.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") ? $0 : "-" }
        let trimmed = String(name.drop { $0 == "-" }.prefix(64))
        return trimmed.isEmpty ? "site" : trimmed
    }
}
