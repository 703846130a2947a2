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

    /// Bytes of memory that the process holds, as the kernel counts them: the allocator's own count is not for Swift to
    /// read. Reading it takes microseconds and no disk.
    private static var heapBytes: UInt64? {
        let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { Glibc.close(descriptor) }
        let text = String(unsafeUninitializedCapacity: 128) { max(0, read(descriptor, $0.baseAddress, $0.count)) }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return nil }
        return pages &* UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
}
