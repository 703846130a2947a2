internal import GRDB

extension SQLiteStore {
    /// The tables, in versions kept in SQLite's `user_version`.
    enum Schema {
        /// The version this code writes.
        static let version = 1

        /// Brings the file to the current version, one transaction per step.
        static func migrate(_ db: Database) throws {
            while try stored(db) < version {
                try db.inTransaction(.immediate) {
                    // Another process may have done the step between the look and the lock.
                    if try stored(db) == 0 { try toVersion1(db) }
                    return .commit
                }
            }
            try checkVersion(db)
        }

        /// Refuses a file of a newer version.
        static func checkVersion(_ db: Database) throws {
            let found = try stored(db)
            guard found <= version else {
                throw StoreError(
                    code: .newer,
                    message: "the database has version \(found), this program knows \(version)"
                )
            }
            guard found == version else {
                throw StoreError(code: .corrupt, message: "the database holds no Causeway tables")
            }
        }

        private static func stored(_ db: Database) throws -> Int {
            try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        }

        /// Messages are clustered by their identity, so that a site's stream is read and checked in order, and its
        /// uniqueness needs no second index.
        private static func toVersion1(_ db: Database) throws {
            try db.execute(
                sql: """
                    CREATE TABLE messages(
                        site TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
                        received_ms INTEGER NOT NULL, event_ms INTEGER NOT NULL,
                        class TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
                        PRIMARY KEY(site, epoch, seq)
                    ) WITHOUT ROWID;
                    CREATE TABLE cursors(
                        site TEXT NOT NULL, epoch INTEGER NOT NULL,
                        watermark INTEGER NOT NULL, highest INTEGER NOT NULL,
                        stored INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,
                        dropped INTEGER NOT NULL, unnumbered INTEGER NOT NULL, duplicates INTEGER NOT NULL,
                        fenced INTEGER NOT NULL, updated_ms INTEGER NOT NULL, revision INTEGER NOT NULL,
                        PRIMARY KEY(site, epoch)
                    ) WITHOUT ROWID;
                    CREATE TABLE gaps(
                        site TEXT NOT NULL, epoch INTEGER NOT NULL,
                        first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
                        state TEXT NOT NULL CHECK(state IN ('missing', 'dropped', 'filled')),
                        reason TEXT NOT NULL, seen_ms INTEGER NOT NULL, closed_ms INTEGER,
                        PRIMARY KEY(site, epoch, first_seq)
                    ) WITHOUT ROWID;
                    CREATE TABLE unnumbered_drops(
                        site TEXT NOT NULL, epoch INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
                        PRIMARY KEY(site, epoch, reason)
                    ) WITHOUT ROWID;
                    CREATE TABLE streams(
                        site TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(site, name)
                    ) WITHOUT ROWID;
                    CREATE TABLE rollups(
                        site TEXT NOT NULL, stream TEXT NOT NULL, hour_ms INTEGER NOT NULL,
                        count INTEGER NOT NULL, bytes INTEGER NOT NULL,
                        value_count INTEGER NOT NULL, value_sum REAL NOT NULL, value_min REAL, value_max REAL,
                        PRIMARY KEY(site, stream, hour_ms)
                    ) WITHOUT ROWID;
                    CREATE INDEX rollups_by_hour ON rollups(hour_ms);
                    PRAGMA user_version = 1;
                    """
            )
        }
    }
}
