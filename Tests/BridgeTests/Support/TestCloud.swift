import Foundation
import MosquittoClient
import MosquittoFixture
import Synchronization

/// The least of an aggregator: it keeps what arrives, by sequence, and can publish watermarks.
final class TestCloud: Sendable {
    struct Content {
        var stored: [UInt64: (topic: String, payload: [UInt8])] = [:]
        var duplicates = 0
        var stamps: [BridgeStamp] = []
        var epoch: UInt64 = 0
        var isReady = false
        var outOfOrder = 0
        var last: UInt64 = 0
    }

    let content = Mutex(Content())
    private let connection: Mutex<MosquittoConnection?>
    let aggregator: String

    init(
        port: UInt16,
        aggregator: String = "A",
        commits: Bool,
        site: String = "s1",
        filter: String = "up/#",
        stored: [UInt64: (topic: String, payload: [UInt8])] = [:]
    ) throws {
        self.aggregator = aggregator
        content.withLock { $0.stored = stored }
        connection = Mutex(nil)
        var configuration = MosquittoConfiguration(
            host: "127.0.0.1",
            port: port,
            clientID: "cloud-\(aggregator)"
        )
        configuration.keepAliveSeconds = 10
        let made = try MosquittoConnection(configuration: configuration) { [weak self] event in
            self?.take(event, commits: commits, site: site, filter: filter)
        }
        connection.withLock { $0 = made }
        try made.start()
        try eventually("the cloud is subscribed") { self.content.withLock { $0.isReady } }
        // The announcement of a new life.
        if commits { commit(site: site, epoch: content.withLock { $0.epoch }) }
    }

    func stop() { connection.withLock { $0 }?.stop() }

    var stored: [UInt64: (topic: String, payload: [UInt8])] { content.withLock { $0.stored } }

    /// Everything from 1 to this is there.
    var watermark: UInt64 {
        content.withLock { content in
            var sequence: UInt64 = 0
            while content.stored[sequence + 1] != nil { sequence += 1 }
            return sequence
        }
    }

    func commit(site: String, epoch: UInt64, sequence: UInt64? = nil) {
        let commit = BridgeCommit(epoch: epoch, sequence: sequence ?? watermark, aggregator: aggregator)
        _ = try? connection.withLock { $0 }?.publish(
            topic: BridgeCommit.topic(site: site),
            payload: commit.encode(),
            qos: 1
        )
    }

    private func take(_ event: MosquittoEvent, commits: Bool, site: String, filter: String) {
        switch event {
        case .connected: _ = try? connection.withLock { $0 }?.subscribe([filter], qos: 1)
        case .subscribed: content.withLock { $0.isReady = true }
        case .message(let message):
            let stamp: BridgeStamp
            var payload = message.payload
            if let envelope = BridgeEnvelope(decoding: message.payload) {
                stamp = envelope.stamp
                payload = envelope.payload
            } else if let properties = BridgeStamp(userProperties: message.userProperties) {
                stamp = properties
            } else {
                return
            }
            content.withLock { content in
                content.epoch = stamp.epoch
                content.stamps.append(stamp)
                if content.stored[stamp.sequence] != nil { content.duplicates += 1 }
                content.stored[stamp.sequence] = (message.topic, payload)
                if stamp.className == BridgeStamp.gapClass, let gap = BridgeGap(decoding: payload),
                    gap.from > 0
                {
                    for missing in gap.from...gap.to where content.stored[missing] == nil {
                        content.stored[missing] = (message.topic, payload)
                    }
                }
            }
            if commits { commit(site: site, epoch: stamp.epoch) }
        default: break
        }
    }
}
