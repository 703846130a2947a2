public import Broker

/// The journal as a reader sees it: messages of committed records, in order.
public protocol CommittedRecords: Sendable {
    /// The oldest sequence number that can still be read.
    var firstSequence: UInt64 { get }
    /// The newest sequence number that is on disk; 0 if there is none.
    var committedSequence: UInt64 { get }
    /// Calls `body` with the messages of each committed record from `sequence` on, in order, until about `maxBytes`
    /// were read or `body` returns false. Records that are gone are left out.
    ///
    /// - Returns: The sequence number to go on with.
    /// - Throws: ``LostRecords`` for damage that can be passed over; anything else stops the reader for good.
    func read(
        from sequence: UInt64,
        maxBytes: Int,
        _ body: (_ sequence: UInt64, _ messages: [JournaledMessage]) -> Bool
    ) throws -> UInt64
}

/// Records that were on disk and no longer can be read.
public struct LostRecords: Error, Hashable, Sendable {
    /// Their sequence numbers.
    public var sequences: ClosedRange<UInt64>

    /// Makes an error.
    public init(sequences: ClosedRange<UInt64>) { self.sequences = sequences }
}
