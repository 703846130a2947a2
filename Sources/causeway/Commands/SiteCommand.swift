import ArgumentParser
import CausewayConfiguration
import Logging

/// `causeway site`: runs a site node until it is told to stop.
struct SiteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "site",
        abstract: "Run a site: broker, handlers and bridges."
    )

    @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration, such as site.yaml.")
    var file: String

    func run() async throws {
        let configuration = try ConfigurationFile.site(file)
        let logger = Logger.make("causeway.site", configuration.log)
        let node: SiteNode
        do {
            node = try await SiteNode.start(configuration, logger: logger)
        } catch {
            Output.problem("\(file): \(error)")
            throw ExitCode.failure
        }
        logger.notice("The site is up", metadata: ["cw_site": "\(configuration.site)"])
        await TerminationSignals.wait()
        logger.notice("The site stops")
        await node.stop()
    }
}
