import Foundation
import MosquittoClient
import MosquittoFixture

/// Collects a connection's events, for tests that wait for one.
final class EventLog: @unchecked Sendable {
    // SAFETY: everything under the condition's lock.
    private let condition = NSCondition()
    private var events: [MosquittoEvent] = []

    func append(_ event: MosquittoEvent) {
        condition.lock()
        events.append(event)
        condition.broadcast()
        condition.unlock()
    }

    var all: [MosquittoEvent] {
        condition.lock()
        defer { condition.unlock() }
        return events
    }

    /// The first event that `pick` takes, waiting for it.
    func wait<Value>(_ what: String, seconds: Double = 15, _ pick: (MosquittoEvent) -> Value?) throws -> Value {
        let deadline = Date().addingTimeInterval(seconds)
        condition.lock()
        defer { condition.unlock() }
        while true {
            for event in events {
                if let value = pick(event) { return value }
            }
            guard condition.wait(until: deadline) else {
                throw DeadlinePassed(description: "\(what); events were \(events)")
            }
        }
    }

    func connected() throws -> MosquittoServer {
        try wait("connected") { if case .connected(let server) = $0 { server } else { nil } }
    }

    func connectFailed() throws -> MosquittoError {
        try wait("connectFailed") { if case .connectFailed(let error) = $0 { error } else { nil } }
    }

    func disconnected() throws -> MosquittoError? {
        try wait("disconnected") { event -> MosquittoError?? in
            if case .disconnected(let error) = event { .some(error) } else { nil }
        }
    }

    func published(_ token: MosquittoToken) throws -> UInt8 {
        try wait("published") { if case .published(token, let reason) = $0 { reason } else { nil } }
    }

    var messages: [MosquittoMessage] {
        all.compactMap { if case .message(let message) = $0 { message } else { nil } }
    }
}

extension MosquittoConnection {
    /// Starts a connection whose events go to a log.
    static func started(
        _ configuration: MosquittoConfiguration,
        gate: AcknowledgeGate? = nil
    ) throws -> (MosquittoConnection, EventLog) {
        let log = EventLog()
        let connection = try MosquittoConnection(configuration: configuration, beforeAcknowledging: gate) {
            log.append($0)
        }
        try connection.start()
        return (connection, log)
    }
}

extension MosquittoConfiguration {
    static func loopback(_ port: UInt16, _ id: String = "test", host: String = "127.0.0.1") -> MosquittoConfiguration {
        MosquittoConfiguration(host: host, port: port, clientID: id)
    }
}
