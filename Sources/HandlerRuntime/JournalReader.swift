public import Broker
public import Journal
import NIOCore

/// The site's journal for the handlers.
public struct JournalReader: CommittedRecords {
    private let journal: Journal

    /// Reads this journal.
    public init(_ journal: Journal) { self.journal = journal }

    /// The oldest sequence number that can still be read.
    public var firstSequence: UInt64 { journal.firstSequence }
    /// The newest sequence number that is on disk.
    public var committedSequence: UInt64 { journal.committedSequence }

    /// Gives the messages of committed records; see ``CommittedRecords``.
    public func read(
        from sequence: UInt64,
        maxBytes: Int,
        _ body: (_ sequence: UInt64, _ messages: [JournaledMessage]) -> Bool
    ) throws -> UInt64 {
        var failure: BrokerRecoveryError?
        let next: UInt64
        do {
            next = try journal.read(from: sequence, maxBytes: maxBytes) { sequence, payload in
                do throws(BrokerRecoveryError) {
                    let record = ByteBuffer(bytes: payload)
                    return body(sequence, try JournalRecord.messages(of: record, sequence: sequence))
                } catch {
                    failure = error
                    return false
                }
            }
        } catch {
            guard error.code == .corrupt, let lost = error.lostSequences else { throw error }
            throw LostRecords(sequences: lost)
        }
        if let failure { throw failure }
        return next
    }
}
