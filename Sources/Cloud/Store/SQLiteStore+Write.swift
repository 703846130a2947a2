internal import Foundation
internal import GRDB

extension SQLiteStore {
    /// Writes a batch inside a transaction.
    ///
    /// Cursors go first: a conflict is found before anything else is written. Numbers are at most
    /// ``SiteCursor/sequenceMax`` and counts cannot pass them, so the signed conversions are exact.
    static func write(_ batch: IngestBatch, _ db: Database) throws {
        for change in batch.cursors {
            try write(change.cursor, db)
            try write(gapsOf: change, milliseconds: batch.milliseconds, db)
            for (reason, count) in change.unnumbered {
                try db.cachedStatement(
                    sql: """
                        INSERT INTO unnumbered_drops(site, epoch, reason, count) VALUES (?, ?, ?, ?)
                        ON CONFLICT(site, epoch, reason) DO UPDATE SET count = count + excluded.count
                        """
                ).execute(arguments: [
                    change.cursor.site, Int64(clamping: change.cursor.epoch), reason, Int64(clamping: count),
                ])
            }
        }
        try write(batch.messages, db)
        for stream in batch.streams {
            try db.cachedStatement(sql: "INSERT OR IGNORE INTO streams(site, name) VALUES (?, ?)")
                .execute(arguments: [stream.site, stream.name])
        }
        for (key, rollup) in batch.rollups { try write(rollup, key, db) }
    }

    private static func write(_ messages: [IngestMessage], _ db: Database) throws {
        guard !messages.isEmpty else { return }
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO messages(site, epoch, seq, received_ms, event_ms, class, topic, payload)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        )
        for message in messages {
            statement.setUncheckedArguments([
                message.site, Int64(clamping: message.epoch), Int64(clamping: message.sequence),
                message.receivedMilliseconds, message.eventMilliseconds,
                message.messageClass, message.topic, Bytes(message.payload),
            ])
            try statement.execute()
        }
    }

    private static func write(_ cursor: SiteCursor, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO cursors(site, epoch, watermark, highest, stored, stored_bytes, dropped, unnumbered,
                    duplicates, fenced, updated_ms, revision)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT(site, epoch) DO UPDATE SET watermark = excluded.watermark, highest = excluded.highest,
                    stored = excluded.stored, stored_bytes = excluded.stored_bytes, dropped = excluded.dropped,
                    unnumbered = excluded.unnumbered, duplicates = excluded.duplicates, fenced = excluded.fenced,
                    updated_ms = excluded.updated_ms, revision = excluded.revision
                WHERE cursors.revision = excluded.revision - 1
                """
        ).execute(arguments: [
            cursor.site, Int64(clamping: cursor.epoch), Int64(clamping: cursor.watermark),
            Int64(clamping: cursor.highest),
            Int64(clamping: cursor.stored), Int64(clamping: cursor.storedBytes), Int64(clamping: cursor.dropped),
            Int64(clamping: cursor.unnumbered), Int64(clamping: cursor.duplicates), Int64(clamping: cursor.fenced),
            cursor.seenMilliseconds, cursor.revision,
        ])
        guard db.changesCount == 1 else {
            throw StoreError(code: .conflict, message: "a cursor was changed by another aggregator")
        }
    }

    private static func write(
        gapsOf change: IngestBatch.CursorChange,
        milliseconds: Int64,
        _ db: Database
    ) throws {
        guard !change.drops.isEmpty || change.missingBefore != change.cursor.missing else { return }
        let (site, epoch) = (change.cursor.site, Int64(clamping: change.cursor.epoch))
        let stored = try missingRows(db, site: site, epoch: epoch)
        let ledger = GapLedger.change(stored: stored, change: change, milliseconds: milliseconds)
        for first in ledger.removed {
            try db.cachedStatement(sql: "DELETE FROM gaps WHERE site = ? AND epoch = ? AND first_seq = ?")
                .execute(arguments: [site, epoch, Int64(clamping: first)])
        }
        for row in ledger.added { try write(row, site: site, epoch: epoch, db) }
        guard ledger.added.contains(where: { $0.state == .filled }) else { return }
        try db.cachedStatement(
            sql: """
                DELETE FROM gaps WHERE site = ?1 AND epoch = ?2 AND state = 'filled' AND first_seq <= (
                    SELECT first_seq FROM gaps WHERE site = ?1 AND epoch = ?2 AND state = 'filled'
                    ORDER BY first_seq DESC LIMIT 1 OFFSET \(GapLedger.filledRowsMax))
                """
        ).execute(arguments: [site, epoch])
    }

    /// Puts a row in, or lengthens the one before it if that touches and says the same. A long gap that fills in
    /// batches so stays one row.
    private static func write(_ row: GapRow, site: String, epoch: Int64, _ db: Database) throws {
        if row.state != .missing {
            try db.cachedStatement(
                sql: """
                    UPDATE gaps SET last_seq = ?1, closed_ms = ?2
                    WHERE site = ?3 AND epoch = ?4 AND state = ?5 AND reason = ?6 AND last_seq = ?7 - 1
                        AND first_seq = (SELECT max(first_seq) FROM gaps
                            WHERE site = ?3 AND epoch = ?4 AND first_seq < ?7)
                    """
            ).execute(arguments: [
                Int64(clamping: row.range.upperBound), row.closedMilliseconds, site, epoch,
                row.state.rawValue, row.reason, Int64(clamping: row.range.lowerBound),
            ])
            if db.changesCount == 1 { return }
        }
        try db.cachedStatement(
            sql: """
                INSERT INTO gaps(site, epoch, first_seq, last_seq, state, reason, seen_ms, closed_ms)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            site, epoch, Int64(clamping: row.range.lowerBound), Int64(clamping: row.range.upperBound),
            row.state.rawValue, row.reason, row.seenMilliseconds, row.closedMilliseconds,
        ])
    }

    private static func write(_ rollup: Rollup, _ key: RollupKey, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO rollups(site, stream, hour_ms, count, bytes, value_count, value_sum, value_min, value_max)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT(site, stream, hour_ms) DO UPDATE SET
                    count = count + excluded.count, bytes = bytes + excluded.bytes,
                    value_count = value_count + excluded.value_count, value_sum = value_sum + excluded.value_sum,
                    value_min = min(coalesce(value_min, excluded.value_min), coalesce(excluded.value_min, value_min)),
                    value_max = max(coalesce(value_max, excluded.value_max), coalesce(excluded.value_max, value_max))
                """
        ).execute(arguments: [
            key.site, key.stream, key.hourMilliseconds, Int64(clamping: rollup.count), Int64(clamping: rollup.bytes),
            Int64(clamping: rollup.valueCount), rollup.sum, rollup.minimum, rollup.maximum,
        ])
    }
}

/// Payload bytes as a blob, an empty one included: SQLite would take a null pointer for NULL.
private struct Bytes: DatabaseValueConvertible {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var databaseValue: DatabaseValue { Data(bytes).databaseValue }

    static func fromDatabaseValue(_ value: DatabaseValue) -> Bytes? {
        Data.fromDatabaseValue(value).map { Bytes(Array($0)) }
    }
}
