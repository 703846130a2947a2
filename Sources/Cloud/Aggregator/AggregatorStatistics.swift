/// What an aggregator has done since it was made, and how it is.
public struct AggregatorStatistics: Sendable, Hashable {
    /// How far the connection to the broker is.
    public enum Link: String, Sendable, Hashable {
        /// There is none; the next attempt waits.
        case down
        /// An attempt is under way.
        case connecting
        /// Connected, not yet subscribed.
        case subscribing
        /// Messages flow.
        case live
    }

    /// How far the connection to the broker is.
    public internal(set) var link = Link.down
    /// Why the last connection ended; nil if there was none.
    public internal(set) var linkFailure: String?
    /// Connections that ended or failed.
    public internal(set) var linkFailures: UInt64 = 0
    /// Why the store does not work; nil if it does.
    public internal(set) var storeFailure: StoreError?
    /// Failed attempts to load or commit.
    public internal(set) var storeFailures: UInt64 = 0
    /// Whether the store has been opened and loaded.
    public internal(set) var isLoaded = false
    /// Messages taken out of the queue.
    public internal(set) var received: UInt64 = 0
    /// What happened to those with a stamp.
    public internal(set) var counts = IngestCounts()
    /// Messages without a place in a stream, by reason.
    public internal(set) var rejected: [Rejection: UInt64] = [:]
    /// Messages let go because the queue stayed full.
    public internal(set) var lost: UInt64 = 0
    /// Messages waiting for the store.
    public internal(set) var queued = 0
    /// Transactions committed.
    public internal(set) var commits: UInt64 = 0
    /// When the last was committed, milliseconds since 1970-01-01 UTC; 0 if none was.
    public internal(set) var lastCommitMilliseconds: Int64 = 0
    /// Commit notices published.
    public internal(set) var notices: UInt64 = 0
    /// Sites known.
    public internal(set) var sites = 0
    /// Numbers missing below the highest, over all current epochs.
    public internal(set) var missing: UInt64 = 0

    init() {}
}
