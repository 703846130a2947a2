import Foundation
import MQTT
import MosquittoClient
import Synchronization

/// Prints what a connection brings. Its methods are called on the connection's thread, but for ``finish(_:)``.
final class Subscriber: Sendable {
    struct Settings: Sendable {
        var topics: [String]
        var unsubscribe: [String]
        var hidden: [TopicFilter]
        var qos: UInt8
        var count: Int?
        var timeoutSeconds: Int?
        var endsAfterSubscribing: Bool
        var noRetained: Bool
        var retainedOnly: Bool
        var removesRetained: Bool
        var format: MessageFormat
        var ending: [UInt8]
    }

    private struct State {
        var connection: MosquittoConnection?
        var printed = 0
        /// The exit code that is wanted, while the DISCONNECT is on its way.
        var code: Int32?
    }

    let outcome = ClientOutcome()
    private let settings: Settings
    private let log: ClientLog
    private let state = Mutex(State())

    init(settings: Settings, log: ClientLog) {
        self.settings = settings
        self.log = log
    }

    func connect(_ connection: MosquittoConnection) { state.withLock { $0.connection = connection } }

    func handle(_ event: MosquittoEvent) {
        switch event {
        case .connected(let server):
            log.connected(server)
            begin()
        case .subscribed(_, let granted):
            log.debug("Subscribed: \(granted.map { $0 < 0x80 ? "QoS \($0)" : "refused" }.joined(separator: ", "))")
            if let refused = granted.first(where: { $0 >= 0x80 }) {
                log.error("the server refused a subscription (reason 0x\(String(refused, radix: 16)))")
                if granted.allSatisfy({ $0 >= 0x80 }) { return finish(Int32(refused)) }
            }
            if settings.endsAfterSubscribing { finish(0) }
        case .message(let message): receive(message)
        case .connectFailed(let error):
            log.error(error.description)
            end(ClientExitCode.ofConnecting(error))
        case .disconnected(let error?):
            log.error(error.description)
            end(ClientExitCode.of(error))
        case .disconnected(nil): end(0)
        case .unsubscribed:
            if settings.topics.isEmpty, settings.endsAfterSubscribing { finish(0) }
        case .published: break
        }
    }

    /// Says goodbye to the server and then ends with a code; the first code counts.
    func finish(_ code: Int32) {
        let connection = state.withLock { state in
            if state.code == nil { state.code = code }
            return state.connection
        }
        guard let connection else { return end(code) }
        connection.disconnect()
    }

    private func begin() {
        guard let connection = state.withLock({ $0.connection }) else { return }
        do throws(MosquittoError) {
            if !settings.topics.isEmpty { try connection.subscribe(settings.topics, qos: settings.qos) }
            if !settings.unsubscribe.isEmpty { try connection.unsubscribe(settings.unsubscribe) }
        } catch {
            log.error(error.description)
            return finish(ClientExitCode.of(error))
        }
        guard let seconds = settings.timeoutSeconds else { return }
        // The time limit outlives nothing: if the command ends before, the process does.
        Task { [self] in
            try? await Task.sleep(for: .seconds(seconds))
            log.error("Timed out")
            finish(ClientExitCode.timeout)
        }
    }

    private func receive(_ message: MosquittoMessage) {
        guard state.withLock({ $0.code }) == nil else { return }
        let isHidden = isHidden(message.topic)
        if settings.retainedOnly, !message.retain { return finish(0) }
        if settings.removesRetained, message.retain, !isHidden, let connection = state.withLock({ $0.connection }) {
            do throws(MosquittoError) {
                try connection.publish(topic: message.topic, payload: [], qos: 1, retain: true)
            } catch {
                log.error(error.description)
            }
        }
        if isHidden || (settings.noRetained && message.retain) { return }
        if let line = settings.format.bytes(message, now: WallClock.now()) {
            ByteOutput.write(line + settings.ending)
        } else {
            log.error("the payload of a message is not JSON")
        }
        let printed = state.withLock { state in
            state.printed += 1
            return state.printed
        }
        if let count = settings.count, printed >= count { finish(0) }
    }

    private func isHidden(_ topic: String) -> Bool {
        guard !settings.hidden.isEmpty, let name = try? TopicName(validating: topic) else { return false }
        return settings.hidden.contains { $0.matches(name) }
    }

    private func end(_ code: Int32) {
        let wanted = state.withLock { state in
            state.connection = nil
            return state.code
        }
        outcome.end(wanted ?? code)
    }
}
