internal import Foundation
internal import GRDB

/// A store in one SQLite file: write-ahead log, synchronous FULL, one connection that writes.
///
/// Confined to one thread, the aggregator's. A report opens a second instance on the same file with `readOnly`, from
/// this or another process.
public final class SQLiteStore: Store, ReportSource {
    /// How long a statement waits for another process that holds the file.
    public static let busySecondsMax = 2.0

    private let path: String
    private let readOnly: Bool
    private let prepare: (@Sendable (Database) throws -> Void)?
    private var queue: DatabaseQueue?

    /// Names the file. Nothing is opened before ``load()`` or the first report.
    ///
    /// - Parameters:
    ///   - path: the file; it and its folder are made if they do not exist, readable by the owner only.
    ///   - readOnly: whether to open it only for reports.
    public convenience init(path: String, readOnly: Bool = false) {
        self.init(path: path, readOnly: readOnly, prepare: nil)
    }

    /// Also calls `prepare` with each new connection; tests look into transactions with it.
    init(path: String, readOnly: Bool, prepare: (@Sendable (Database) throws -> Void)?) {
        self.path = path
        self.readOnly = readOnly
        self.prepare = prepare
    }

    /// Opens the file, again if it was open, and loads what is known.
    public func load() throws(StoreError) -> LoadedStore {
        close()
        let queue = try opened()
        return try perform {
            try queue.read { db in
                LoadedStore(
                    cursors: try CursorRow.fetchCurrent(db),
                    streams: try Row.fetchAll(db, sql: "SELECT site, name FROM streams").map {
                        IngestBatch.Stream(site: try $0.value("site"), name: try $0.value("name"))
                    }
                )
            }
        }
    }

    /// Stores a batch in one transaction, durable when this returns.
    public func commit(_ batch: IngestBatch) throws(StoreError) {
        guard !batch.isEmpty else { return }
        let queue = try opened()
        try perform {
            try queue.writeWithoutTransaction { db in
                try db.inTransaction(.immediate) {
                    try Self.write(batch, db)
                    return .commit
                }
            }
        }
    }

    /// Closes the file.
    public func close() {
        guard let queue else { return }
        self.queue = nil
        // Closing fails only with statements in use, which there are none of; the connection ends with the object.
        try? queue.close()
    }

    /// Reads with the report's connection, or the writer's own.
    func read<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        let queue = try opened()
        return try perform { try queue.read(body) }
    }

    private func opened() throws(StoreError) -> DatabaseQueue {
        if let queue { return queue }
        let queue = try perform { try open() }
        self.queue = queue
        return queue
    }

    private func open() throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.label = "causeway.cloud.store"
        configuration.busyMode = .timeout(Self.busySecondsMax)
        configuration.readonly = readOnly
        // GRDB would trap on a transaction left open, as a disk that fails in a rollback could leave one. After a
        // failure the connection is closed before it is used again, which ends it.
        configuration.allowsUnsafeTransactions = true
        let readOnly = readOnly
        let prepare = prepare
        configuration.prepareDatabase { db in
            if !readOnly {
                try db.execute(sql: "PRAGMA journal_mode = WAL")
                try db.execute(sql: "PRAGMA synchronous = FULL")
            }
            try prepare?(db)
        }
        if !readOnly { try createPrivately() }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        if readOnly {
            try queue.read(Schema.checkVersion)
        } else {
            try queue.writeWithoutTransaction(Schema.migrate)
        }
        return queue
    }

    /// Makes the file with mode 0600 before SQLite would make it with more; SQLite gives its other files the same.
    private func createPrivately() throws {
        let files = FileManager.default
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        if !files.fileExists(atPath: folder) {
            try files.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        }
        if !files.fileExists(atPath: path) {
            _ = files.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
        }
    }

    /// Runs database work and gives its errors our codes.
    private func perform<Value>(_ body: () throws -> Value) throws(StoreError) -> Value {
        do {
            return try body()
        } catch let error as StoreError {
            throw error
        } catch let error as DatabaseError {
            throw StoreError(error)
        } catch is RowDecodingError {
            throw StoreError(code: .corrupt, message: "a column holds what it cannot")
        } catch {
            throw StoreError(code: .unwritable, message: "the database file cannot be made or opened")
        }
    }
}

extension StoreError {
    /// Maps SQLite's result. Its message names tables and columns, never values.
    fileprivate init(_ error: DatabaseError) {
        let code: Code =
            switch error.resultCode {
            case .SQLITE_FULL: .full
            case .SQLITE_BUSY, .SQLITE_LOCKED: .locked
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: .corrupt
            case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH: .unwritable
            case .SQLITE_IOERR: .disk
            case .SQLITE_CONSTRAINT: .conflict
            default: .other
            }
        self.init(
            code: code,
            message: error.message ?? "SQLite result \(error.extendedResultCode.rawValue)",
            resultCode: error.extendedResultCode.rawValue
        )
    }
}
