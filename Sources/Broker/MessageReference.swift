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

    /// By record, then by index.
    @inlinable
    public static func < (left: MessageReference, right: MessageReference) -> Bool {
        left.record != right.record ? left.record < right.record : left.index < right.index
    }

    /// Indices from here on are those of copies: retained messages that a session was given at its subscription.
    /// Readers of the journal never see them.
    static let firstCopyIndex: UInt16 = 0x8000
    /// Copies that one record may hold.
    static let copiesPerRecord: UInt16 = 0x7FFF

    /// Whether it is that of a copy.
    var isCopy: Bool { index >= Self.firstCopyIndex }

    /// Before every message.
    public static let zero = MessageReference(record: 0, index: 0)
}
