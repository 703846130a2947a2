import ArgumentParser
import CausewayConfiguration
import Logging

/// `causeway site`: runs a site node until it is told to stop.
struct SiteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "site",
        abstract: "Run a site: broker, handlers and bridges.",
        discussion: """
            With --mosquitto-conf it runs in the place of Mosquitto 2.1, from Mosquitto's own configuration and with its \
            defaults. 'causeway import' makes a site.yaml of it, which can do more.
            """
    )

    @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration, such as site.yaml.")
    var file: String?

    @Option(
        name: .customLong("mosquitto-conf"),
        help: ArgumentHelp("A configuration of Mosquitto to run from.", valueName: "mosquitto.conf")
    )
    var mosquittoFile: String?

    @Option(
        name: [.customShort("p"), .customLong("port")],
        help: "With --mosquitto-conf: the port, where the file makes no listener; this machine alone can connect then."
    )
    var ports: [Int] = []

    func validate() throws {
        guard (file == nil) != (mosquittoFile == nil) else {
            throw ValidationError("Give either --config or --mosquitto-conf.")
        }
        guard ports.isEmpty || mosquittoFile != nil else {
            throw ValidationError("--port belongs to --mosquitto-conf; site.yaml names its ports itself.")
        }
        guard ports.count <= 10, ports.allSatisfy((1...65_535).contains) else {
            throw ValidationError("--port takes up to ten ports from 1 to 65535.")
        }
    }

    func run() async throws {
        let source: SiteSource =
            if let mosquittoFile { .mosquitto(path: mosquittoFile, ports: ports) } else { .site(path: file ?? "") }
        let read = source.read({ Output.problem($0.description) }, note: Output.problem)
        guard let configuration = read else { throw ExitCode.failure }
        let logger: Logger
        let node: SiteNode
        let pidFile: PIDFile?
        let reload: SiteReload
        do {
            logger = try Logger.make("causeway.site", configuration.log)
            TerminationSignals.listen()
            node = try await SiteNode.start(configuration, logger: logger)
            pidFile = try configuration.pidFile.map { try PIDFile(path: $0) }
            reload = try SiteReload(node, source: source, configuration: configuration, logger: logger)
            try configuration.user.map { try Privileges.drop(to: $0, owning: configuration) }
        } catch {
            Output.problem("\(source.path): \(error)")
            throw ExitCode.failure
        }
        logger.notice("The site is up", metadata: ["cw_site": "\(configuration.site)"])
        await TerminationSignals.wait()
        logger.notice("The site stops")
        reload.stop()
        await node.stop()
        pidFile?.remove()
    }
}
