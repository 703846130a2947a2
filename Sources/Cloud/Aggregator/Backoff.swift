/// Growing pauses between attempts, capped and scattered, so that many clients of a broker do not come back at once.
///
/// Each pause is drawn between the base and three times the one before ("decorrelated jitter").
struct Backoff {
    private let base: Int
    private let cap: Int
    private var last: Int

    /// Makes one that begins at `base` milliseconds and never passes `cap`.
    init(base: Int, cap: Int) {
        self.base = max(1, base)
        self.cap = max(self.base, cap)
        last = self.base
    }

    /// The next pause, in milliseconds.
    mutating func next(using random: inout some RandomNumberGenerator) -> Int {
        let (triple, overflow) = last.multipliedReportingOverflow(by: 3)
        last = min(cap, Int.random(in: base...max(base, overflow ? cap : triple), using: &random))
        return last
    }

    /// Begins anew after a success.
    mutating func reset() { last = base }
}
