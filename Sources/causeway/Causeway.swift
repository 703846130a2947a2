import ArgumentParser

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
}
