public import MQTT

/// The bounds of a ``SiteServer``. Each has a line in `Docs/Limits.md`; values are checked and clamped at the start.
public struct SiteServerLimits: Sendable, Hashable {
    /// Connections of all listeners together. The next one is closed at once.
    public var connectionsMax = 10_000
    /// Connections from one IP address, so that one device gone mad cannot take every slot. The next one is closed.
    public var connectionsPerAddressMax = 5_000
    /// New connections from one IP address in a second, over some time. Those beyond are closed at once.
    public var connectionRatePerAddressMax = 1_000
    /// New connections from one IP address that may come at once before the rate counts, as after a power cut.
    public var connectionBurstPerAddressMax = 10_000
    /// Clients inside this process (bridges) at once. The next one is refused.
    public var localAttachmentsMax = 64
    /// The queue of the kernel for connections that are not accepted yet.
    public var backlog = 1_024
    /// From accepting a connection to the end of what comes before MQTT on it, all together: the PROXY header, the TLS
    /// handshake, the WebSocket upgrade. Then it is closed. The time to CONNECT (`connect_timeout`) runs beside it.
    public var handshakeSeconds: UInt64 = 10
    /// Memory held for all connections that are not past CONNECT, together: for undecoded bytes, and for what came for
    /// a TLS handshake, a PROXY header or an HTTP request. A connection that exceeds it is closed.
    public var preConnectBytesMax = 64 << 20
    /// PUBLISH packets taken from one client in a second (`max_publish_rate`), over some time; 0 for any number.
    /// Beyond, nothing is read from it for a while: nothing is lost.
    public var publishRateMax = 0
    /// Bytes of PUBLISH packets taken from one client in a second (`max_publish_bytes_per_second`), over some time; 0
    /// for any number. Beyond, nothing is read from it for a while.
    public var publishBytesPerSecondMax = 0
    /// Bytes of the HTTP request that opens a WebSocket. Beyond: 431.
    public var httpHeadBytesMax = 8 << 10
    /// Header lines of that request. Beyond: 431.
    public var httpHeadersMax = 64
    /// The length that a WebSocket frame may say. Frames are passed on as they come, whatever their length, so this is
    /// no memory; packets in them have their own limits. Beyond: closed with 1009.
    public var webSocketFrameBytesMax = 16 << 20
    /// What the packet decoder takes.
    public var decoder = DecoderLimits()
    /// Bytes on the way to one client above which it counts as slow: the core drops QoS 0 and queues the rest.
    public var outboundBytesMax = 1 << 20
    /// Bytes on the way to one client below which it is no longer slow.
    public var outboundResumeBytes = 512 << 10
    /// Bytes that a slow client may still cause (acknowledgements, its in-flight window) before nothing more is read
    /// from it, until it is no longer slow.
    public var slowClientBytesMax = 256 << 10
    /// Bytes on the way to one client at which the connection is cut, whatever they are.
    public var outboundBytesHardMax = 64 << 20
    /// Bytes gathered for one client before they are written within a turn rather than at its end.
    public var gatherBytesMax = 256 << 10
    /// The largest single read from a socket.
    public var readBytesMax = 64 << 10
    /// How long a connection that is being closed may take to send what was written before, and its peer to read it.
    public var closeSeconds: UInt64 = 3
    /// Journal bytes that are not yet on the disk above which nothing more is read from those that publish.
    /// Reading goes on at half of it.
    public var journalPendingBytesMax = 64 << 20
    /// Journal bytes between two checkpoints.
    public var checkpointBytes = 64 << 20
    /// Log lines about peers (refused, malformed, failed handshakes) in one second; the rest is counted.
    public var peerLogLinesPerSecond = 20

    /// The defaults.
    public init() {}

    /// The same limits with every value inside its meaningful range, so that a 0 in a file cannot stall or trap.
    func clamped() -> SiteServerLimits {
        var limits = self
        limits.connectionsMax = min(max(1, connectionsMax), 1 << 20)
        limits.connectionsPerAddressMax = max(1, connectionsPerAddressMax)
        limits.connectionRatePerAddressMax = min(max(1, connectionRatePerAddressMax), 1 << 30)
        limits.connectionBurstPerAddressMax = min(max(1, connectionBurstPerAddressMax), 1 << 30)
        limits.localAttachmentsMax = max(0, localAttachmentsMax)
        limits.publishRateMax = max(0, publishRateMax)
        limits.publishBytesPerSecondMax = max(0, publishBytesPerSecondMax)
        limits.httpHeadBytesMax = min(max(512, httpHeadBytesMax), 64 << 10)
        limits.httpHeadersMax = min(max(8, httpHeadersMax), 1_024)
        limits.webSocketFrameBytesMax = min(max(64 << 10, webSocketFrameBytesMax), 1 << 30)
        limits.backlog = min(max(1, backlog), 65_535)
        limits.handshakeSeconds = min(max(1, handshakeSeconds), 3_600)
        limits.preConnectBytesMax = max(64 << 10, preConnectBytesMax)
        limits.outboundBytesMax = min(max(16 << 10, outboundBytesMax), 1 << 30)
        limits.outboundResumeBytes = min(max(1, outboundResumeBytes), limits.outboundBytesMax)
        limits.slowClientBytesMax = max(4 << 10, slowClientBytesMax)
        limits.outboundBytesHardMax = max(limits.outboundBytesMax * 2, outboundBytesHardMax)
        limits.gatherBytesMax = min(max(4 << 10, gatherBytesMax), limits.outboundBytesMax)
        limits.readBytesMax = min(max(1 << 10, readBytesMax), 1 << 20)
        limits.closeSeconds = min(max(1, closeSeconds), 60)
        limits.journalPendingBytesMax = max(64 << 10, journalPendingBytesMax)
        limits.checkpointBytes = max(64 << 10, checkpointBytes)
        limits.peerLogLinesPerSecond = max(1, peerLogLinesPerSecond)
        return limits
    }
}
