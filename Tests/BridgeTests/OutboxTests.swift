import Broker
import Foundation
import MosquittoClient
import MosquittoFixture
import Testing

@testable import Bridge

private func record(_ number: UInt64, bytes: Int = 10) -> OutboxRecord {
    OutboxRecord(
        source: MessageReference(record: number, index: 0),
        topic: "t/\(number)",
        payload: [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: bytes),
        receivedMilliseconds: 1,
        queuedMilliseconds: 2
    )
}

private func settings(_ folder: URL, bytesMax: Int = 1 << 30) -> BridgeSettings {
    var settings = BridgeSettings(
        name: "cloud",
        host: "h",
        port: 1,
        site: "s",
        outboxDirectory: folder.path + "/outbox/cloud"
    )
    settings.outboxBytesMax = bytesMax
    return settings
}

@Suite("The outbox")
struct OutboxTests {
    private func waitForCommit(_ outbox: Outbox, _ sequence: UInt64) throws {
        try eventually("committed") { outbox.committed >= sequence }
        outbox.noteCommits()
    }

    @Test("keeps records with all their fields, and refuses what it does not know")
    func format() {
        var full = record(7)
        full.kind = .gap
        full.trafficClass = .alarm
        full.retain = true
        full.contentType = "application/json"
        full.expirySeconds = 60
        full.userProperties = [.init("a", "b"), .init("", "ø")]
        for original in [full, record(1), record(2, bytes: 0)] {
            var bytes: [UInt8] = []
            original.encode(into: &bytes)
            #expect(bytes.withUnsafeBytes { OutboxRecord(decoding: $0) } == original)
            // Cut anywhere, it is refused or (within the payload) shorter, and never traps.
            for length in bytes.indices {
                let cut = bytes.prefix(length).withUnsafeBytes { OutboxRecord(decoding: $0) }
                #expect(cut == nil || cut?.topic == original.topic)
            }
        }
        #expect([UInt8](repeating: 9, count: 100).withUnsafeBytes { OutboxRecord(decoding: $0) } == nil)
    }

    @Test("the state file notices every changed byte")
    func stateFile() {
        var state = OutboxState(epoch: 1_700_000_000)
        state.confirmed = 5
        state.used = 9
        state.source = MessageReference(record: 77, index: 3)
        let bytes = state.encode()
        #expect(OutboxState(decoding: bytes) == state)
        for index in bytes.indices.dropLast() {
            var damaged = bytes
            damaged[index] ^= 1
            #expect(OutboxState(decoding: damaged) != state || damaged == bytes, "byte \(index)")
        }
        #expect(OutboxState(decoding: []) == nil)
    }

    @Test("goes on behind its last record after a crash, under the same epoch")
    func recovery() throws {
        try withTemporaryFolder { folder in
            var epoch: UInt64 = 0
            do {
                let outbox = try Outbox(settings(folder), wake: WaitableFlag())
                epoch = outbox.epoch
                outbox.append((1...10).map { record($0 * 3) })
                try waitForCommit(outbox, 10)
                #expect(outbox.durableSource == MessageReference(record: 30, index: 0))
                outbox.confirm(through: 4)
                try outbox.save(force: true)
                outbox.append([record(99)])
                try waitForCommit(outbox, 11)
                outbox.close()
            }
            let outbox = try Outbox(settings(folder), wake: WaitableFlag())
            #expect(outbox.epoch == epoch && outbox.confirmed == 4 && outbox.nextSequence == 12)
            #expect(outbox.source == MessageReference(record: 99, index: 0))
            #expect(!outbox.wasRenewed)
            let read = try outbox.read(from: 5, bytesMax: 1 << 20)
            #expect(read.map(\.sequence) == Array(5...11))
            outbox.close()
        }
    }

    @Test("a lost journal begins a new, higher epoch instead of using sequences twice")
    func renewal() throws {
        try withTemporaryFolder { folder in
            let first = try Outbox(settings(folder), wake: WaitableFlag())
            let epoch = first.epoch
            first.append([record(1), record(2)])
            try waitForCommit(first, 2)
            try first.save(force: true)
            first.close()
            try FileManager.default.removeItem(atPath: settings(folder).outboxDirectory + "/journal")
            let second = try Outbox(settings(folder), wake: WaitableFlag())
            #expect(second.wasRenewed && second.epoch > epoch && second.confirmed == 0)
            second.close()
        }
    }

    @Test("drops the oldest when it is full, and keeps order")
    func full() throws {
        try withTemporaryFolder { folder in
            let outbox = try Outbox(settings(folder, bytesMax: 1 << 20), wake: WaitableFlag())
            for number in UInt64(1)...60 {
                outbox.append([record(number, bytes: 30_000)])
                try waitForCommit(outbox, number)
            }
            #expect(outbox.isFull)
            let dropped = outbox.dropOldest()
            #expect(dropped > 0 && !outbox.isFull)
            #expect(outbox.firstSequence == dropped + 1)
            #expect(try outbox.read(from: 1, bytesMax: 1).first?.sequence == dropped + 1)
            outbox.close()
        }
    }

