/// A rate over some time: what may be taken at once, and what comes back in a second. What is taken beyond is a debt.
struct TokenBucket {
    /// What it holds at most.
    let capacity: Double
    /// What comes back in a second.
    let perSecond: Double
    private var tokens: Double
    private var filledNanoseconds: UInt64

    init(capacity: Int, perSecond: Int, now: UInt64) {
        self.capacity = Double(capacity)
        self.perSecond = Double(perSecond)
        tokens = Double(capacity)
        filledNanoseconds = now
    }

    /// Notes the time.
    mutating func fill(now: UInt64) {
        guard now > filledNanoseconds else { return }
        tokens = min(capacity, tokens + Double(now - filledNanoseconds) / 1e9 * perSecond)
        filledNanoseconds = now
    }

    /// Takes something, as a debt if there is not enough.
    mutating func take(_ amount: Int) { tokens -= Double(amount) }

    /// Whether something may be taken.
    var isOpen: Bool { tokens > 0 }

    /// Whether nothing was taken for long enough that it could be forgotten.
    var isFull: Bool { tokens >= capacity }

    /// Nanoseconds until something may be taken again.
    var waitNanoseconds: UInt64 { isOpen ? 0 : UInt64((1 - tokens) / perSecond * 1e9) }
}
