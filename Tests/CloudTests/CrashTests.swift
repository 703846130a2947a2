import Foundation
import Repeatable
import Testing

@testable import Cloud

/// Fails or "dies" at chosen calls, before or after doing what was asked.
private final class FaultyStore: Store {
    enum Fault: CaseIterable {
        /// The call fails and did nothing.
        case failsBefore
        /// The call fails although it did everything.
        case failsAfter
    }

    private let store: SQLiteStore
    private var calls = 0
    private let faults: [Int: Fault]

    init(_ store: SQLiteStore, faults: [Int: Fault]) {
        self.store = store
        self.faults = faults
    }

    func load() throws(StoreError) -> LoadedStore {
        try around { () throws(StoreError) in try store.load() }
    }

    func commit(_ batch: IngestBatch) throws(StoreError) {
        try around { () throws(StoreError) in try store.commit(batch) }
    }

    func close() { store.close() }

    private func around<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
        calls += 1
        let fault = faults[calls]
        if fault == .failsBefore { throw StoreError(code: .disk, message: "injected") }
        let value = try body()
        if fault == .failsAfter { throw StoreError(code: .disk, message: "injected") }
        return value
    }
}

@Suite struct CrashTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static let sent: [IngestMessage] =
        (1...60).map { message($0, topic: "t/\($0 % 4)", payload: "{\"value\":\($0)}") }
        + [message(61, topic: "_gap", drop: PolicyDrop(range: 62...64, reason: "expired"))]
        + (65...80).map { message($0, payload: "{\"value\":\($0)}") }

    /// What must be there in the end, whatever happened on the way.
    private func expectAll(in store: SQLiteStore, _ comment: Comment) throws {
        let cursor = try #require(try store.load().cursors.first)
        #expect(cursor.watermark == 80 && cursor.stored == 77 && cursor.dropped == 3, comment)
        #expect(try store.countRows(site: "store-1") == RowCount(rows: 77, distinct: 77), comment)
        let rollups = try store.rollups(sinceMilliseconds: 0, limit: 100).map(\.rollup)
        #expect(rollups.reduce(0) { $0 + $1.count } == 76, comment)
        let sum = (1...60).reduce(0, +) + (65...80).reduce(0, +)
        #expect(rollups.reduce(0) { $0 + $1.sum } == Double(sum), comment)
    }

    @Test func `a store that fails at any call, before or after doing its work, loses and doubles nothing`() throws {
        for call in 1...20 {
            for fault in FaultyStore.Fault.allCases {
                let path = folder.file("fault-\(call)-\(fault).db")
                let store = FaultyStore(SQLiteStore(path: path), faults: [call: fault])
                var pump = CommitPump(store: store, configuration: AggregatorConfiguration())
                for start in stride(from: 0, to: Self.sent.count, by: 7) {
                    let messages = Array(Self.sent[start..<min(start + 7, Self.sent.count)])
                    var attempts = 0
                    while attempts < 5 {
                        attempts += 1
                        if (try? pump.commit(messages, milliseconds: noon)) != nil { break }
                    }
                    #expect(attempts <= 2)
                }
                #expect(pump.state.cursors["store-1"]?.duplicates == 0, "a retry is not a duplicate of the site's")
                pump.close()
                try expectAll(in: SQLiteStore(path: path), "call \(call) \(fault)")
            }
        }
    }

    @Test func `killed between any two steps and sent again from the watermark, nothing is lost or doubled`() throws {
        var random = SeededRandom(seed: runSeed)
        for round in 0..<40 {
            let path = folder.file("kill-\(round).db")
            var watermark: UInt64 = 0
            var lives = 0
            while watermark < 80 {
                lives += 1
                try #require(lives < 200)
                let call = Int.random(in: 1...6, using: &random)
                let fault = FaultyStore.Fault.allCases.randomElement(using: &random) ?? .failsBefore
                // After a few lives it may live to the end.
                let faults = lives > 30 ? [:] : [call: fault]
                var pump = CommitPump(
                    store: FaultyStore(SQLiteStore(path: path), faults: faults),
                    configuration: AggregatorConfiguration()
                )
                // The site sends again what it was not told is stored, with some disorder, as links do.
                var left = Self.sent.filter { $0.sequence > watermark }
                for index in left.indices.dropFirst() where Int.random(in: 0...5, using: &random) == 0 {
                    left.swapAt(index, index - 1)
                }
                while !left.isEmpty {
                    let count = min(left.count, Int.random(in: 1...25, using: &random))
                    guard (try? pump.commit(Array(left.prefix(count)), milliseconds: noon)) != nil else { break }
                    left.removeFirst(count)
                    // The commit notice may be lost too.
                    let told = pump.state.cursors["store-1"]?.watermark ?? 0
                    #expect(told >= watermark, "seed \(runSeed)")
                    if Bool.random(using: &random) { watermark = told }
                }
                if left.isEmpty { watermark = pump.state.cursors["store-1"]?.watermark ?? 0 }
            }
            try expectAll(in: SQLiteStore(path: path), "round \(round), seed \(runSeed)")
        }
    }

    @Test func `a write-ahead log cut at any byte leaves a whole prefix of the batches`() throws {
        var random = SeededRandom(seed: runSeed)
        let path = folder.file("cut.db")
        let store = SQLiteStore(path: path)
        var pump = CommitPump(store: store, configuration: AggregatorConfiguration())
        var watermarks: Set<UInt64> = [0]
        for start in stride(from: 0, to: Self.sent.count, by: 7) {
            let messages = Array(Self.sent[start..<min(start + 7, Self.sent.count)])
            _ = try pump.commit(messages, milliseconds: noon)
            watermarks.insert(pump.state.cursors["store-1"]?.watermark ?? 0)
        }
        let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
        try #require(log.count > 10_000)
        for cut in 0..<60 {
            let copy = folder.file("cut-\(cut).db")
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            let length = Int.random(in: 0...log.count, using: &random)
            try log.prefix(length).write(to: URL(fileURLWithPath: copy + "-wal"))
            let comment: Comment = "cut at \(length), seed \(runSeed)"
            let cursors = try SQLiteStore(path: copy).load().cursors
            let watermark = cursors.first?.watermark ?? 0
            #expect(watermarks.contains(watermark), comment)
            let torn = SQLiteStore(path: copy)
            #expect(try torn.countRows(site: "store-1").rows == cursors.first?.stored ?? 0, comment)
            let rolledUp = try torn.rollups(sinceMilliseconds: 0, limit: 100).reduce(0) { $0 + $1.rollup.count }
            #expect(rolledUp == UInt64(Self.sent.filter { $0.sequence <= watermark && $0.drop == nil }.count), comment)
            torn.close()
            var again = CommitPump(store: SQLiteStore(path: copy), configuration: AggregatorConfiguration())
            _ = try again.commit(Self.sent.filter { $0.sequence > watermark }, milliseconds: noon)
            again.close()
            try expectAll(in: SQLiteStore(path: copy), comment)
        }
    }
}
