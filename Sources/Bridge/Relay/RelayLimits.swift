/// What a relay takes at most. Every one of these is memory of this process.
enum RelayLimits {
    /// Topic lines of one relay.
    static let topicsMax = 1_000
    /// Messages of the other broker that wait for the core's window.
    static let inboundPendingMax = 10_000
    /// Their bytes. Beyond either the connection is closed, and the other broker sends again.
    static let inboundPendingBytesMax = 16 << 20
    /// Bytes that wait to be written to either side. Beyond, nothing more is read from the opposite side.
    static let outputBytesMax = 1 << 20
    /// QoS 0 messages that a lazy relay holds until it connects; the oldest go first.
    static let lazyHeldMax = 1_000
    /// Bytes read at once from a socket.
    static let readBytes = 64 * 1024
    /// Reads of one side in one turn, so that neither side starves.
    static let readsPerTurnMax = 16
    /// TCP, TLS and CONNACK: from the connection's begin to its end.
    static let handshakeSecondsMax = 30
    /// One address that a name stands for.
    static let connectSecondsMax = 10
    /// The wait before the preferred address is tried again.
    static let primaryRetrySeconds = 5
    /// What `stop` waits for the thread.
    static let stopSecondsMax = 5
}
