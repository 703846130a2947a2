public import MQTT

/// What the core wants done after a turn. The driver performs `list` in order, hands `journal` to the journal, then
/// calls ``removeAll()`` and uses the same value for the next turn.
public struct Effects: Sendable {
    /// Things to do, in order.
    public var list: ContiguousArray<Effect> = []
    /// Records to append, in order, to the journal. Empty where nothing durable happened.
    public var journal = JournalAppend()

    /// Makes an empty value.
    public init() { list.reserveCapacity(256) }

    /// Empties it, keeping the memory.
    public mutating func removeAll() {
        list.removeAll(keepingCapacity: true)
        journal.removeAll()
    }
}

/// One thing the driver must do.
public enum Effect: Sendable {
    /// Write a control packet that is neither PUBLISH nor an acknowledgement, in the connection's version.
    indirect case send(ConnectionID, Packet)
    /// Write PUBACK, PUBREC, PUBREL or PUBCOMP.
    case acknowledge(ConnectionID, AcknowledgementKind, packetID: UInt16, reason: ReasonCode)
    /// Write a PUBLISH: ``Delivery/write(to:)`` appends its bytes to the connection's outbound buffer.
    case deliver(ConnectionID, Delivery)
    /// Close the connection once what was sent before is flushed; a DISCONNECT was sent before where the version has
    /// it.
    indirect case close(ConnectionID, CloseReason)
    /// Ask whether the client may enter or stay, then call ``BrokerCore/authenticated(_:result:now:effects:)``.
    indirect case authenticate(ConnectionID, AuthenticationRequest)
    /// Read these journal records, then call ``BrokerCore/loaded(session:messages:now:effects:)``.
    case load(session: UInt32, records: [UInt64])
    /// Perform an administrator's commands, then call ``BrokerCore/reply(_:topic:payload:now:effects:)``.
    indirect case control(ConnectionID, ControlRequest)
    /// Write it into the audit log.
    indirect case audit(AuditEvent)
    /// Tell the operator. Constant message, no payloads, no credentials.
    indirect case log(Diagnostic)
}

/// Which of the four acknowledgements of QoS 1 and 2 is meant.
public enum AcknowledgementKind: Sendable, Hashable {
    case puback, pubrec, pubrel, pubcomp
}

/// Journal records of one turn: payloads one after the other, and where each ends.
public struct JournalAppend: Sendable {
    /// The sequence number of the first record; the others follow without a gap.
    public var firstSequence: UInt64 = 0
    var writer = RecordWriter()
    /// All record payloads, one after the other.
    public var bytes: [UInt8] { writer.bytes }
    /// The end offset in ``bytes`` of each record.
    public var ends: [Int] = []

    /// Makes an empty value.
    public init() {}

    /// Whether there is no record.
    public var isEmpty: Bool { ends.isEmpty }

    /// Empties it. The memory goes with the value that was handed to the journal.
    public mutating func removeAll() {
        writer.bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }
}

/// Why a connection ends; `reason` is what MQTT 5.0 calls it.
public struct CloseReason: Sendable, Hashable {
    /// The reason code.
    public var reason: ReasonCode
    /// The statement that was broken, or empty.
    public var statement: String
    /// One sentence for the log.
    public var message: String

    /// Makes a reason.
    public init(_ reason: ReasonCode, statement: String = "", _ message: String) {
        self.reason = reason
        self.statement = statement
        self.message = message
    }
}

/// One line for the operator.
public struct Diagnostic: Sendable, Hashable {
    /// How much it matters.
    public enum Level: Sendable, Hashable { case debug, info, warning, error }
    /// How much it matters.
    public var level: Level
    /// A constant sentence.
    public var message: String
    /// What varies.
    public var metadata: [String: String]

    /// Makes a line.
    public init(_ level: Level, _ message: String, _ metadata: [String: String] = [:]) {
        self.level = level
        self.message = message
        self.metadata = metadata
    }
}
