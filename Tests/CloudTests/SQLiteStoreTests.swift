import Foundation
import GRDB
import Repeatable
import Testing

@testable import Cloud

@Suite struct SQLiteStoreTests {
    private let folder: TemporaryFolder
    private var path: String { folder.file("cloud.db") }

    init() throws { folder = try TemporaryFolder() }

    /// Commits messages in batches, as a fresh aggregator would, and returns the state after it.
    @discardableResult
    private func commit(_ batches: [[IngestMessage]], to store: SQLiteStore) throws -> IngestState {
        let loaded = try store.load()
        var state = IngestState(cursors: loaded.cursors, streams: loaded.streams)
        for (index, messages) in batches.enumerated() {
            let batch = state.makeBatch(of: messages, milliseconds: noon + Int64(index))
            try store.commit(batch)
            state.adopt(batch)
        }
        return state
    }

    @Test func `what is committed is there after opening again`() throws {
        let store = SQLiteStore(path: path)
        let state = try commit(
            [
                [message(1), message(2), message(5)], [message(3), message(5)], [message(1, site: "b", topic: "x/y/z")],
            ],
            to: store
        )
        store.close()
        let again = SQLiteStore(path: path)
        let loaded = try again.load()
        #expect(IngestState(cursors: loaded.cursors, streams: loaded.streams).cursors == state.cursors)
        #expect(Set(loaded.streams.map(\.name)) == ["sales/1", "x/y"])
        #expect(try again.countRows(site: "store-1") == RowCount(rows: 4, distinct: 4))
        #expect(try again.gaps(site: "store-1", epoch: 1, limit: 10).map(\.range) == [3...3, 4...4])
        #expect(try again.gaps(site: "store-1", epoch: 1, limit: 10).map(\.state) == [.filled, .missing])
    }

