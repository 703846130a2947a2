/// When a relay connects next, and to which of its addresses. A value with the time as an argument.
struct RelayAttempts: Sendable {
    private let settings: RelaySettings
    private var backoff: Backoff?
    private(set) var addressIndex = 0
    /// When the next attempt is due; nil for never.
    private(set) var nextNanoseconds: UInt64?
    /// When the preferred address is looked at again, while another one is in use.
    private(set) var primaryNanoseconds: UInt64 = .max

    init(_ settings: RelaySettings, now: UInt64, seed: UInt64) {
        self.settings = settings
        if case .backoff(let base, let cap, _) = settings.restart {
            backoff = Backoff(base: UInt64(base) &* 1_000_000, cap: UInt64(cap) &* 1_000_000, seed: seed)
        }
        if case .lazy = settings.startType { nextNanoseconds = nil } else { nextNanoseconds = now }
    }

    var address: RelaySettings.Address { settings.addresses[addressIndex] }

    /// An attempt begins.
    mutating func began() { nextNanoseconds = nil }

    /// CONNACK came with success.
    mutating func succeeded(now: UInt64) {
        let isElsewhere = !settings.isRoundRobin && addressIndex != 0
        primaryNanoseconds = isElsewhere ? now &+ Self.primaryRetry : .max
    }

    /// The connection has ended, or there was none.
    /// - Parameter connectedNanoseconds: since when it stood; nil if it never did.
    mutating func ended(now: UInt64, connectedNanoseconds: UInt64?) {
        primaryNanoseconds = .max
        addressIndex = (addressIndex + 1) % settings.addresses.count
        switch settings.startType {
        case .once: nextNanoseconds = nil
        // A lazy relay waits for messages, but not less than the restart time after a failure.
        case .lazy, .automatic: nextNanoseconds = now &+ pause(now: now, connectedNanoseconds)
        }
    }

    private mutating func pause(now: UInt64, _ connectedNanoseconds: UInt64?) -> UInt64 {
        switch settings.restart {
        case .constant(let milliseconds): return UInt64(milliseconds) &* 1_000_000
        case .backoff(let base, _, let stable):
            if let since = connectedNanoseconds, now &- since >= UInt64(stable) &* 1_000_000 {
                backoff?.reset()
                return UInt64(base) &* 1_000_000
            }
            return backoff?.next() ?? 0
        }
    }

    /// The preferred address was looked at and does not answer.
    mutating func primaryIsAway(now: UInt64) { primaryNanoseconds = now &+ Self.primaryRetry }

    /// The preferred address answers again: it is next, at once.
    mutating func returnToPrimary(now: UInt64) {
        addressIndex = 0
        nextNanoseconds = now
        primaryNanoseconds = .max
    }

    private static let primaryRetry = UInt64(RelayLimits.primaryRetrySeconds) &* 1_000_000_000
}
