/// How a world ended.
struct Outcome: Sendable {
    let seed: UInt64
    /// The sum of all that happened.
    let hash: UInt64
    let violations: [History.Violation]
    let counts: Counts
}
