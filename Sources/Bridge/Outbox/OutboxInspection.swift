public import Broker
internal import Journal
internal import MosquittoClient

/// What stands in an outbox's folder besides its journal, and what that journal's records say. For operators; it
/// changes nothing.
public struct OutboxInspection: Sendable, Hashable {
    /// The folder's entry that holds the journal.
    public static let journalFolder = "journal"
    /// The folder's entry that holds epoch and positions.
    public static let stateFile = "state"

    /// The epoch of the sequences.
    public var epoch: UInt64
    /// Everything up to it is confirmed by the other side.
    public var confirmed: UInt64
    /// The last sequence that was known to be used when the state was saved.
    public var used: UInt64
    /// The bridge's position in the main journal, as far as the state file knows: records may say more.
    public var source: MessageReference

    /// Reads the state of an outbox's folder; nil if there is none yet.
    ///
    /// - Throws: ``BridgeError`` if it cannot be read, or its checksum does not fit.
    public static func state(of folder: String) throws(BridgeError) -> OutboxInspection? {
        let path = folder + "/" + stateFile
        guard let bytes = try StateFile(path: path).read() else { return nil }
        guard let state = OutboxState(decoding: bytes) else {
            throw BridgeError(.outbox, "\(path) does not pass its checksum")
        }
        return OutboxInspection(
            epoch: state.epoch,
            confirmed: state.confirmed,
            used: state.used,
            source: state.source
        )
    }
}

/// A record of an outbox in words.
public struct DescribedOutboxRecord: Sendable, Hashable {
    /// Whether it is a gap record rather than a message.
    public var isGap: Bool
    /// Its place in the main journal.
    public var source: MessageReference
    /// Its class.
    public var trafficClass: String
    /// The topic on the other side.
    public var topic: String
    /// The payload, redacted as it leaves.
    public var payload: [UInt8]
    /// When the site received it, milliseconds since 1970-01-01 UTC.
    public var receivedMilliseconds: Int64

    /// Reads a record's payload; nil if it is not understood.
    public init?(decoding bytes: UnsafeRawBufferPointer) {
        guard let record = OutboxRecord(decoding: bytes) else { return nil }
        isGap = record.kind == .gap
        source = record.source
        trafficClass = record.trafficClass.rawValue
        topic = record.topic
        payload = record.payload
        receivedMilliseconds = record.receivedMilliseconds
    }
}
