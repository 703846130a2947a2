import Bridge
import CausewayConfiguration
import Dispatch
import Foundation
import Logging
import SiteServer
import Synchronization

/// The relays of a site: bridges as Mosquitto's `connection` blocks describe them, each a client of the site's own
/// broker that nobody asks who it is.
final class SiteRelays: Sendable {
    /// How long the broker may take to let a relay in.
    private static let attachSecondsMax = 10

    private let service: RelayService

    /// Makes none yet, see ``apply(_:)``.
    init(_ server: SiteServer, logger: Logger) {
        service = RelayService(
            attach: { [weak server] settings in
                guard let server else { throw StartFailure("the site has stopped") }
                return try Self.attach(settings, to: server)
            },
            log: { $0.write(to: logger) }
        )
    }

    /// Makes the relays those of a configuration: all, or none if one of them is not possible.
    func apply(_ configuration: SiteConfiguration) throws {
        let hostName = ProcessInfo.processInfo.hostName
        let folder = configuration.journal.isEnabled ? configuration.journal.path + "/relays" : nil
        if let folder, !configuration.relays.isEmpty { try Folder.make(folder) }
        try service.apply(
            configuration.relays.map { relay in
                try RelaySettings(
                    relay,
                    limits: configuration.limits,
                    hostName: hostName,
                    stateDirectory: folder.map { $0 + "/" + Self.fileName(relay.name) }
                )
            }
        )
    }

    func start() throws { try service.start() }

    func stop() { service.stop() }

    /// Every relay in numbers.
    var health: [(name: String, health: RelayHealth)] { service.health }

    /// A connection as the name of a folder.
    private static func fileName(_ name: String) -> String {
        name.utf8.map { byte in
            let isPlain =
                byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                || UnicodeScalar(byte).properties.isAlphabetic && byte < 0x80
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + String(byte, radix: 16)
        }.joined()
    }

    /// Called on a relay's own thread, which may wait.
    private static func attach(_ settings: RelaySettings, to server: SiteServer) throws -> CInt {
        let answer = AttachAnswer()
        let attachment = LocalAttachment(name: settings.name, username: settings.localUsername)
        // Unstructured: it bridges a thread that may block to a server that may not.
        Task {
            do {
                answer.give(.success(try await server.attachLocal(attachment)))
            } catch {
                answer.give(.failure(error))
            }
        }
        return try answer.wait(seconds: attachSecondsMax)
    }
}

/// One answer that a thread waits for. One that comes too late is let go of.
private final class AttachAnswer: Sendable {
    private struct State {
        var result: Result<CInt, any Error>?
        var isAbandoned = false
    }

    private let state = Mutex(State())
    private let semaphore = DispatchSemaphore(value: 0)

    func give(_ result: Result<CInt, any Error>) {
        let isAbandoned = state.withLock { state in
            state.result = result
            return state.isAbandoned
        }
        if isAbandoned, case .success(let descriptor) = result { close(descriptor) }
        semaphore.signal()
    }

    func wait(seconds: Int) throws -> CInt {
        _ = semaphore.wait(timeout: .now() + .seconds(seconds))
        let result = state.withLock { state in
            state.isAbandoned = state.result == nil
            return state.result
        }
        guard let result else { throw StartFailure("the broker did not take the connection in time") }
        return try result.get()
    }
}
