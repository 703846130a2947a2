/// What happened to the messages of a batch, or of all batches.
public struct IngestCounts: Sendable, Hashable {
    /// Messages stored.
    public var stored: UInt64 = 0
    /// Of these, messages that closed part of a gap.
    public var filled: UInt64 = 0
    /// Messages refused because their number had been seen.
    public var duplicates: UInt64 = 0
    /// Messages refused because their epoch is over.
    public var fenced: UInt64 = 0
    /// Messages left to be sent again, because of a limit.
    public var deferred: UInt64 = 0
    /// Messages and gap records with a number that cannot be.
    public var impossible: UInt64 = 0
    /// Messages that gap records say were dropped.
    public var dropped: UInt64 = 0

    /// Makes counts of nothing.
    public init() {}

    /// Adds other counts.
    public static func += (left: inout IngestCounts, right: IngestCounts) {
        left.stored &+= right.stored
        left.filled &+= right.filled
        left.duplicates &+= right.duplicates
        left.fenced &+= right.fenced
        left.deferred &+= right.deferred
        left.impossible &+= right.impossible
        left.dropped &+= right.dropped
    }
}

/// One transaction: messages, cursors, gaps and roll-ups that are stored together or not at all.
public struct IngestBatch: Sendable {
    /// A cursor before and after the batch.
    public struct CursorChange: Sendable, Hashable {
        /// What was missing before.
        public var missingBefore: RangeSet
        /// The cursor after the batch. Its revision is one more than that before; 1 if it is new.
        public var cursor: SiteCursor
        /// The numbers closed as dropped, with the reason.
        public var drops: [Drop]
        /// Messages dropped before they had a number, by reason.
        public var unnumbered: [String: UInt64]
    }

    /// Numbers given up by the site.
    public struct Drop: Sendable, Hashable {
        /// The numbers.
        public var range: ClosedRange<UInt64>
        /// Why.
        public var reason: String
    }

    /// A stream of a site.
    public struct Stream: Sendable, Hashable {
        /// The site.
        public var site: String
        /// Its name.
        public var name: String
    }

    /// The new messages, in order of arrival.
    public internal(set) var messages: [IngestMessage] = []
    /// The cursors that moved or counted.
    public internal(set) var cursors: [CursorChange] = []
    /// What is added to the roll-ups.
    public internal(set) var rollups: [RollupKey: Rollup] = [:]
    /// Streams seen for the first time.
    public internal(set) var streams: [Stream] = []
    /// What happened to the messages.
    public internal(set) var counts = IngestCounts()
    /// Whoever sent something, and should hear (again) how far its stream is stored.
    public internal(set) var sites: Set<String> = []
    /// The wall clock at the batch, milliseconds since 1970-01-01 UTC.
    public internal(set) var milliseconds: Int64

    /// Whether there is nothing to store.
    public var isEmpty: Bool { messages.isEmpty && cursors.isEmpty }
}
