/// What only the driver can count: bytes, sockets, packets written. It goes into the `$SYS` tree.
public struct TransportStatistics: Sendable, Hashable {
    /// Bytes read from clients, after TLS.
    public var bytesReceived: UInt64 = 0
    /// Bytes written to clients, before TLS.
    public var bytesSent: UInt64 = 0
    /// Control packets of any type that were written.
    public var packetsSent: UInt64 = 0
    /// Connections that listeners took in.
    public var socketsAccepted: UInt64 = 0
    /// Bytes of heap in use; nil where the platform does not say.
    public var heapBytes: UInt64?

    /// All zero.
    public init() {}
}
