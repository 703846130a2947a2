internal import Broker
internal import Logging
internal import NIOCore
internal import Synchronization

// Which connections may stay.
extension CoreDriver {
    /// Takes a new connection in, unless a limit is reached.
    func admit(_ connection: ClientConnection, now: BrokerTime) -> Bool {
        let address = connection.remoteAddress
        let perAddress = connectionsByAddress[address, default: 0]
        let perListener = connectionsByListener[connection.listenerIndex]
        guard
            !isShuttingDown,
            perAddress < limits.connectionsPerAddressMax,
            perListener < connection.listener.connectionsMax,
            let id = table.insert(connection)
        else {
            counters.connectionsRefused.add()
            logPeer(.warning, "A connection was refused: too many", connection.logMetadata(), now: now)
            return false
        }
        connection.id = id
        connection.isCounted = true
        connectionsByAddress[address] = perAddress + 1
        connectionsByListener[connection.listenerIndex] = perListener + 1
        counters.connectionsAccepted.add()
        counters.connectionsOpen.store(UInt64(table.count), ordering: .relaxed)
        return true
    }

    /// Gives back what ``admit(_:now:)`` took. The slot stays taken until the core has heard of the end, so that no
    /// other connection gets it before.
    func release(_ connection: ClientConnection, isKnownToCore: Bool, now: BrokerTime) {
        guard connection.isCounted else { return }
        connection.isCounted = false
        connectionsByListener[connection.listenerIndex] -= 1
        let address = connection.remoteAddress
        let rest = connectionsByAddress[address, default: 1] - 1
        connectionsByAddress[address] = rest > 0 ? rest : nil
        if isKnownToCore { closed(connection.id, now: now) } else { forget(connection.id) }
    }

    /// A connection that the core knows is gone.
    private func closed(_ id: ConnectionID, now: BrokerTime) {
        guard !isInTurn else {
            // The channel broke while effects were performed: the core hears of it after the turn.
            let bound = NIOLoopBound(self, eventLoop: loop)
            loop.execute { bound.value.closed(id, now: BrokerTime.now()) }
            return
        }
        turn { core, now, effects in core.closed(id, now: now, effects: &effects) }
        forget(id)
    }

    private func forget(_ id: ConnectionID) {
        _ = table.remove(id)
        counters.connectionsOpen.store(UInt64(table.count), ordering: .relaxed)
        if isShuttingDown, table.count == 0 { fulfilAllGone() }
    }
}
