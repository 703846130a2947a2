import Broker
import Foundation
import MQTT
import NIOCore
import Synchronization

@testable import Bridge

/// A main journal in memory: one message a record unless told otherwise.
final class MemorySource: BridgeSource {
    private let records = Mutex<[[JournaledMessage]]>([])

    var firstRecord: UInt64 { 1 }
    var committedRecord: UInt64 { records.withLock { UInt64($0.count) } }

    /// Adds one record with these messages.
    func append(
        _ messages: [(topic: String, payload: [UInt8])],
        origin: MessageOrigin = .client,
        publisher: String = "device"
    ) {
        records.withLock { records in
            let sequence = UInt64(records.count) + 1
            records.append(
                messages.enumerated().map { index, message in
                    JournaledMessage(
                        reference: MessageReference(record: sequence, index: UInt16(index)),
                        topic: TopicName(uncheckedBytes: ByteBuffer(string: message.topic)),
                        payload: ByteBuffer(bytes: message.payload),
                        qos: .atLeastOnce,
                        retain: false,
                        properties: [],
                        receivedMilliseconds: 1_700_000_000_000,
                        origin: origin,
                        publisher: publisher
                    )
                }
            )
        }
    }

    /// Adds one record with one message.
    func append(
        _ topic: String,
        _ text: String,
        origin: MessageOrigin = .client,
        publisher: String = "device"
    ) {
        append([(topic, Array(text.utf8))], origin: origin, publisher: publisher)
    }

    func read(
        from record: UInt64,
        bytesMax: Int,
        _ body: (_ record: UInt64, _ messages: [JournaledMessage]) -> Bool
    ) throws(BridgeError) -> (next: UInt64, lost: UInt64) {
        let all = records.withLock { $0 }
        var next = max(1, record)
        var budget = bytesMax
        while next <= UInt64(all.count), budget > 0 {
            let messages = all[Int(next) - 1]
            budget -= messages.reduce(64) { $0 + $1.payload.readableBytes }
            next += 1
            if !body(next - 1, messages) { break }
        }
        return (next, 0)
    }
}

/// Collects what a bridge reports.
final class ReportLog: Sendable {
    private let lines = Mutex<[BridgeReport]>([])
    func append(_ report: BridgeReport) { lines.withLock { $0.append(report) } }
    var all: [BridgeReport] { lines.withLock { $0 } }
}
