import CausewayConfiguration
import Console
import Logging

/// The console's HTTP server as a task that ends with its node.
final class ConsoleTask: Sendable {
    private let task: Task<Void, Never>

    static func start(
        _ configuration: CausewayConfiguration.ConsoleConfiguration,
        source: any ConsoleSource,
        logger: Logger
    ) throws -> ConsoleTask {
        let server = ConsoleServer(
            configuration: Console.ConsoleConfiguration(
                host: configuration.bind.host,
                port: configuration.bind.port
            ),
            source: source,
            logger: logger
        )
        return ConsoleTask(server, logger)
    }

    private init(_ server: ConsoleServer, _ logger: Logger) {
        // Unstructured: it lives as long as the node, which has no task of its own.
        task = Task {
            do {
                try await server.run()
            } catch is CancellationError {
                return
            } catch {
                // The broker goes on: devices matter more than metrics.
                logger.error("The console has stopped", metadata: ["cw_error": "\(error)"])
            }
        }
    }

    func stop() async {
        task.cancel()
        await task.value
    }
}
