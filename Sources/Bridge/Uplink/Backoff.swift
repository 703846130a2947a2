/// The pause before the next attempt to connect: decorrelated jitter, so that three thousand sites that lost the same
/// cloud do not come back in step. Each pause is drawn between the base and three times the one before, up to the cap.
struct Backoff: Sendable {
    private let base: UInt64
    private let cap: UInt64
    private var last: UInt64
    private var random: SplitMix64

    init(base: UInt64, cap: UInt64, seed: UInt64) {
        self.base = max(1, base)
        self.cap = max(self.base, cap)
        last = self.base
        random = SplitMix64(state: seed)
    }

    /// The next pause.
    mutating func next() -> UInt64 {
        let upper = min(cap, last &* 3)
        last = upper <= base ? base : UInt64.random(in: base...upper, using: &random)
        return last
    }

    /// The longest pause, a little varied: for refusals that waiting alone will not heal.
    mutating func nextAfterRefusal() -> UInt64 {
        last = cap
        return UInt64.random(in: (cap - cap / 4)...cap, using: &random)
    }

    /// The connection did its work: begin anew.
    mutating func reset() { last = base }
}

/// A small generator whose every draw follows from its seed.
struct SplitMix64: RandomNumberGenerator, Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
