/// Where a message stands in the journal: the sequence of its record and its place among the record's messages.
public struct MessageReference: Hashable, Sendable, Comparable {
    /// The sequence number of the journal record.
    public var record: UInt64
    /// The index among the messages of that record.
    public var index: UInt16

    /// Makes a reference.
    @inlinable
    public init(record: UInt64, index: UInt16) {
        self.record = record
        self.index = index
    }

    @inlinable
    public static func < (left: MessageReference, right: MessageReference) -> Bool {
        left.record != right.record ? left.record < right.record : left.index < right.index
    }

    /// Before every message.
    public static let zero = MessageReference(record: 0, index: 0)
}
