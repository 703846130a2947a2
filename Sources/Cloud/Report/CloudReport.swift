/// What the cloud has of every site, and what it lacks.
public struct CloudReport: Sendable, Hashable {
    /// How many missing ranges are listed for each cursor; the number of missing messages counts all.
    public static let rangesListedMax = 20
    /// How many roll-up rows are listed by default, the newest.
    public static let rollupsListedMax = 200

    /// A site in one of its epochs.
    public struct Site: Sendable, Hashable, Encodable {
        /// The site.
        public var site: String
        /// The epoch.
        public var epoch: UInt64
        /// Whether it is the site's newest. Of an older one nothing more is accepted.
        public var isCurrent: Bool
        /// Messages stored.
        public var stored: UInt64
        /// Payload bytes stored.
        public var storedBytes: UInt64
        /// All numbers up to it are stored or dropped.
        public var watermark: UInt64
        /// The highest number seen.
        public var highest: UInt64
        /// Numbers missing below it.
        public var missing: UInt64
        /// The first missing ranges, at most ``CloudReport/rangesListedMax``.
        public var missingRanges: [Range]
        /// How many missing ranges there are.
        public var missingRangeCount: Int
        /// Messages the site dropped by policy, by reason.
        public var dropped: [String: UInt64]
        /// Messages refused because their number had been seen.
        public var duplicatesRefused: UInt64
        /// Messages of older epochs refused.
        public var fenced: UInt64
        /// When something last arrived, milliseconds since 1970-01-01 UTC.
        public var seenMilliseconds: Int64
        /// How long ago that is, in milliseconds.
        public var lagMilliseconds: Int64
    }

    /// Numbers from first to last.
    public struct Range: Sendable, Hashable, Encodable {
        /// The first.
        public var first: UInt64
        /// The last.
        public var last: UInt64
    }

    /// The messages of a stream in an hour.
    public struct Hour: Sendable, Hashable, Encodable {
        /// The site.
        public var site: String
        /// The stream.
        public var stream: String
        /// The beginning of the hour, milliseconds since 1970-01-01 UTC.
        public var hourMilliseconds: Int64
        /// Messages.
        public var count: UInt64
        /// Payload bytes.
        public var bytes: UInt64
        /// The least `value`.
        public var minimum: Double?
        /// The mean `value`.
        public var average: Double?
        /// The greatest `value`.
        public var maximum: Double?
    }

    /// When it was made, milliseconds since 1970-01-01 UTC.
    public var milliseconds: Int64
    /// The sites.
    public var sites: [Site]
    /// The newest hours.
    public var hours: [Hour]

    /// Reads a report. The source may belong to a running aggregator.
    public init(
        from source: any ReportSource,
        milliseconds: Int64,
        rollupsMax: Int = CloudReport.rollupsListedMax
    ) throws(StoreError) {
        self.milliseconds = milliseconds
        sites = []
        let cursors = try source.allCursors()
        let newest = Dictionary(cursors.map { ($0.site, $0.epoch) }, uniquingKeysWith: max)
        for cursor in cursors {
            let dropped = try source.droppedByReason(site: cursor.site, epoch: cursor.epoch)
            let isCurrent = newest[cursor.site] == cursor.epoch
            sites.append(Site(cursor, isCurrent: isCurrent, dropped: dropped, milliseconds: milliseconds))
        }
        hours = try source.rollups(sinceMilliseconds: 0, limit: rollupsMax).map(Hour.init)
    }
}

extension CloudReport.Site {
    init(_ cursor: SiteCursor, isCurrent: Bool, dropped: [String: UInt64], milliseconds: Int64) {
        self.init(
            site: cursor.site,
            epoch: cursor.epoch,
            isCurrent: isCurrent,
            stored: cursor.stored,
            storedBytes: cursor.storedBytes,
            watermark: cursor.watermark,
            highest: cursor.highest,
            missing: cursor.missing.memberCount,
            missingRanges: cursor.missing.ranges.prefix(CloudReport.rangesListedMax).map {
                CloudReport.Range(first: $0.lowerBound, last: $0.upperBound)
            },
            missingRangeCount: cursor.missing.ranges.count,
            dropped: dropped,
            duplicatesRefused: cursor.duplicates,
            fenced: cursor.fenced,
            seenMilliseconds: cursor.seenMilliseconds,
            lagMilliseconds: max(0, milliseconds - cursor.seenMilliseconds)
        )
    }
}

extension CloudReport.Hour {
    init(key: RollupKey, rollup: Rollup) {
        self.init(
            site: key.site,
            stream: key.stream,
            hourMilliseconds: key.hourMilliseconds,
            count: rollup.count,
            bytes: rollup.bytes,
            minimum: rollup.minimum,
            average: rollup.average,
            maximum: rollup.maximum
        )
    }
}
