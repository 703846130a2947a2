internal import Broker

/// The connections by dense slot. A slot is used again with another generation, so an effect for a connection that is
/// gone finds nothing.
struct ConnectionTable {
    private struct Slot {
        var generation: UInt32
        var connection: ClientConnection?
    }

    private var slots: ContiguousArray<Slot> = []
    private var free: ContiguousArray<UInt32> = []
    /// Connections that it takes; those that are there stay when it falls below their number.
    var max: Int

    /// Connections in the table.
    private(set) var count = 0

    init(max: Int) { self.max = max }

    /// Takes a connection in; nil if the table is full.
    mutating func insert(_ connection: ClientConnection) -> ConnectionID? {
        guard count < max else { return nil }
        count += 1
        if let slot = free.popLast() {
            slots[Int(slot)].connection = connection
            return ConnectionID(slot: slot, generation: slots[Int(slot)].generation)
        }
        slots.append(Slot(generation: 0, connection: connection))
        return ConnectionID(slot: UInt32(slots.count - 1), generation: 0)
    }

    /// The connection, unless it is gone.
    @inline(__always)
    func connection(_ id: ConnectionID) -> ClientConnection? {
        let index = Int(id.slot)
        guard index < slots.count, slots[index].generation == id.generation else { return nil }
        return slots[index].connection
    }

    /// Lets a connection go. True if it was there.
    mutating func remove(_ id: ConnectionID) -> Bool {
        guard connection(id) != nil else { return false }
        slots[Int(id.slot)].connection = nil
        slots[Int(id.slot)].generation &+= 1
        free.append(id.slot)
        count -= 1
        return true
    }

    /// All connections, in the order of their slots.
    var all: [ClientConnection] { slots.compactMap(\.connection) }
}
