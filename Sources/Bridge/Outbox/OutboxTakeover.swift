internal import Journal
internal import MosquittoClient

extension OutboxInspection {
    /// Makes a restored outbox this box's own: its epoch grows, so that the cloud refuses the box it came from, and the
    /// bridge asks the cloud how far that one came before it sends anything.
    ///
    /// - Parameters:
    ///   - folder: The outbox's folder, which nobody has open.
    ///   - last: The last record of its journal.
    ///   - mainLast: The last record of the restored main journal.
    /// - Returns: The epoch before and the one from now on; nil if the outbox was never used.
    /// - Throws: ``BridgeError`` if the state cannot be read or written.
    public static func takeOver(
        _ folder: String,
        last: UInt64,
        mainLast: UInt64
    ) throws(BridgeError) -> (former: UInt64, epoch: UInt64)? {
        guard let found = try state(of: folder) else { return nil }
        let now = UInt64(max(1, MonotonicClock.wallMilliseconds() / 1000))
        var state = OutboxState(epoch: max(now, found.epoch + 1))
        state.confirmed = min(found.confirmed, last)
        state.used = last
        state.source = min(found.source, .end(of: mainLast))
        state.takeover = OutboxState.Takeover(epoch: found.epoch, last: last, mainLast: mainLast)
        try StateFile(path: folder + "/" + stateFile).write(state.encode())
        return (found.epoch, state.epoch)
    }
}
