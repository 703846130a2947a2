import ArgumentParser
import Broker
import CausewayConfiguration
import Cloud
import Logging
import SiteServer

/// `causeway cloud`: the aggregator, and what it has stored.
struct CloudCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cloud",
        abstract: "Run the aggregator, or report what it has stored.",
        subcommands: [Run.self, Report.self],
        defaultSubcommand: Run.self
    )

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Run the aggregator until it is told to stop.")

        @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration, such as cloud.yaml.")
        var file: String

        func run() async throws {
            let configuration = try ConfigurationFile.cloud(file)
            let logger = try Logger.make("causeway.cloud", configuration.log)
            TerminationSignals.listen()
            let node: CloudNode
            do {
                node = try await CloudNode.start(configuration, logger: logger)
            } catch {
                Output.problem("\(file): \(error)")
                throw ExitCode.failure
            }
            logger.notice("The cloud is up", metadata: ["cw_cloud": "\(configuration.cloud)"])
            await TerminationSignals.wait()
            logger.notice("The cloud stops")
            await node.stop()
        }
    }

    struct Report: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print what is stored of every site, what is missing, and hourly roll-ups."
        )

        @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration, such as cloud.yaml.")
        var file: String?

        @Option(name: .customLong("database"), help: "The SQLite file, instead of a configuration.")
        var database: String?

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let path: String
            if let database {
                path = database
            } else if let file {
                path = try ConfigurationFile.cloud(file).databasePath
            } else {
                throw ValidationError("Give --config or --database.")
            }
            let store = SQLiteStore(path: path, readOnly: true)
            defer { store.close() }
            let report = try CloudReport(from: store, milliseconds: BrokerTime.now().wallMilliseconds)
            Output.line(json ? report.json : report.text)
        }
    }
}
