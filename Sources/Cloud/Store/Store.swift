/// Where the aggregator keeps what it receives.
///
/// The whole promise is `commit`: all of a batch is durable when it returns, or none of it is. An aggregator calls a
/// store from its own thread only; implementations need not expect concurrent calls.
public protocol Store: AnyObject {
    /// Opens the store, again after a failure, and loads what is known.
    func load() throws(StoreError) -> LoadedStore

    /// Stores a batch in one durable transaction.
    ///
    /// Refuses with ``StoreError/Code/conflict`` if a cursor of the batch does not follow the stored one.
    func commit(_ batch: IngestBatch) throws(StoreError)

    /// Closes it. A later `load` opens it again.
    func close()
}

/// What a store knows when it is opened.
public struct LoadedStore: Sendable {
    /// The current cursor of each site.
    public var cursors: [SiteCursor]
    /// The streams of the sites.
    public var streams: [IngestBatch.Stream]

    /// Makes it.
    public init(cursors: [SiteCursor] = [], streams: [IngestBatch.Stream] = []) {
        self.cursors = cursors
        self.streams = streams
    }
}

/// What a report reads. Safe to use beside a running aggregator.
public protocol ReportSource {
    /// All cursors, also those of past epochs, in order of site and epoch.
    func allCursors() throws(StoreError) -> [SiteCursor]

    /// The gap rows of a site and epoch, in order, at most `limit`.
    func gaps(site: String, epoch: UInt64, limit: Int) throws(StoreError) -> [GapRow]

    /// Messages of a site and epoch that the site dropped, by reason.
    func droppedByReason(site: String, epoch: UInt64) throws(StoreError) -> [String: UInt64]

    /// The newest hours' roll-ups, in order of site, stream and hour, at most `limit`.
    func rollups(sinceMilliseconds: Int64, limit: Int) throws(StoreError) -> [(key: RollupKey, rollup: Rollup)]

    /// Counts a site's message rows, independently of the cursors.
    func countRows(site: String) throws(StoreError) -> RowCount
}

/// Message rows as counted in the table itself.
public struct RowCount: Sendable, Hashable {
    /// Rows.
    public var rows: UInt64
    /// Different (site, epoch, sequence) among them.
    public var distinct: UInt64

    /// Makes a count.
    public init(rows: UInt64, distinct: UInt64) {
        self.rows = rows
        self.distinct = distinct
    }
}