    @Test("the ledger's bytes go to nothing as everything is cut")
    func ledger() {
        var ledger = SizeLedger()
        var sequence: UInt64 = 0
        for size in [100, 70_000, 5, 300, 90_000] {
            sequence += 10
            ledger.append(through: sequence, bytes: size, count: 10, milliseconds: 1)
        }
        let all = ledger.bytes
        ledger.cut(through: 25)
        #expect(ledger.bytes < all && ledger.bytes > 0)
        ledger.cut(through: 50)
        #expect(ledger.bytes == 0 && ledger.oldestMilliseconds == nil)
    }
}

@Suite("The lane")
struct LaneTests {
    private func lane(
        _ folder: URL,
        _ source: MemorySource,
        _ change: (inout BridgeSettings) -> Void = { _ in }
    ) throws -> (Lane, Outbox) {
        var settings = settings(folder)
        settings.routes = [
            RouteRule(pattern: "alarm/#", trafficClass: .alarm),
            RouteRule(pattern: "sale/+", trafficClass: .transaction, redactions: ["card": .drop]),
        ]
        change(&settings)
        let outbox = try Outbox(settings, wake: WaitableFlag())
        return (Lane(settings: settings, table: try RouteTable(settings), source: source), outbox)
    }

    private func drain(_ lane: inout Lane, _ outbox: Outbox) throws -> [OutboxRecord] {
        while try lane.pull(into: outbox, wallMilliseconds: 5) {}
        try eventually("committed") { outbox.committed + 1 == outbox.nextSequence }
        outbox.noteCommits()
        return try outbox.read(from: 1, bytesMax: 1 << 20).map(\.record)
    }

    @Test(
        "takes what matches once, whatever is pulled how often, and skips what came down the same bridge"
    )
    func takes() throws {
        try withTemporaryFolder { folder in
            let source = MemorySource()
            source.append("alarm/1", "a")
            source.append("other", "b")
            source.append([("alarm/2", [1]), ("nothing", [2]), ("alarm/3", [3])])
            source.append("alarm/4", "d", origin: .bridge, publisher: "cloud")
            source.append("alarm/5", "e", origin: .bridge, publisher: "another")
            var (lane, outbox) = try lane(folder, source)
            var records = try drain(&lane, outbox)
            #expect(records.map(\.topic).map { $0.suffix(1) } == ["1", "2", "3", "5"])
            source.append("alarm/6", "f")
            records = try drain(&lane, outbox)
            #expect(records.count == 5)
            #expect(outbox.durableSource == MessageReference(record: 6, index: .max))
            outbox.close()
            // A new process goes on where the records end.
            let (next, again) = try self.lane(folder, source)
            var later = next
            #expect(try drain(&later, again).count == 5)
            again.close()
        }
    }

    @Test("what cannot be redacted never reaches the disk and leaves a gap record")
    func redaction() throws {
        try withTemporaryFolder { folder in
            let source = MemorySource()
            source.append("sale/1", #"{"card":"CANARY","sum":10}"#)
            source.append("sale/2", "CANARY no json")
            source.append("sale/3", "\"CANARY\"")
            var (lane, outbox) = try lane(folder, source)
            let records = try drain(&lane, outbox)
            #expect(records.count == 2)
            #expect(records[0].payload == Array(#"{"sum":10}"#.utf8))
            #expect(records[1].kind == .gap && records[1].topic.hasSuffix("/_gap"))
            #expect(
                BridgeGap(decoding: records[1].payload)
                    == BridgeGap(from: 0, to: 0, count: 2, reason: "redaction")
            )
            #expect(lane.dropped == ["redaction": 2])
            outbox.close()
            for file in try FileManager.default.subpathsOfDirectory(atPath: folder.path) {
                let data = FileManager.default.contents(atPath: folder.path + "/" + file) ?? Data()
                #expect(data.range(of: Data("CANARY".utf8)) == nil, "\(file)")
            }
        }
    }

    @Test(
        "a topic that may not travel leaves a gap record; a full outbox takes nothing new if told so"
    )
    func otherDrops() throws {
        try withTemporaryFolder { folder in
            let source = MemorySource()
            source.append("alarm/1/2/3/4/5/6/7/8", "deep")
            for _ in 0..<40 { source.append([("alarm/1", [UInt8](repeating: 1, count: 4_000))]) }
            var (lane, outbox) = try lane(folder, source) {
                $0.outboxBytesMax = 64 * 1024
                $0.overflow = .dropNewest
            }
            _ = try lane.pull(into: outbox, wallMilliseconds: 5)
            for _ in 0..<40 { source.append([("alarm/1", [UInt8](repeating: 1, count: 4_000))]) }
            let records = try drain(&lane, outbox)
            #expect(lane.dropped["topic"] == 1)
            #expect((lane.dropped["queue_full"] ?? 0) > 0)
            #expect(records.contains { $0.kind == .gap })
            outbox.confirm(through: outbox.committed)
            source.append("alarm/1", "room again")
            let later = try drain(&lane, outbox)
            let gaps = later.filter { $0.kind == .gap }.compactMap { BridgeGap(decoding: $0.payload) }
            #expect(
                gaps.reduce(0) { $0 + ($1.reason == "queue_full" ? $1.count : 0) }
                    == lane.dropped["queue_full"]
            )
            outbox.close()
        }
    }
}
