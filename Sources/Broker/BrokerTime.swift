/// The instant of an event, as the driver read its clocks. The core never asks a clock itself.
///
/// Durations, keep alive and expiry run on the monotonic clock; the wall clock only stamps messages, so a step of the
/// wall clock disconnects nobody.
public struct BrokerTime: Hashable, Sendable {
    /// Nanoseconds of a monotonic clock with an arbitrary origin.
    public var monotonicNanoseconds: UInt64
    /// Milliseconds since 1970-01-01 UTC.
    public var wallMilliseconds: Int64

    /// Makes an instant.
    @inlinable
    public init(monotonicNanoseconds: UInt64, wallMilliseconds: Int64) {
        self.monotonicNanoseconds = monotonicNanoseconds
        self.wallMilliseconds = wallMilliseconds
    }
}
