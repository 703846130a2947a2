import Synchronization

/// What a ``SiteServer`` has counted since its start.
public struct SiteServerMetrics: Sendable, Hashable {
    /// Connections accepted and kept.
    public var connectionsAccepted: UInt64 = 0
    /// Connections closed at once because a limit was reached.
    public var connectionsRefused: UInt64 = 0
    /// Connections closed for a PROXY header, an HTTP request or a WebSocket frame that is wrong.
    public var handshakeFailures: UInt64 = 0
    /// Connections open now.
    public var connectionsOpen: UInt64 = 0
    /// TLS handshakes that failed, and TLS connections that broke their own rules.
    public var tlsFailures: UInt64 = 0
    /// Clients refused or cut because their certificates are revoked, or no current list says that they are not.
    public var certificatesRevoked: UInt64 = 0
    /// TLS handshakes not done in time.
    public var handshakeTimeouts: UInt64 = 0
    /// Failures of `accept`, such as no file descriptor left.
    public var acceptFailures: UInt64 = 0
    /// Connections closed for a malformed packet or a protocol error.
    public var protocolErrors: UInt64 = 0
    /// Connections cut because too many bytes were on the way to them.
    public var outboundOverflows: UInt64 = 0
    /// Times that reading from a connection was halted, for the journal or because it was slow itself.
    public var readingPauses: UInt64 = 0
    /// Times that reading from a client was halted because it published too quickly.
    public var publishRatePauses: UInt64 = 0
    /// Bytes read, after TLS.
    public var bytesReceived: UInt64 = 0
    /// Bytes written, before TLS.
    public var bytesSent: UInt64 = 0
    /// Checkpoints written.
    public var checkpoints: UInt64 = 0
}

/// The counters behind ``SiteServerMetrics``: written on the core's loop, read from any thread.
final class ServerCounters: Sendable {
    let connectionsAccepted = Atomic<UInt64>(0)
    let connectionsRefused = Atomic<UInt64>(0)
    let handshakeFailures = Atomic<UInt64>(0)
    let connectionsOpen = Atomic<UInt64>(0)
    let tlsFailures = Atomic<UInt64>(0)
    let certificatesRevoked = Atomic<UInt64>(0)
    let handshakeTimeouts = Atomic<UInt64>(0)
    let acceptFailures = Atomic<UInt64>(0)
    let protocolErrors = Atomic<UInt64>(0)
    let outboundOverflows = Atomic<UInt64>(0)
    let readingPauses = Atomic<UInt64>(0)
    let publishRatePauses = Atomic<UInt64>(0)
    let bytesReceived = Atomic<UInt64>(0)
    let bytesSent = Atomic<UInt64>(0)
    let checkpoints = Atomic<UInt64>(0)

    var snapshot: SiteServerMetrics {
        SiteServerMetrics(
            connectionsAccepted: connectionsAccepted.load(ordering: .relaxed),
            connectionsRefused: connectionsRefused.load(ordering: .relaxed),
            handshakeFailures: handshakeFailures.load(ordering: .relaxed),
            connectionsOpen: connectionsOpen.load(ordering: .relaxed),
            tlsFailures: tlsFailures.load(ordering: .relaxed),
            certificatesRevoked: certificatesRevoked.load(ordering: .relaxed),
            handshakeTimeouts: handshakeTimeouts.load(ordering: .relaxed),
            acceptFailures: acceptFailures.load(ordering: .relaxed),
            protocolErrors: protocolErrors.load(ordering: .relaxed),
            outboundOverflows: outboundOverflows.load(ordering: .relaxed),
            readingPauses: readingPauses.load(ordering: .relaxed),
            publishRatePauses: publishRatePauses.load(ordering: .relaxed),
            bytesReceived: bytesReceived.load(ordering: .relaxed),
            bytesSent: bytesSent.load(ordering: .relaxed),
            checkpoints: checkpoints.load(ordering: .relaxed)
        )
    }
}

extension Atomic where Value == UInt64 {
    /// Counts up. Only the core's loop writes, so no ordering is needed.
    @inline(__always)
    func add(_ amount: Int = 1) {
        _ = wrappingAdd(UInt64(amount), ordering: .relaxed)
    }
}
