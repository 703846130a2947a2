import DequeModule
import MQTT
import NIOCore

/// The outbound QoS 1 and 2 exchanges of a session, by packet identifier.
///
/// A ring indexed by the identifier's low bits: identifiers are given out in order, so a look-up is one array access.
struct InflightTable {
    /// Where an exchange stands.
    enum State: UInt8 {
        /// PUBLISH may not go before its journal record is committed.
        case awaitingCommit
        /// PUBLISH has gone; PUBACK or PUBREC is due.
        case sent
        /// PUBREC has come but its record is not committed; PUBREL may not go yet.
        case received
        /// PUBREL has gone; PUBCOMP is due.
        case releasing
    }

    struct Entry {
        let packetID: UInt16
        let qos: QoS
        let retain: Bool
        var state: State
        /// The message; nil after recovery until it is loaded, and once PUBREC has come.
        var message: Message?
        /// Where it stands in the journal; nil if it is not journalled.
        let reference: MessageReference?
        let subscriptionIDs: [UInt32]
        /// The shared subscription that it came by.
        var share: SharedGroup?
        /// Grows with each exchange: the order of redelivery [MQTT-4.6.0-1].
        fileprivate(set) var order: UInt64 = 0
        /// The payload's, for the sum.
        fileprivate(set) var payloadBytes = 0
        /// Whether its PUBLISH is to be sent on the session's present connection, and was not yet.
        fileprivate(set) var isDue = false
    }

    private var slots: ContiguousArray<Entry?> = []
    /// Exchanges that there is to be room for at once.
    private var window = 0
    private var nextPacketID: UInt16 = 1
    private var nextOrder: UInt64 = 0
    private(set) var count = 0
    /// Payload bytes of all exchanges whose message is known.
    private(set) var payloadBytes = 0
    /// What is due, in order; some of it may be over.
    private var due: Deque<UInt16> = []
    /// How many exchanges are due.
    private(set) var dueCount = 0
    /// Exchanges that the session's present connection has been told of.
    var openCount: Int { count &- dueCount }

    /// Notes that there is to be room for a window of so many exchanges. It is made when the first begins, so that a
    /// session without any holds none.
    mutating func reserve(_ window: Int) {
        self.window = window
        if count == 0 { slots = [] } else { makeRoom(count) }
    }

    private mutating func makeRoom(_ exchanges: Int) {
        var size = 16
        while size < 2 * max(window, exchanges) && size < 65_536 { size *= 2 }
        guard size != slots.count else { return }
        rebuild(size: size)
    }

    private mutating func rebuild(size: Int) {
        let entries = ordered()
        var size = size
        // 65,536 slots hold each identifier in its own, so this ends.
        while true {
            var fresh = ContiguousArray<Entry?>(repeating: nil, count: size)
            var collided = false
            for entry in entries {
                let slot = Int(entry.packetID) & (size - 1)
                if fresh[slot] != nil { collided = true }
                fresh[slot] = entry
            }
            if !collided {
                slots = fresh
                return
            }
            size *= 2
        }
    }

    /// Begins an exchange with the next free packet identifier.
    mutating func insert(
        message: Message?,
        reference: MessageReference?,
        qos: QoS,
        retain: Bool,
        subscriptionIDs: [UInt32],
        share: SharedGroup? = nil,
        state: State
    ) -> UInt16 {
        if count * 2 >= slots.count { makeRoom(count + 1) }
        if slots.count < 65_536 && count * 2 >= slots.count { rebuild(size: max(16, slots.count * 2)) }
        var packetID = nextPacketID
        while packetID == 0 || slots[Int(packetID) & (slots.count - 1)] != nil { packetID &+= 1 }
        nextPacketID = packetID &+ 1
        put(
            Entry(
                packetID: packetID,
                qos: qos,
                retain: retain,
                state: state,
                message: message,
                reference: reference,
                subscriptionIDs: subscriptionIDs,
                share: share
            )
        )
        return packetID
    }

    /// Begins the exchange of a QoS 1 message that is sent once and then needed no more, because the session ends with
    /// its connection.
    mutating func insert(plainPayloadBytes bytes: Int) -> UInt16 {
        let packetID = insert(
            message: nil,
            reference: nil,
            qos: .atLeastOnce,
            retain: false,
            subscriptionIDs: [],
            state: .sent
        )
        slots[Int(packetID) & (slots.count - 1)]?.payloadBytes = bytes
        payloadBytes &+= bytes
        return packetID
    }

    /// A message of the session was dropped before it was sent. Its packet identifier goes with it, as if it had had
    /// one from the moment it came.
    mutating func skipPacketID(_ qos: QoS) {
        if qos != .atMostOnce { nextPacketID &+= 1 }
    }

