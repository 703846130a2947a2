internal import Broker
internal import Glibc
internal import NIOCore
internal import Synchronization

// The driver's share of `$SYS`: what it counts itself.
extension CoreDriver {
    /// Lets the core publish what has changed, if that is due.
    func publishSystemTree(_ now: BrokerTime) {
        turn { core, _, effects in
            core.publishSystemTree(transportStatistics, now: now, effects: &effects)
        }
    }

    private var transportStatistics: TransportStatistics {
        var statistics = TransportStatistics()
        statistics.bytesReceived = counters.bytesReceived.load(ordering: .relaxed)
        statistics.bytesSent = counters.bytesSent.load(ordering: .relaxed)
        statistics.packetsSent = packetsSent
        statistics.socketsAccepted = counters.connectionsAccepted.load(ordering: .relaxed)
        statistics.heapBytes = Self.heapBytes
        return statistics
    }

    /// Bytes that the allocator has handed out. It walks the allocator's arenas, which takes microseconds.
    private static var heapBytes: UInt64? {
        let info = mallinfo2()
        return UInt64(info.uordblks) &+ UInt64(info.hblkhd)
    }
}
