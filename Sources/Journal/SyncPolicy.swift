/// When the journal calls a record committed.
public enum SyncPolicy: Sendable, Hashable {
    /// After `fdatasync`. The default, and the only one under which a power cut loses nothing that was acknowledged.
    case always
    /// After the write; synced every so many milliseconds. A power cut loses what was acknowledged since the last one.
    case interval(milliseconds: Int)
    /// After the write; synced when a segment is full, and on closing. A power cut loses what the system had not
    /// written by itself. The end of the process alone loses nothing.
    case os
}

extension Journal {
    /// How a journal is kept.
    public struct Configuration: Sendable {
        /// The directory, made where it is missing. One journal each.
        public var directory: String
        /// The size of a segment file. A record that does not fit gets a larger one of its own.
        public var segmentBytes = 64 * 1024 * 1024
        /// When a record counts as committed.
        public var sync = SyncPolicy.always
        /// The most that all files together may take. Reached, the journal stalls (``CommitNotice/stalled(_:)``) until
        /// ``Journal/retire(before:keeping:)`` makes room.
        public var maxBytes = 8 * 1024 * 1024 * 1024
        /// How many bytes may wait for the disk before ``Journal/hasRoom`` turns false and the caller should stop
        /// reading from publishers. At ``hardLimitFactor`` times this, the journal fails rather than take the machine's
        /// memory.
        public var maxPendingBytes = 64 * 1024 * 1024
        /// How many files of retired segments are kept to be written again (which is faster than new ones).
        public var maxSpares = 1
        /// How many segments are set aside for when there is no room for another one; 0 for none. They are made when
        /// the journal is opened, count towards ``maxBytes``, and are written to last: see ``Journal/Room``.
        public var reserveSegments = 0
        /// How long the journal waits between attempts to go on when there was no room.
        public var stallRetryMilliseconds = 1000
        /// The keys of an encrypted journal; nil: what is written is not encrypted, and what is cannot be read.
        public var keys: KeyRing?
        /// Whether encrypted records without their key count by their checksums: for those who only look.
        var readsUnopened = false
        /// What a new journal is called inside its files; nil draws a random identity.
        public var identity: JournalIdentity?
        /// The wall clock, milliseconds since 1970-01-01 UTC: the age of segments for
        /// ``Journal/retire(before:keeping:)``.
        public var wallMilliseconds: @Sendable () -> Int64 = { SystemClock.wallMilliseconds() }

        /// The pending limit at which the journal fails, as a multiple of ``maxPendingBytes``.
        public static let hardLimitFactor = 4
        /// The smallest segment. Smaller ones are taken as this.
        public static let minSegmentBytes = 16 * 1024
        /// The largest record: more than the largest MQTT packet with what the broker adds.
        public static let maxRecordBytes = 512 * 1024 * 1024

        /// Makes a configuration with the defaults.
        public init(directory: String) { self.directory = directory }

        /// The files that may lie ready: for speed, and for want of room.
        var sparesKept: Int { maxSpares + reserveSegments }

        func path(_ name: String) -> String { directory + "/" + name }
    }
}

extension Journal {
    /// How much room the journal has.
    public enum Room: Sendable, Hashable {
        /// There is room for the next segment, or nobody knows better.
        case ample
        /// The journal lives off its reserve: it takes what cannot wait.
        case reserve
        /// So little of the reserve is left (less than a quarter of a segment) that it is needed for what makes room
        /// again, such as the acknowledgements of those who receive; or nothing at all is left.
        case none
    }
}

/// What the journal reports from its own thread: at most one ``committed(through:)`` for each group commit.
public enum CommitNotice: Sendable {
    /// Every record up to this sequence is committed, as ``SyncPolicy`` means it.
    case committed(through: UInt64)
    /// There is no room for the next segment. What was appended waits in memory; nothing of it was written. The journal
    /// tries again by itself and after every retirement, and the next ``committed(through:)`` says that it goes on.
    /// Told once for each time it happens.
    case stalled(JournalError)
    /// There was no room for the next segment, so the journal writes to its reserve. Everything is committed as ever
    /// while that lasts: append only what cannot wait. Told once for each time it happens.
    case short(JournalError)
    /// There is room again, and the reserve is whole. Told once after ``short(_:)`` or ``stalled(_:)``.
    case relieved
    /// A write or a sync failed. Told once; no other notice follows, and appends are dropped. What was committed stays
    /// readable. Nothing is tried again: after a failed sync the kernel may have thrown the data away.
    case failed(JournalError)
}
