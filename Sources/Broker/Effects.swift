public import MQTT
public import NIOCore

/// What the core wants done after a turn. The driver performs `list` in order, hands `journal` to the journal, then
/// calls ``removeAll()`` and uses the same value for the next turn.
public struct Effects: Sendable {
    /// Things to do, in order.
    public var list: ContiguousArray<Effect> = []
    /// Packets that are encoded already; ``Effect/write(_:_:)`` says who is given which of them.
    public internal(set) var encoded = ByteBuffer()
    /// How many more packets `list` stands for than it has entries: what lies side by side for one client is one entry.
    public internal(set) var joinedPackets: UInt64 = 0
    /// The entry that a packet for the same client may be joined to.
    var open = OpenRun()
    /// Records to append, in order, to the journal. Empty where nothing durable happened.
    public var journal = JournalAppend()

    /// Makes an empty value.
    public init() { list.reserveCapacity(256) }

    /// Empties it, keeping the memory.
    public mutating func removeAll() {
        removePerformed()
        journal.removeAll()
    }

    /// Empties what was performed, keeping the memory. The journal's records stay.
    public mutating func removePerformed() {
        list.removeAll(keepingCapacity: true)
        joinedPackets = 0
        open = OpenRun()
        // A turn is about one read; what has grown beyond that is let go.
        if encoded.capacity > Self.encodedBytesKept { encoded = ByteBuffer() } else { encoded.clear() }
    }

    private static let encodedBytesKept = 1 << 20
}

/// A stretch of ``Effects/encoded``: one packet, or several side by side.
public struct EncodedPackets: Sendable, Hashable {
    /// The offset of its first byte.
    public let start: UInt32
    /// Its length.
    public let byteCount: UInt32
    /// The packet identifier to write into it, which differs from client to client; 0 for none.
    public let packetID: UInt16
    /// Where that goes, counted from `start`.
    public let packetIDOffset: UInt32
}

/// The last entry of ``Effects/list``, while it may grow.
struct OpenRun: Sendable {
    var index = -1
    var connection = ConnectionID(slot: .max, generation: .max)
    var byteCount: UInt32 = 0
    var end: UInt32 = 0
}

extension EncodedPackets {
    /// Appends the packets to a buffer.
    ///
    /// - Parameter encoded: ``Effects/encoded`` of the turn that they are of.
    @inlinable
    public func write(from encoded: ByteBuffer, to buffer: inout ByteBuffer) {
        let target = buffer.writerIndex
        encoded.withUnsafeReadableBytes { bytes in
            // SAFETY: the core makes stretches only of what it has appended to `encoded`, which is emptied together
            // with the list that they are in; the clamps keep a stretch of another turn from reaching beyond.
            let first = min(Int(start), bytes.count)
            let end = min(first &+ Int(byteCount), bytes.count)
            _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[first..<end]))
        }
        guard packetID != 0 else { return }
        buffer.setInteger(packetID, at: target &+ Int(packetIDOffset))
    }
}

extension Effects {
    /// Notes that packets go to a client, together with those before them if they lie side by side.
    @inline(__always)
    mutating func write(_ packets: EncodedPackets, to id: ConnectionID) {
        guard packets.packetID == 0 else {
            list.append(.write(id, packets))
            return
        }
        let end = packets.start &+ packets.byteCount
        if open.index >= 0, open.index == list.count &- 1, open.end == packets.start, open.connection == id {
            open.byteCount &+= packets.byteCount
            list[open.index] = .write(
                id,
                EncodedPackets(start: end &- open.byteCount, byteCount: open.byteCount, packetID: 0, packetIDOffset: 0)
            )
            joinedPackets &+= 1
        } else {
            list.append(.write(id, packets))
            open.index = list.count &- 1
            open.connection = id
            open.byteCount = packets.byteCount
        }
        open.end = end
    }
}

/// One thing the driver must do.
public enum Effect: Sendable {
    /// Write a control packet that is neither PUBLISH nor an acknowledgement, in the connection's version.
    indirect case send(ConnectionID, Packet)
    /// Write PUBACK, PUBREC, PUBREL or PUBCOMP.
    case acknowledge(ConnectionID, AcknowledgementKind, packetID: UInt16, reason: ReasonCode)
    /// Write packets that are encoded already: ``EncodedPackets/write(from:to:)`` appends them to the connection's
    /// outbound buffer.
    case write(ConnectionID, EncodedPackets)
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
