internal import Broker
internal import Logging
internal import NIOCore
internal import Synchronization

// Which connections may stay.
extension CoreDriver {
    /// Takes a new connection in, unless a limit is reached. One whose address a proxy is still to say counts for its
    /// listener now and for its address later.
    func admit(_ connection: ClientConnection, now: BrokerTime) -> Bool {
        let isLocal = connection.attachment != nil
        let hasRoom =
            isLocal
            ? attachments < limits.localAttachmentsMax
            : connection.state.connections < connection.listener.connectionsMax
        let awaitsAddress = isLocal || connection.awaited.contains(.proxyHeader)
        guard !isShuttingDown, hasRoom, awaitsAddress || addresses.admit(connection.addressKey, now: now) else {
            refused(connection, now: now)
            return false
        }
        guard let id = table.insert(connection) else {
            if !awaitsAddress { addresses.release(connection.addressKey) }
            refused(connection, now: now)
            return false
        }
        connection.id = id
        connection.isCounted = true
        connection.isAddressCounted = !awaitsAddress
        if isLocal { attachments += 1 } else { connection.state.connections += 1 }
        counters.connectionsAccepted.add()
        counters.connectionsOpen.store(UInt64(table.count), ordering: .relaxed)
        return true
    }

    /// A proxy has said where a connection comes from. False if there are too many from there.
    func admitAddress(_ connection: ClientConnection, now: BrokerTime) -> Bool {
        guard addresses.admit(connection.addressKey, now: now) else {
            refused(connection, now: now)
            return false
        }
        connection.isAddressCounted = true
        return true
    }

    private func refused(_ connection: ClientConnection, now: BrokerTime) {
        counters.connectionsRefused.add()
        logPeer(.warning, "A connection was refused: too many", connection.logMetadata(), now: now)
    }

    /// Gives back what ``admit(_:now:)`` took. The slot stays taken until the core has heard of the end, so that no
    /// other connection gets it before.
    func release(_ connection: ClientConnection, isKnownToCore: Bool, now: BrokerTime) {
        guard connection.isCounted else { return }
        connection.isCounted = false
        if connection.attachment != nil { attachments -= 1 } else { connection.state.connections -= 1 }
        if connection.isAddressCounted { addresses.release(connection.addressKey) }
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
        if table.remove(id) { memoryReturn.connectionIsGone() }
        counters.connectionsOpen.store(UInt64(table.count), ordering: .relaxed)
        if isShuttingDown, table.count == 0 { fulfilAllGone() }
    }
}
