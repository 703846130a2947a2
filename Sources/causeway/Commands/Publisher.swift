import Foundation
import MosquittoClient
import Synchronization

/// Publishes one message after the other through a connection, with a window of unanswered ones.
///
/// It has a thread of its own, because standard input and a full window block. Everything it shares with the
/// connection's thread is behind a lock.
final class Publisher: Sendable {
    /// Where payloads come from. `make` is called once, on the publisher's thread.
    struct Source: Sendable {
        var delaySeconds: Double
        var make: @Sendable () -> (() -> [UInt8]?)
    }

    private struct State {
        var connection: MosquittoConnection?
        var source: Source?
        var unanswered = 0
        var isOver = false
        /// The first refusal of the server.
        var refusal: UInt8?
    }

    let outcome = ClientOutcome()
    private let topic: String
    private let qos: UInt8
    private let retain: Bool
    private let properties: MosquittoPublishProperties
    private let window: Int
    private let log: ClientLog
    private let state = Mutex(State())
    /// Signalled once for every answer, and when it is all over.
    private let answers = DispatchSemaphore(value: 0)

    init(
        topic: String,
        qos: UInt8,
        retain: Bool,
        properties: MosquittoPublishProperties,
        window: Int,
        log: ClientLog
    ) {
        self.topic = topic
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.window = window
        self.log = log
    }

    func connect(_ connection: MosquittoConnection, source: Source) {
        state.withLock { state in
            state.connection = connection
            state.source = source
        }
    }

    func handle(_ event: MosquittoEvent) {
        switch event {
        case .connected(let server):
            log.connected(server)
            let thread = Thread { [self] in publishAll() }
            thread.name = "publisher"
            thread.start()
        case .published(let token, let reasonCode):
            log.debug("Client received the answer to \(token) (0x\(String(reasonCode, radix: 16)))")
            if reasonCode >= 0x80 {
                log.error("the server refused message \(token) (reason 0x\(String(reasonCode, radix: 16)))")
            }
            state.withLock { state in
                state.unanswered -= 1
                if reasonCode >= 0x80, state.refusal == nil { state.refusal = reasonCode }
            }
            answers.signal()
        case .connectFailed(let error):
            log.error(error.description)
            end(ClientExitCode.ofConnecting(error))
        case .disconnected(let error?):
            log.error(error.description)
            end(ClientExitCode.of(error))
        case .disconnected(nil):
            end(state.withLock { $0.refusal.map(Int32.init) ?? 0 })
        case .message, .subscribed, .unsubscribed:
            break
        }
    }

    private func publishAll() {
        let (connection, source) = state.withLock { ($0.connection, $0.source) }
        guard let connection, let source else { return }
        let next = source.make()
        var isFirst = true
        while let payload = next() {
            if !isFirst, source.delaySeconds > 0 { Thread.sleep(forTimeInterval: source.delaySeconds) }
            isFirst = false
            guard waitForRoom(below: window) else { return }
            do {
                state.withLock { $0.unanswered += 1 }
                let token = try connection.publish(
                    topic: topic,
                    payload: payload,
                    qos: qos,
                    retain: retain,
                    properties: properties
                )
                log.debug("Client sent PUBLISH \(token) (q\(qos), r\(retain ? 1 : 0), \(payload.count) bytes)")
            } catch {
                log.error(error.description)
                end(ClientExitCode.of(error))
                connection.disconnect()
                return
            }
        }
        guard waitForRoom(below: 1) else { return }
        connection.disconnect()
    }

    /// Waits until fewer than `count` messages are unanswered; false if it is over.
    private func waitForRoom(below count: Int) -> Bool {
        while true {
            let (isOver, unanswered) = state.withLock { ($0.isOver, $0.unanswered) }
            if isOver { return false }
            if unanswered < count { return true }
            answers.wait()
        }
    }

    private func end(_ code: Int32) {
        state.withLock { state in
            state.isOver = true
            state.connection = nil
        }
        answers.signal()
        outcome.end(code)
    }
}
