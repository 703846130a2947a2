import ArgumentParser
import Foundation

/// The command line: a site node, the cloud's aggregator, and the tools to look into both.
@main
struct Causeway: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "causeway",
        abstract:
            "An MQTT broker for business sites: acknowledged means on disk, handlers decide once, nothing is lost on the way to the cloud.",
        subcommands: [
            DemoCommand.self, SiteCommand.self, CloudCommand.self, CheckCommand.self, ImportCommand.self,
            PubCommand.self, SubCommand.self, CertsCommand.self, UserCommand.self, AuditCommand.self,
            BenchCommand.self, JournalCommand.self, DoctorCommand.self, BackupCommand.self, RestoreCommand.self,
            VersionCommand.self,
        ]
    )

    @MainActor
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.first == SiteCommand.configuration.commandName else {
            await main(arguments)
            return
        }
        // On the first thread, while it is the only one. It waits here from then on: left to the dispatch library it
        // would wait with no signal held back.
        ReloadSignal.expect()
        // Unstructured: the thread of this task is what waits.
        Task.detached {
            await main(arguments)
            Self.exit()
        }
        while true { pause() }
    }
}
