/// What a load may be at most.
public enum BenchLimits {
    /// Connections of one load; file descriptors end it sooner on many systems.
    public static let clientsMax = 50_000
    /// Deliveries on their way over all connections.
    public static let windowMax = 1_000_000
    /// Messages on their way from one publisher: packet identifiers are 16 bits.
    public static let inflightMax = 60_000
    /// Bytes of a payload.
    public static let payloadBytesMax = 16 << 20
    /// Messages each second.
    public static let rateMax = 10_000_000.0
    /// Seconds of a round, and of the warm-up.
    public static let secondsMax = 86_400.0
    /// Rounds. Each has a histogram of its own.
    public static let roundsMax = 1_000
    /// Seconds that connections are idle: they say nothing, and a broker ends those that say nothing for too long.
    public static let idleSecondsMax = 1_200.0
    /// Storms.
    public static let stormsMax = 100
    /// Bytes that one write of a connection gathers.
    static let writeBytesMax = 128 << 10
    /// Bytes of one read.
    static let readBytesMax = 256 << 10
    /// Connections that are being set up at a time.
    static let connectingMax = 128
    /// How long one connection may take until it is ready.
    static let connectSecondsMax: Int64 = 30
    /// No delivery for so long with messages on their way: they are lost, and the window starts anew.
    static let stallMillisecondsMax: Int64 = 500
    /// How long kept messages and late deliveries are waited for after the last one came.
    static let patienceMillisecondsMax: Int64 = 3_000
    /// The longest latency that the histogram tells apart, in nanoseconds.
    static let latencyNanosecondsMax: UInt64 = 600_000_000_000
}
