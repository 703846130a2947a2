internal import Broker

/// The connections of each address: how many there are, and how quickly they came. One ledger serves all listeners.
struct AddressLedger {
    /// Addresses remembered without a connection of theirs, for their rate.
    static let rememberedMax = 65_536
    /// Time between two looks for what can be forgotten.
    private static let sweepNanoseconds: UInt64 = 5_000_000_000

    private struct Entry {
        var open = 0
        var rate: TokenBucket
    }

    private var openMax: Int
    private var ratePerSecond: Int
    private var burst: Int
    private var entries: [String: Entry] = [:]
    private var sweptNanoseconds: UInt64 = 0

    init(limits: SiteServerLimits) {
        openMax = limits.connectionsPerAddressMax
        ratePerSecond = limits.connectionRatePerAddressMax
        burst = limits.connectionBurstPerAddressMax
    }

    /// Other limits count. With another rate, every address begins with a full burst of it.
    mutating func take(_ limits: SiteServerLimits) {
        openMax = limits.connectionsPerAddressMax
        let hasOtherRate = ratePerSecond != limits.connectionRatePerAddressMax
        let hasOtherBurst = burst != limits.connectionBurstPerAddressMax
        ratePerSecond = limits.connectionRatePerAddressMax
        burst = limits.connectionBurstPerAddressMax
        guard hasOtherRate || hasOtherBurst else { return }
        for (key, entry) in entries {
            let rate = TokenBucket(capacity: burst, perSecond: ratePerSecond, now: sweptNanoseconds)
            entries[key] = entry.open > 0 ? Entry(open: entry.open, rate: rate) : nil
        }
    }

    /// Notes a connection, unless its address has too many or had too many in too short a time.
    mutating func admit(_ key: String, now: BrokerTime) -> Bool {
        let nanoseconds = now.monotonicNanoseconds
        var entry =
            entries[key]
            ?? Entry(rate: TokenBucket(capacity: burst, perSecond: ratePerSecond, now: nanoseconds))
        entry.rate.fill(now: nanoseconds)
        let isAdmitted = entry.open < openMax && entry.rate.isOpen
        if isAdmitted {
            entry.open += 1
            entry.rate.take(1)
        }
        if entry.open > 0 || entries.count < Self.rememberedMax { entries[key] = entry }
        return isAdmitted
    }

    /// A connection of that address is gone.
    mutating func release(_ key: String) {
        guard var entry = entries[key] else { return }
        entry.open -= 1
        entries[key] = entry.open > 0 || entries.count <= Self.rememberedMax ? entry : nil
    }

    /// Forgets, now and then, the addresses that nothing is open from and whose rate is full again.
    mutating func sweep(now: BrokerTime) {
        let nanoseconds = now.monotonicNanoseconds
        guard nanoseconds >= sweptNanoseconds &+ Self.sweepNanoseconds else { return }
        sweptNanoseconds = nanoseconds
        for (key, var entry) in entries where entry.open == 0 {
            entry.rate.fill(now: nanoseconds)
            if entry.rate.isFull { entries[key] = nil }
        }
    }

    /// Addresses that it knows.
    var count: Int { entries.count }
}
