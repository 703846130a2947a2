import Testing

@testable import Cloud

@Suite struct ReportTests {
    private let folder: TemporaryFolder
    private let store: SQLiteStore

    init() throws {
        folder = try TemporaryFolder()
        store = SQLiteStore(path: folder.file("cloud.db"))
        let loaded = try store.load()
        var state = IngestState(cursors: loaded.cursors)
        let batches: [[IngestMessage]] = [
            [message(1, payload: #"{"value":2.5}"#), message(2, payload: #"{"value":-1}"#), message(6), message(9)],
            [message(2), message(10, topic: "_gap", drop: PolicyDrop(range: 3...4, reason: "expired"))],
            [message(1, site: "ward-7", epoch: 3, topic: "vitals/2", payload: "ok")],
            [
                message(1, site: "ward-7", epoch: 4, topic: "vitals/2", payload: "ok"),
                message(5, site: "ward-7", epoch: 3),
            ],
        ]
        for messages in batches {
            let batch = state.makeBatch(of: messages, milliseconds: noon)
            try store.commit(batch)
            state.adopt(batch)
        }
    }

    @Test func `the text says who is complete and what is missing`() throws {
        let report = try CloudReport(from: store, milliseconds: noon + 61_000)
        #expect(
            report.text == """
                SITE      EPOCH  STORED  WATERMARK  HIGHEST  MISSING  DROPPED  DUPLICATES  FENCED  LAST SEEN
                store-1       1       5          4       10        3        2           1       0  2025-11-22 12:00:01 (60 s ago)
                ward-7   3 past       1          1        1        0        0           0       0  2025-11-22 12:00:01 (60 s ago)
                ward-7        4       1          1        1        0        0           0       1  2025-11-22 12:00:01 (60 s ago)
                store-1 epoch 1 misses 5, 7-8
                store-1 epoch 1 dropped 2 expired

                Hourly roll-ups (UTC)

                SITE     STREAM    HOUR            MESSAGES  BYTES    MIN   AVG   MAX
                store-1  sales/1   2025-11-22 12h         4     47  -1.00  0.88  2.50
                ward-7   vitals/2  2025-11-22 12h         2      4      -     -     -

                """
        )
    }

    @Test func `the JSON is one line with sorted keys`() throws {
        let json = try CloudReport(from: store, milliseconds: noon + 61_000, rollupsMax: 1).json
        #expect(!json.contains("\n"))
        #expect(json.contains(#""missing_ranges":[{"first":5,"last":5},{"first":7,"last":8}]"#))
        #expect(json.contains(#""dropped":{"expired":2}"#))
        #expect(json.contains(#""duplicates_refused":1"#))
    }

    @Test func `no site yet is said in words`() throws {
        let empty = SQLiteStore(path: folder.file("empty.db"))
        #expect(try CloudReport(from: empty, milliseconds: noon).text == "No site has sent anything yet.\n")
    }

    @Test func `control characters of a stream's name do not reach the terminal`() throws {
        let state = IngestState(cursors: try store.load().cursors)
        try store.commit(
            state.makeBatch(of: [message(1, site: "x", topic: "a\u{1B}[31m\u{202E}/b")], milliseconds: noon)
        )
        let text = try CloudReport(from: store, milliseconds: noon).text
        #expect(!text.unicodeScalars.contains("\u{1B}") && !text.unicodeScalars.contains("\u{202E}"))
        #expect(text.contains("a?[31m?/b"))
    }

    @Test func `the proof counts rows, what is missing, and what the site sent beyond`() throws {
        let proof = try CloudProof(from: store, expected: ["store-1": 12, "ward-7": nil])
        #expect(proof.stored == 7)
        #expect(proof.missing == 5)
        #expect(proof.dropped == 2)
        #expect(proof.duplicates == 0 && proof.duplicatesRefused == 1 && proof.fenced == 1)
        #expect(!proof.holds)
        #expect(try CloudProof(from: store, expected: ["ward-7": 1]).holds)
        #expect(try CloudProof(from: store, expected: ["never-seen": 3]).missing == 3)
    }

    @Test func `a row that disappears from the table is missed although its cursor claims it`() throws {
        store.close()
        try deleteOneRow(path: folder.file("cloud.db"))
        #expect(try CloudProof(from: store, expected: ["ward-7": nil]).missing == 1)
    }
}
