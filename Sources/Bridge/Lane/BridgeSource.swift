public import Broker
public import Journal
internal import NIOCore

/// What a lane pulls from: the committed messages of the main journal.
public protocol BridgeSource: Sendable {
    /// The oldest record that can be read.
    var firstRecord: UInt64 { get }
    /// The last committed record.
    var committedRecord: UInt64 { get }
    /// Gives the messages of committed records from `record` on, record by record in order, until about `bytesMax`
    /// bytes were given or the closure returns false. Records without messages are given too, so that the position
    /// moves.
    /// - Returns: the record to go on from, and how many records on the way could not be read.
    func read(
        from record: UInt64,
        bytesMax: Int,
        _ body: (_ record: UInt64, _ messages: [JournaledMessage]) -> Bool
    ) throws(BridgeError) -> (next: UInt64, lost: UInt64)
}

/// The main journal as a source.
public struct JournalSource: BridgeSource {
    private let journal: Journal

    /// Reads from a journal.
    public init(_ journal: Journal) { self.journal = journal }

    /// The oldest record that can be read.
    public var firstRecord: UInt64 { journal.firstSequence }
    /// The last committed record.
    public var committedRecord: UInt64 { journal.committedSequence }

    /// Reads records and takes the messages out of them. What is damaged or not understood counts as lost.
    public func read(
        from record: UInt64,
        bytesMax: Int,
        _ body: (_ record: UInt64, _ messages: [JournaledMessage]) -> Bool
    ) throws(BridgeError) -> (next: UInt64, lost: UInt64) {
        var lost: UInt64 = 0
        do {
            let next = try journal.read(from: record, maxBytes: bytesMax) { sequence, payload in
                do {
                    let messages = try JournalRecord.messages(of: ByteBuffer(bytes: payload), sequence: sequence)
                    return body(sequence, messages)
                } catch {
                    lost += 1
                    return body(sequence, [])
                }
            }
            return (next, lost)
        } catch {
            guard let range = error.lostSequences else {
                throw BridgeError(.outbox, "the main journal cannot be read", cause: error)
            }
            // Records before the damage may have been given; the next call passes it.
            return (range.upperBound + 1, lost + UInt64(range.count))
        }
    }
}
