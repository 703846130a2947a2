internal import Hummingbird
internal import HummingbirdCore
public import Logging
internal import NIOCore
internal import NIOPosix
internal import ServiceLifecycle

/// Health and metrics over HTTP: `GET /livez`, `GET /readyz`, `GET /metrics`.
///
/// Runs on an event loop of its own, so that no request ever disturbs the broker's.
public struct ConsoleServer: Sendable {
    private let configuration: ConsoleConfiguration
    private let source: any ConsoleSource
    private let logger: Logger
    private let onListening: @Sendable (Int) async -> Void

    /// Makes a server that does not listen yet.
    ///
    /// - Parameters:
    ///   - configuration: where to listen, and limits.
    ///   - source: what to show.
    ///   - logger: where trouble with requests is said, at debug level.
    ///   - onListening: hears the port once requests are taken.
    public init(
        configuration: ConsoleConfiguration = ConsoleConfiguration(),
        source: any ConsoleSource,
        logger: Logger,
        onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.source = source
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until the task is cancelled, then finishes answers under way and closes the port. Throws if it cannot
    /// listen.
    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var configuration = ServiceGroupConfiguration(services: [application(on: group)], logger: quietLogger)
        configuration.maximumGracefulShutdownDuration = Self.shutdownDurationMax
        let services = ServiceGroup(configuration: configuration)
        // A task of its own, because cancelling the serving task itself would end the listener with a connection just
        // accepted and not yet taken, which NIO answers with a trap. The cancellation becomes an orderly shutdown.
        let serving = Task { try await services.run() }
        let result = await withTaskCancellationHandler {
            await serving.result
        } onCancel: {
            Task { await services.triggerGracefulShutdown() }
        }
        try await group.shutdownGracefully()
        if !Task.isCancelled { try result.get() }
    }

    /// How long answers under way may take once the server is to stop.
    private static let shutdownDurationMax = Duration.seconds(2)

    /// Hummingbird and the service group say each start and stop at info; that is the caller's to say.
    private var quietLogger: Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }

    private func application(on group: MultiThreadedEventLoopGroup) -> some ApplicationProtocol {
        let source = source
        let seconds = configuration.answerSecondsMax
        let logger = quietLogger
        return Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in
                Self.respond(to: request, from: source)
            },
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [AnswerDeadlineHandler(seconds: seconds)],
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: configuration.headerBytesMax,
                        maxHeaderListSize: configuration.headerBytesMax,
                        maxHeaderFieldCount: configuration.headerFieldsMax
                    )
                )
            ),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: MaximumAvailableConnections(configuration.connectionsMax, logger: logger)
            ),
            onServerRunning: { [onListening] channel in
                await onListening(channel.localAddress?.port ?? 0)
            },
            eventLoopGroupProvider: .shared(group),
            logger: logger
        )
    }

    private static func respond(to request: Request, from source: any ConsoleSource) -> Response {
        let answer: (@Sendable () -> Response)? =
            switch request.uri.path {
            case "/livez": { health(source.liveness(), okay: { $0 != .unavailable }) }
            case "/readyz": { health(source.readiness(), okay: { $0 == .available || $0 == .degraded }) }
            case "/metrics": { body(.ok, Exposition.contentType, Exposition.text(source.metrics())) }
            default: nil
            }
        guard let answer else { return error(.notFound, "there is nothing under this path") }
        guard request.method == .get || request.method == .head else {
            var response = error(.methodNotAllowed, "only GET and HEAD are answered here")
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        var response = answer()
        if request.method == .head {
            let length = response.body.contentLength
            response.body = ResponseBody()
            response.headers[.contentLength] = length.map { "\($0)" }
        }
        return response
    }

    private static func health(_ report: HealthReport, okay: (HealthStatus) -> Bool) -> Response {
        body(okay(report.status) ? .ok : .serviceUnavailable, "application/json", report.json + "\n")
    }

    private static func error(_ status: HTTPResponse.Status, _ message: String) -> Response {
        body(status, "application/json", "{\"error\":\(JSONString.quoted(message))}\n")
    }

    private static func body(_ status: HTTPResponse.Status, _ type: String, _ text: String) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }
}
