import Broker
import Dispatch
import Foundation
import Journal
import MQTT
import MosquittoClient
import NIOCore
import SiteServer
import Synchronization

/// Brings what comes from an attached site broker into the core, and tells that broker only after it is on disk.
///
/// ``take(_:)`` and ``commit()`` are called on the connection's own thread, which may block.
final class AttachedIngest: Sendable {
    /// How long a batch may take to be on disk. Beyond, it is not acknowledged, and the broker sends it again.
    private static let commitSecondsMax = 30.0

    private struct State {
        var server: SiteServer?
        var batch: [MosquittoMessage] = []
        var committed: UInt64
    }

    private let state: Mutex<State>
    private let condition = NSCondition()

    init(journal: Journal) { state = Mutex(State(committed: journal.committedSequence)) }

    func open(_ server: SiteServer) { state.withLock { $0.server = server } }

    /// From here on nothing is taken, and nothing is acknowledged.
    func close() {
        state.withLock { $0.server = nil }
        wake()
    }

    func committed(through sequence: UInt64) {
        state.withLock { $0.committed = max($0.committed, sequence) }
        wake()
    }

    func take(_ message: MosquittoMessage) { state.withLock { $0.batch.append(message) } }

    /// Ingests the batch as one turn of the core and waits for the disk.
    func commit() -> Bool {
        let (server, batch) = state.withLock { state in
            defer { state.batch = [] }
            return (state.server, state.batch)
        }
        guard !batch.isEmpty else { return true }
        guard let server else { return false }
        let answer = Answer()
        // Unstructured: this thread is no task. It waits for the answer below.
        Task {
            let sequence = try? await server.withCore { core, now, effects -> UInt64? in
                var last: UInt64 = 0
                for message in batch {
                    guard let sequence = Self.publish(message, core, now, &effects) else { return nil }
                    last = max(last, sequence)
                }
                return last
            }
            answer.give(sequence ?? nil)
        }
        guard let sequence = answer.wait() else { return false }
        return waitUntilCommitted(sequence)
    }

    private static func publish(
        _ message: MosquittoMessage,
        _ core: BrokerCore,
        _ now: BrokerTime,
        _ effects: inout Effects
    ) -> UInt64? {
        // The site broker has checked the name already; what it should not have let through is not ours to spread.
        guard let topic = try? TopicName(validating: message.topic) else { return 0 }
        var properties: Properties = []
        if let seconds = message.messageExpirySeconds { properties.values.append(.messageExpiryInterval(seconds)) }
        if let type = message.contentType { properties.values.append(.contentType(type)) }
        for property in message.userProperties {
            properties.values.append(.userProperty(name: property.name, value: property.value))
        }
        return core.publish(
            topic: topic,
            payload: ByteBuffer(bytes: message.payload),
            qos: QoS(rawValue: message.qos) ?? .atLeastOnce,
            // The attached broker keeps what is retained; here it is a message like any other.
            retain: false,
            properties: properties,
            origin: .bridge,
            publisher: "site_broker",
            now: now,
            effects: &effects
        )
    }

    private func waitUntilCommitted(_ sequence: UInt64) -> Bool {
        let deadline = Date(timeIntervalSinceNow: Self.commitSecondsMax)
        condition.lock()
        defer { condition.unlock() }
        while state.withLock({ $0.committed < sequence && $0.server != nil }) {
            guard condition.wait(until: deadline) else { break }
        }
        return state.withLock { $0.committed >= sequence }
    }

    private func wake() {
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }

    private final class Answer: Sendable {
        private let value = Mutex<UInt64?>(nil)
        private let semaphore = DispatchSemaphore(value: 0)

        func give(_ sequence: UInt64?) {
            value.withLock { $0 = sequence }
            semaphore.signal()
        }

        func wait() -> UInt64? {
            semaphore.wait()
            return value.withLock { $0 }
        }
    }
}
