import HandlerKit

extension CouponHandler {
    /// What is remembered of one customer.
    public struct State: Codable, Sendable, Hashable {
        /// Whether the customer has agreed, and since when; nil if nothing is known, which counts as no.
        var consent: Consent?
        /// Days (since 1970, in the site's calendar) on which something was bought, ascending.
        var purchaseDays: [Int64] = []
        /// The last sale's instant.
        var lastPurchase: WallTime?
        /// Transactions already counted, the newest last.
        var transactions: [String] = []
        /// The stay that goes on.
        var stay: Stay?
        /// The newest sighting or visit that was looked at; older ones never decide.
        var seenThrough: WallTime?
        /// The last coupon.
        var lastIssued: WallTime?
        /// Coupons on the day of the last one.
        var issuedThatDay: Int64 = 0
        /// All coupons.
        var issuedCount: Int64 = 0
    }

    /// Whether the customer has agreed.
    struct Consent: Codable, Sendable, Hashable {
        var isGiven: Bool
        var at: WallTime
    }

    /// A stay in the shop.
    struct Stay: Codable, Sendable, Hashable {
        /// Sightings that have not yet made a presence.
        var sightings: [Sighting] = []
        /// Since when the customer is here.
        var presentSince: WallTime?
        /// The last sighting that counts.
        var lastSeen: WallTime
        /// Whether this visit has been decided about.
        var isDecided = false
    }

    /// One sighting.
    struct Sighting: Codable, Sendable, Hashable {
        var at: WallTime
        var signal: Double
    }

    /// What is remembered at most.
    enum Limits {
        static let purchaseDaysMax = 16
        static let transactionsMax = 32
        static let sightingsMax = 16
        static let textBytesMax = 128
    }
}

/// When a customer is here.
struct PresenceRules: Sendable, Hashable {
    var enterSignal: Double
    var exitSignal: Double
    var sightingsMin: Int
    var windowSeconds: Double
    var lostSeconds: Double
    var visitGapSeconds: Double
}

extension CouponHandler.Stay {
    /// How often a stay that has been decided about notes that it goes on. Writing down every sighting would cost a
    /// journal record each.
    static let noteSeconds = 10.0

    /// Takes a sighting into account.
    mutating func saw(_ sighting: CouponHandler.Sighting, rules: PresenceRules) {
        if sighting.at.seconds(since: lastSeen) > rules.lostSeconds {
            presentSince = nil
            sightings.removeAll()
        }
        guard sighting.signal >= rules.exitSignal else { return }
        if isDecided || presentSince != nil {
            if !isDecided || sighting.at.seconds(since: lastSeen) >= Self.noteSeconds { lastSeen = sighting.at }
            return
        }
        sightings.removeAll { sighting.at.seconds(since: $0.at) > rules.windowSeconds }
        sightings.append(sighting)
        if sightings.count > CouponHandler.Limits.sightingsMax { sightings.removeFirst() }
        lastSeen = sighting.at
        let signals = sightings.map(\.signal).sorted()
        guard signals.count >= rules.sightingsMin, signals[signals.count / 2] >= rules.enterSignal else { return }
        presentSince = sightings.first?.at
        sightings.removeAll()
    }
}
