/// What opening a journal found.
public struct Recovery: Sendable {
    /// The oldest record there is; where nothing is, the same as ``nextSequence``.
    public var firstSequence: UInt64
    /// The sequence of the next record to append.
    public var nextSequence: UInt64
    /// The newest checkpoint that passes its checksum.
    public var checkpoint: Checkpoint?
    /// Records that were committed and are gone, in ascending order. They stay in this list at every start until
    /// retirement passes them.
    public var lost: [ClosedRange<UInt64>] = []
    /// What was damaged, and what was done about it.
    public var damage: [Damage] = []
    /// The end of the last write before the crash, if it was torn. Nothing in it had been acknowledged.
    public var tornTail: TornTail?

    /// Whether anything was lost or damaged. A torn tail alone is no damage.
    public var isDamaged: Bool { !lost.isEmpty || !damage.isEmpty }
}

/// State of the journal's owner, as of a record.
public struct Checkpoint: Sendable, Hashable {
    /// The last record whose effect the content includes.
    public var sequence: UInt64
    /// What ``Journal/writeCheckpoint(through:bytes:)`` was given.
    public var bytes: [UInt8]
}

/// The cut-off end of the last write.
public struct TornTail: Sendable, Hashable {
    /// The segment file.
    public var file: String
    /// Where it was cut.
    public var offset: Int
    /// Whole records behind the tear that had to go with it, because a record before them is missing.
    public var droppedRecords: Int
}

/// Something in the journal's directory that was not as it was written.
public struct Damage: Sendable, Hashable {
    /// What it is.
    public enum Kind: String, Sendable, Hashable {
        /// Bytes of a segment do not pass their checksums. What does was kept.
        case damagedRange = "damaged_range"
        /// Both copies of a segment's header are unreadable; its name and its records served instead.
        case damagedHeader = "damaged_header"
        /// A segment file is shorter than it was made.
        case truncatedFile = "truncated_file"
        /// Two files claim to be the same segment. The better one is used, the other was set aside.
        case duplicateSegment = "duplicate_segment"
        /// A segment had another's name. It has its own again.
        case misnamedSegment = "misnamed_segment"
        /// The file belongs to another journal, or nothing in it can be read. It was set aside.
        case unreadableFile = "unreadable_file"
        /// A checkpoint does not pass its checksum. An older one is used, or all records.
        case damagedCheckpoint = "damaged_checkpoint"
        /// The file with the journal's identity was missing or damaged, and was written anew.
        case damagedIdentity = "damaged_identity"
    }

    /// What it is.
    public var kind: Kind
    /// The name of the file in the journal's directory.
    public var file: String
    /// The damaged bytes, where they are a part of the file.
    public var bytes: Range<Int>?
    /// The name of the copy that was kept for inquiry; nil if there is none.
    public var copy: String?
}
