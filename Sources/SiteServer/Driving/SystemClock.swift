public import Broker
internal import Glibc

extension BrokerTime {
    /// The system's clocks now. About 40 ns: read once per batch, never per message.
    public static func now() -> BrokerTime {
        var monotonic = timespec()
        var wall = timespec()
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        clock_gettime(CLOCK_REALTIME, &wall)
        return BrokerTime(
            monotonicNanoseconds: UInt64(monotonic.tv_sec) &* 1_000_000_000 &+ UInt64(monotonic.tv_nsec),
            wallMilliseconds: Int64(wall.tv_sec) &* 1_000 &+ Int64(wall.tv_nsec) / 1_000_000
        )
    }
}