    /// The packet identifier that was given out last; nil if none was.
    var lastPacketID: UInt16? { nextPacketID == 1 ? nil : nextPacketID &- 1 }

    /// The journal remembers that an identifier was given out: new ones follow it.
    mutating func passed(_ packetID: UInt16) {
        if packetID >= nextPacketID { nextPacketID = packetID &+ 1 }
    }

    /// Puts back an exchange that the journal remembers.
    mutating func restore(_ entry: Entry) {
        _ = remove(entry.packetID)
        if slots.isEmpty { rebuild(size: 16) }
        while slots[Int(entry.packetID) & (slots.count - 1)] != nil { rebuild(size: slots.count * 2) }
        put(entry)
        passed(entry.packetID)
    }

    private mutating func put(_ entry: consuming Entry) {
        entry.order = nextOrder
        entry.payloadBytes = entry.message?.payload.readableBytes ?? 0
        payloadBytes &+= entry.payloadBytes
        nextOrder += 1
        slots[Int(entry.packetID) & (slots.count - 1)] = entry
        count += 1
    }

    /// The exchange of a packet identifier.
    subscript(packetID: UInt16) -> Entry? {
        guard !slots.isEmpty, let entry = slots[Int(packetID) & (slots.count - 1)], entry.packetID == packetID else {
            return nil
        }
        return entry
    }

    /// The quality of service of a packet identifier's exchange; nil if there is none.
    func qos(of packetID: UInt16) -> QoS? {
        guard !slots.isEmpty else { return nil }
        let slot = Int(packetID) & (slots.count - 1)
        return slots[slot]?.packetID == packetID ? slots[slot]?.qos : nil
    }

    /// Changes the state of an exchange, if there is one. `dropMessage` lets go of the payload.
    mutating func update(_ packetID: UInt16, state: State, dropMessage: Bool = false) {
        guard !slots.isEmpty else { return }
        if dueCount > 0 { settle(packetID) }
        let slot = Int(packetID) & (slots.count - 1)
        slots[slot]?.state = state
        if dropMessage { slots[slot]?.message = nil }
    }

    /// Gives an exchange its message after it was loaded.
    mutating func attach(_ message: Message, to packetID: UInt16) {
        guard let entry = self[packetID] else { return }
        let slot = Int(packetID) & (slots.count - 1)
        let bytes = message.payload.readableBytes
        payloadBytes &+= bytes &- entry.payloadBytes
        slots[slot]?.payloadBytes = bytes
        slots[slot]?.message = message
    }

    /// Ends an exchange.
    mutating func remove(_ packetID: UInt16) -> Entry? {
        guard !slots.isEmpty else { return nil }
        let slot = Int(packetID) & (slots.count - 1)
        guard slots[slot]?.packetID == packetID, let entry = slots[slot].take() else { return nil }
        count -= 1
        if entry.isDue { dueCount -= 1 }
        payloadBytes &-= entry.payloadBytes
        return entry
    }

    /// Ends an exchange; gives whether the journal knows it, or nil if there is none.
    mutating func finish(_ packetID: UInt16) -> Bool? {
        remove(packetID).map { $0.reference != nil }
    }

    // MARK: - Repetition

    /// The session has another connection: every PUBLISH that has no answer is due on it, in order.
    mutating func makeDue() {
        due = []
        for entry in ordered() {
            let isDue = entry.state == .sent || entry.state == .awaitingCommit
            slots[Int(entry.packetID) & (slots.count - 1)]?.isDue = isDue
            if isDue { due.append(entry.packetID) }
        }
        dueCount = due.count
    }

    /// The exchange whose PUBLISH is due next; nil if none is.
    mutating func nextDue() -> Entry? {
        while let packetID = due.first {
            if let entry = self[packetID], entry.isDue { return entry }
            due.removeFirst()
        }
        return nil
    }

    /// The next exchanges that are due, at most so many.
    func due(atMost limit: Int) -> [Entry] {
        var entries: [Entry] = []
        for packetID in due {
            guard entries.count < limit else { break }
            if let entry = self[packetID], entry.isDue { entries.append(entry) }
        }
        return entries
    }

    /// The PUBLISH of an exchange is not due any more: it goes out, or its answer has come.
    mutating func settle(_ packetID: UInt16) {
        guard let entry = self[packetID], entry.isDue else { return }
        slots[Int(packetID) & (slots.count - 1)]?.isDue = false
        dueCount -= 1
    }

    /// Begins to count packet identifiers anew if none is in use.
    mutating func restartPacketIDs() {
        if count == 0 { nextPacketID = 1 }
    }

    /// All exchanges in the order they began.
    func ordered() -> [Entry] {
        slots.compactMap { $0 }.sorted { $0.order < $1.order }
    }
}
