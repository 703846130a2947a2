import Broker
import Foundation
import Journal
import MQTT
import MosquittoFixture
import NIOCore
import Testing

@testable import Bridge

private struct Everyone: Authorizer {
    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
    func allowsEverything(_ identity: Identity) -> Bool { true }
}

@Suite("The main journal as a bridge's source")
struct JournalSourceTests {
    @Test("gives what the core journalled for the bridge, from any position")
    func core() throws {
        try withTemporaryFolder { folder in
            let (journal, _) = try Journal.open(.init(directory: folder.path + "/journal")) { _ in }
            let core = BrokerCore(authorizer: Everyone())
            core.addDurableReader(name: "cloud", filters: [try TopicFilter("a/#")])
            var effects = Effects()
            for number in 0..<300 {
                let wanted = number % 3 == 0
                _ = core.publish(
                    topic: TopicName(
                        uncheckedBytes: ByteBuffer(string: wanted ? "a/\(number)" : "b/\(number)")
                    ),
                    payload: ByteBuffer(string: "\(number)"),
                    qos: .atMostOnce,
                    retain: false,
                    origin: .client,
                    publisher: "device",
                    now: BrokerTime(monotonicNanoseconds: 1, wallMilliseconds: 42),
                    effects: &effects
                )
                guard !effects.journal.isEmpty else { continue }
                journal.append(
                    firstSequence: effects.journal.firstSequence,
                    bytes: effects.journal.bytes,
                    ends: effects.journal.ends
                )
                effects.removeAll()
            }
            let last = journal.nextSequence - 1
            try eventually("committed") { journal.committedSequence == last }
            let source = JournalSource(journal)
            for start in [UInt64(1), last / 2] {
                var topics: [String] = []
                var next = start
                while next <= last {
                    let (following, lost) = try source.read(from: next, bytesMax: 500) { _, messages in
                        topics += messages.map(\.topic.string)
                        return true
                    }
                    #expect(lost == 0)
                    try #require(following > next)
                    next = following
                }
                #expect(topics == (Int(start) - 1..<100).map { "a/\($0 * 3)" })
            }
            journal.close()
        }
    }
}
