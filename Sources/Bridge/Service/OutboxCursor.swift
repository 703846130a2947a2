/// Reads ahead in the outbox, so that sending does not open the disk for every message.
struct OutboxCursor {
    /// Bytes read ahead.
    static let chunkBytes = 256 * 1024
    private var records: ArraySlice<QueuedRecord> = []
    /// The sequence from which `records` is complete.
    private var start: UInt64 = 0

    /// The record with this sequence or, if that is gone, the next one there is; nil if there is none.
    mutating func record(at sequence: UInt64, in outbox: Outbox) throws(BridgeError) -> QueuedRecord? {
        if sequence < start { records.removeAll() }
        while let first = records.first, first.sequence < sequence { records.removeFirst() }
        if records.isEmpty { records.append(contentsOf: try outbox.read(from: sequence, bytesMax: Self.chunkBytes)) }
        start = sequence
        return records.first
    }

    /// Forgets what was read.
    mutating func reset() {
        records.removeAll()
        start = 0
    }
}
