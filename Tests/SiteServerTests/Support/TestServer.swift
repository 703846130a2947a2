import Access
import Broker
import Foundation
import Journal
import Logging
import NIOCore
import Synchronization

@testable import SiteServer

/// Log lines of a test's server.
final class LogLines: Sendable {
    struct Line: Sendable {
        let level: Logger.Level
        let message: String
        let metadata: Logger.Metadata
    }

    private let lines = Mutex<[Line]>([])

    var all: [Line] { lines.withLock { $0 } }

    func messages(_ text: String) -> [Line] { all.filter { $0.message == text } }

    /// The reasons of the failed TLS connections.
    var tlsReasons: [String] {
        messages("A TLS connection failed").map { $0.metadata["cw_reason"].map { "\($0)" } ?? "" }
    }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(lines: self) }
        logger.logLevel = .debug
        return logger
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let line = Line(level: event.level, message: "\(event.message)", metadata: event.metadata ?? [:])
            lines.lines.withLock { $0.append(line) }
        }
    }
}

/// A server on free ports of 127.0.0.1.
struct TestServer {
    let server: SiteServer
    let listeners: [BoundListener]
    let log: LogLines

    var port: Int { listeners[0].port }

    /// Runs a test with a server that is stopped afterwards.
    static func with<Result>(
        _ listeners: [SiteServerConfiguration.Listener] = [plain],
        limits: SiteServerLimits = SiteServerLimits(),
        broker: BrokerConfiguration? = nil,
        journal directory: String? = nil,
        authenticator: any Authenticator = ListenerAuthenticator(),
        rules: [RuleAuthorizer.Rule] = [],
        authorizer own: (any Authorizer)? = nil,
        audit: (any AuditSink)? = nil,
        controlPlane: (any ControlPlane)? = nil,
        _ body: (TestServer) async throws -> Result
    ) async throws -> Result {
        let log = LogLines()
        let relay = Relay()
        let opened = try directory.map { directory in
            try Journal.open(Journal.Configuration(directory: directory)) { relay.pass($0) }
        }
        var configuration = broker ?? BrokerConfiguration()
        configuration.isDurable = opened != nil
        let broker = configuration
        let authorizer: any Authorizer = try own ?? RuleAuthorizer(rules: rules)
        let server = SiteServer(
            configuration: SiteServerConfiguration(listeners: listeners, limits: limits),
            journal: opened?.journal,
            authenticator: authenticator,
            audit: audit,
            controlPlane: controlPlane,
            logger: log.logger
        ) {
            let core = BrokerCore(configuration: broker, authorizer: authorizer)
            if let opened { try recover(core, opened.journal, opened.recovery) }
            return core
        }
        relay.attach(server)
        let bound = try await server.start()
        let outcome: Swift.Result<Result, any Error>
        do {
            outcome = .success(try await body(TestServer(server: server, listeners: bound, log: log)))
        } catch {
            outcome = .failure(error)
        }
        await server.shutDown(gracePeriod: .seconds(2))
        opened?.journal.close()
        return try outcome.get()
    }

    private static func recover(_ core: BrokerCore, _ journal: Journal, _ recovery: Recovery) throws {
        var next = recovery.firstSequence
        if let checkpoint = recovery.checkpoint {
            try core.recover(checkpoint: ByteBuffer(bytes: checkpoint.bytes))
            next = checkpoint.sequence + 1
        }
        var failure: (any Error)?
        try journal.read(from: next, maxBytes: .max) { sequence, payload in
            do {
                try core.recover(record: ByteBuffer(bytes: payload), sequence: sequence)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        core.finishRecovery(nextSequence: recovery.nextSequence, now: BrokerTime.now())
    }

    static let plain = SiteServerConfiguration.Listener(name: "plain", host: "127.0.0.1", port: 0, allowAnonymous: true)

    /// Waits until there are that many subscriptions.
    func subscriptions(_ count: Int) async throws {
        let deadline = Date().addingTimeInterval(15)
        while try await server.withCore({ core, _, _ in core.statistics.subscriptions }) != count {
            guard Date() < deadline else { throw DeadlinePassed(description: "\(count) subscriptions") }
            await Task.yield()
        }
    }

    func client(_ clientID: String) throws -> RawClient {
        let client = try RawClient(port: port)
        try client.connect(clientID)
        return client
    }
}

/// Passes the journal's notices to a server that is made after it.
final class Relay: Sendable {
    private let server = Mutex<SiteServer?>(nil)

    func attach(_ server: SiteServer) { self.server.withLock { $0 = server } }

    func pass(_ notice: CommitNotice) { server.withLock { $0 }?.journalNotice(notice) }
}