    @Test func `rows hold what was sent, empty payloads and all bytes included`() throws {
        let store = SQLiteStore(path: path)
        var odd = message(2)
        odd.payload = Array(0...255)
        try commit([[message(1, payload: ""), odd]], to: store)
        let rows = try DatabaseQueue(path: path).read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM messages ORDER BY seq")
        }
        #expect(rows.map { $0["payload"] as Data } == [Data(), Data(0...255)])
        #expect(rows.first?["topic"] == "sales/1" && rows.first?["class"] == "telemetry")
        #expect(rows.first?["event_ms"] == noon && rows.first?["received_ms"] == noon + 1_000)
    }

    @Test func `a batch that does not follow the stored cursor is refused whole`() throws {
        let store = SQLiteStore(path: path)
        let state = try commit([[message(1)]], to: store)
        let mine = state.makeBatch(of: [message(2)], milliseconds: noon)
        let other = SQLiteStore(path: path)
        try commit([[message(2), message(3)]], to: other)
        #expect {
            try store.commit(mine)
        } throws: { error in
            (error as? StoreError)?.code == .conflict
        }
        #expect(try store.countRows(site: "store-1").rows == 3)
        #expect(try store.rollups(sinceMilliseconds: 0, limit: 9).first?.rollup.count == 3)
    }

    @Test func `a long gap that fills in batches stays one row and keeps when it was first missed`() throws {
        let store = SQLiteStore(path: path)
        let filling = stride(from: 2, through: 49, by: 4).map { first in
            (UInt64(first)..<UInt64(min(50, first + 4))).map { message($0) }
        }
        try commit([[message(1), message(50)]] + filling, to: store)
        let gaps = try store.gaps(site: "store-1", epoch: 1, limit: 100)
        #expect(gaps.map(\.range) == [2...49])
        #expect(gaps.first?.state == .filled)
        #expect(gaps.first?.seenMilliseconds == noon)
        #expect(gaps.first?.closedMilliseconds == noon + Int64(filling.count))
    }

    @Test func `the history of filled gaps is bounded`() throws {
        let store = SQLiteStore(path: path)
        let count = UInt64(GapLedger.filledRowsMax + 50)
        // Every second number comes late: as many gaps as numbers, never adjacent.
        let loaded = try store.load()
        var state = IngestState(cursors: loaded.cursors, missingRangesMax: 10_000)
        for messages in [(1...count).map { message($0 * 2) }, (1...count).map { message($0 * 2 - 1) }] {
            let batch = state.makeBatch(of: messages, milliseconds: noon)
            try store.commit(batch)
            state.adopt(batch)
        }
        let gaps = try store.gaps(site: "store-1", epoch: 1, limit: 10_000)
        #expect(gaps.count == GapLedger.filledRowsMax)
        #expect(gaps.last?.range == (count * 2 - 1)...(count * 2 - 1))
        #expect(state.cursors["store-1"]?.watermark == count * 2)
    }

    @Test func `dropped numbers and unnumbered drops add up by reason`() throws {
        let store = SQLiteStore(path: path)
        let drops = [
            message(10, drop: PolicyDrop(range: 2...4, reason: "expired")),
            message(11, drop: PolicyDrop(range: 5...6, reason: "expired")),
            message(12, drop: PolicyDrop(range: 8...8, reason: "poison")),
            message(13, drop: PolicyDrop(range: nil, unnumbered: 7, reason: "expired")),
        ]
        try commit([[message(1)]] + drops.map { [$0] }, to: store)
        #expect(try store.droppedByReason(site: "store-1", epoch: 1) == ["expired": 12, "poison": 1])
        let gaps = try store.gaps(site: "store-1", epoch: 1, limit: 10)
        #expect(gaps.map(\.range) == [2...6, 7...7, 8...8, 9...9])
        #expect(gaps.map(\.state) == [.dropped, .missing, .dropped, .missing])
    }

    @Test func `random streams leave rows, cursors, gaps and roll-ups that agree`() throws {
        var random = SeededRandom(seed: runSeed)
        let store = SQLiteStore(path: path)
        var sent: [IngestMessage] = []
        var batches: [[IngestMessage]] = []
        for _ in 0..<60 {
            batches.append(
                (0..<Int.random(in: 0...20, using: &random)).map { _ in
                    let number = UInt64.random(in: 1...150, using: &random)
                    return message(
                        number,
                        site: Bool.random(using: &random) ? "a" : "b",
                        topic: "t/\(number % 3)",
                        payload: "{\"value\":\(number)}",
                        event: noon - Int64(number % 5) * 3_600_000
                    )
                }
            )
            sent += batches.last ?? []
        }
        let state = try commit(batches, to: store)
        let unique = Set(sent.map { "\($0.site) \($0.sequence)" })
        for site in ["a", "b"] {
            let own = Set(sent.filter { $0.site == site }.map(\.sequence))
            let cursor = try #require(state.cursors[site])
            #expect(try store.countRows(site: site).rows == UInt64(own.count))
            #expect(cursor.stored == UInt64(own.count))
            #expect(cursor.missing.memberCount == (own.max() ?? 0) - UInt64(own.count))
            let missing = try store.gaps(site: site, epoch: 1, limit: 1_000).filter { $0.state == .missing }
            #expect(missing.map(\.range) == cursor.missing.ranges, "seed \(runSeed)")
        }
        let rollups = try store.rollups(sinceMilliseconds: 0, limit: 1_000)
        #expect(rollups.reduce(0) { $0 + $1.rollup.count } == UInt64(unique.count))
        let values = Dictionary(sent.map { ("\($0.site) \($0.sequence)", Double($0.sequence)) }) { first, _ in first }
        #expect(rollups.reduce(0) { $0 + $1.rollup.sum } == values.values.reduce(0, +))
        #expect(try store.load().cursors.count == 2, "the stored watermarks agree with the gaps")
    }

    // MARK: - Bad files

    @Test func `a file that is no database is refused with its reason and left alone`() throws {
        try Data("this is no database, this is a letter to somebody".utf8).write(to: URL(fileURLWithPath: path))
        #expect {
            _ = try SQLiteStore(path: path).load()
        } throws: { error in
            (error as? StoreError)?.code == .corrupt
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8).hasPrefix("this is no database"))
    }

    @Test func `a file of a newer version is refused`() throws {
        _ = try SQLiteStore(path: path).load()
        try DatabaseQueue(path: path).write { try $0.execute(sql: "PRAGMA user_version = 99") }
        for readOnly in [false, true] {
            #expect {
                try SQLiteStore(path: path, readOnly: readOnly).load()
            } throws: { error in
                (error as? StoreError)?.code == .newer
            }
        }
    }

    @Test func `a folder that cannot be written is an error and no trap`() throws {
        let file = folder.file("plain")
        try Data().write(to: URL(fileURLWithPath: file))
        #expect {
            try SQLiteStore(path: file + "/cloud.db").load()
        } throws: { error in
            (error as? StoreError)?.code == .unwritable
        }
    }

    @Test(arguments: [
        "UPDATE cursors SET watermark = 4", "UPDATE cursors SET highest = 'many'", "UPDATE gaps SET state = 'missing'",
        "UPDATE gaps SET last_seq = 0", "UPDATE cursors SET epoch = x'00'", "DELETE FROM gaps",
        "UPDATE gaps SET first_seq = 'one' WHERE first_seq = 2", "UPDATE cursors SET site = x'ff'",
    ])
    func `a file changed by hand is refused or read, never a trap`(sql: String) throws {
        let store = SQLiteStore(path: path)
        try commit([[message(1), message(5)], [message(3)]], to: store)
        store.close()
        try DatabaseQueue(path: path).write { try $0.execute(sql: "PRAGMA ignore_check_constraints = 1; " + sql) }
        let again = SQLiteStore(path: path)
        do {
            let loaded = try again.load()
            #expect(loaded.cursors.count <= 1)
        } catch {
            #expect(error.code == .corrupt)
        }
    }

    @Test func `a full disk stores nothing of the batch and works again with space`() throws {
        let store = SQLiteStore(path: path, readOnly: false) { db in
            try db.execute(sql: "PRAGMA max_page_count = 40")
        }
        let loaded = try store.load()
        var state = IngestState(cursors: loaded.cursors, streams: loaded.streams)
        var failure: StoreError?
        var sequence: UInt64 = 0
        while failure == nil, sequence < 10_000 {
            let messages = (1...10).map { message(sequence + $0, payload: String(repeating: "x", count: 500)) }
            let batch = state.makeBatch(of: messages, milliseconds: noon)
            do {
                try store.commit(batch)
                state.adopt(batch)
                sequence += 10
            } catch {
                failure = error
            }
        }
        #expect(failure?.code == .full)
        let roomy = SQLiteStore(path: path)
        #expect(try roomy.load().cursors.first?.watermark == sequence)
        #expect(try roomy.countRows(site: "store-1").rows == sequence)
        try commit([[message(sequence + 1)]], to: roomy)
    }

    @Test func `a locked file is an error after the wait and is stored later`() throws {
        let store = SQLiteStore(path: path)
        let state = try commit([[message(1)]], to: store)
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: path, configuration: configuration)
        let batch = state.makeBatch(of: [message(2)], milliseconds: noon)
        try other.inDatabase { try $0.execute(sql: "BEGIN IMMEDIATE") }
        #expect {
            try store.commit(batch)
        } throws: { error in
            (error as? StoreError)?.code == .locked
        }
        try other.inDatabase { try $0.execute(sql: "ROLLBACK") }
        try store.commit(batch)
        #expect(try store.countRows(site: "store-1").rows == 2)
    }

    @Test func `the file is for its owner only`() throws {
        let path = folder.file("new/cloud.db")
        _ = try SQLiteStore(path: path).load()
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func `a report reads beside the writer`() throws {
        let store = SQLiteStore(path: path)
        try commit([[message(1), message(3)]], to: store)
        let reader = SQLiteStore(path: path, readOnly: true)
        let report = try CloudReport(from: reader, milliseconds: noon + 5_000)
        #expect(report.sites.first?.missing == 1)
        try commit([[message(2)]], to: store)
        #expect(try CloudReport(from: reader, milliseconds: noon).sites.first?.missing == 0)
    }
}
