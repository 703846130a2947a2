internal import GRDB

extension SQLiteStore {
    /// All cursors, also those of past epochs, in order of site and epoch.
    public func allCursors() throws(StoreError) -> [SiteCursor] {
        try read { try CursorRow.fetchAll($0) }
    }

    /// The gap rows of a site and epoch, in order, at most `limit`.
    public func gaps(site: String, epoch: UInt64, limit: Int) throws(StoreError) -> [GapRow] {
        try read { db in
            try Row.fetchAll(
                db,
                sql: "SELECT * FROM gaps WHERE site = ? AND epoch = ? ORDER BY first_seq LIMIT ?",
                arguments: [site, Int64(clamping: epoch), max(0, limit)]
            ).map(Self.gap)
        }
    }

    /// Messages of a site and epoch that the site dropped, by reason.
    public func droppedByReason(site: String, epoch: UInt64) throws(StoreError) -> [String: UInt64] {
        try read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT reason, sum(messages) AS messages FROM (
                        SELECT reason, last_seq - first_seq + 1 AS messages FROM gaps
                        WHERE site = ?1 AND epoch = ?2 AND state = 'dropped'
                        UNION ALL
                        SELECT reason, count FROM unnumbered_drops WHERE site = ?1 AND epoch = ?2
                    ) GROUP BY reason
                    """,
                arguments: [site, Int64(clamping: epoch)]
            )
            var numbers: [String: UInt64] = [:]
            for row in rows { numbers[try row.value("reason")] = try row.number("messages") }
            return numbers
        }
    }

    /// The newest roll-ups, at most `limit`, in order of site, stream and hour.
    public func rollups(
        sinceMilliseconds: Int64,
        limit: Int
    ) throws(StoreError) -> [(key: RollupKey, rollup: Rollup)] {
        try read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM (SELECT * FROM rollups WHERE hour_ms >= ? ORDER BY hour_ms DESC LIMIT ?)
                    ORDER BY site, stream, hour_ms
                    """,
                arguments: [sinceMilliseconds, max(0, limit)]
            ).map { row in
                var rollup = Rollup()
                rollup.count = try row.number("count")
                rollup.bytes = try row.number("bytes")
                rollup.valueCount = try row.number("value_count")
                rollup.sum = try row.value("value_sum")
                rollup.minimum = try row.value("value_min")
                rollup.maximum = try row.value("value_max")
                let key = RollupKey(
                    site: try row.value("site"),
                    stream: try row.value("stream"),
                    hourMilliseconds: try row.value("hour_ms")
                )
                return (key, rollup)
            }
        }
    }

    /// Counts a site's message rows. Reads the whole of the site's index: for proofs, not for dashboards.
    public func countRows(site: String) throws(StoreError) -> RowCount {
        try read { db in
            let row = try Row.fetchOne(
                db,
                sql: """
                    SELECT count(*) AS total, count(DISTINCT epoch || ':' || seq) AS different
                    FROM messages WHERE site = ?
                    """,
                arguments: [site]
            )
            return RowCount(rows: try row?.number("total") ?? 0, distinct: try row?.number("different") ?? 0)
        }
    }

    /// The missing rows of a cursor.
    static func missingRows(_ db: Database, site: String, epoch: Int64) throws -> [GapRow] {
        try Row.fetchAll(
            db.cachedStatement(
                sql: "SELECT * FROM gaps WHERE site = ? AND epoch = ? AND state = 'missing' ORDER BY first_seq"
            ),
            arguments: [site, epoch]
        ).map(gap)
    }

    private static func gap(_ row: Row) throws -> GapRow {
        let first: Int64 = try row.value("first_seq")
        let last: Int64 = try row.value("last_seq")
        guard first >= 1, last >= first, let state = GapRow.State(rawValue: try row.value("state")) else {
            throw StoreError(code: .corrupt, message: "a row of the gap table is impossible")
        }
        return GapRow(
            range: UInt64(first)...UInt64(last),
            state: state,
            reason: try row.value("reason"),
            seenMilliseconds: try row.value("seen_ms"),
            closedMilliseconds: try row.value("closed_ms")
        )
    }

    /// Reads cursors together with their missing ranges.
    enum CursorRow {
        /// The cursor with the highest epoch of each site.
        static func fetchCurrent(_ db: Database) throws -> [SiteCursor] {
            try fetch(
                db,
                sql: "SELECT * FROM cursors AS c WHERE epoch = (SELECT max(epoch) FROM cursors WHERE site = c.site)"
            )
        }

        /// All cursors, in order.
        static func fetchAll(_ db: Database) throws -> [SiteCursor] {
            try fetch(db, sql: "SELECT * FROM cursors ORDER BY site, epoch")
        }

        private static func fetch(_ db: Database, sql: String) throws -> [SiteCursor] {
            try Row.fetchAll(db, sql: sql).map { row in
                let site: String = try row.value("site")
                let epoch: Int64 = try row.value("epoch")
                let missing = try missingRows(db, site: site, epoch: epoch)
                let cursor = SiteCursor(
                    site: site,
                    epoch: UInt64(clamping: epoch),
                    highest: try row.number("highest"),
                    missing: RangeSet(missing.map(\.range)),
                    stored: try row.number("stored"),
                    storedBytes: try row.number("stored_bytes"),
                    dropped: try row.number("dropped"),
                    unnumbered: try row.number("unnumbered"),
                    duplicates: try row.number("duplicates"),
                    fenced: try row.number("fenced"),
                    seenMilliseconds: try row.value("updated_ms"),
                    revision: try row.value("revision")
                )
                // The watermark is kept for those who read the table; a file where it disagrees with the gaps was
                // changed by hand or damaged, and must not tell a site to forget anything.
                guard cursor.watermark == (try row.number("watermark")) else {
                    throw StoreError(code: .corrupt, message: "a cursor's watermark disagrees with its gaps")
                }
                return cursor
            }
        }
    }
}

extension Row {
    /// A column's value. Throws where GRDB's subscript would trap: a damaged file can hold any type in any column.
    func value<Value: DatabaseValueConvertible & StatementColumnConvertible>(_ column: String) throws -> Value {
        try decode(Value.self, forColumn: column)
    }

    /// A count or a sequence number.
    func number(_ column: String) throws -> UInt64 {
        UInt64(clamping: try value(column) as Int64)
    }
}
