/// How far the wall clock was ahead of the monotonic one when which records were written. With it the age of a record
/// of this life is known however the wall clock has been set since.
struct ClockSteps {
    /// Steps that are remembered; before the oldest, ages go by the wall clock.
    private static let stepsMax = 64
    /// A difference from which on it is a step, in milliseconds. Below, it is the clock being disciplined.
    private static let stepMilliseconds: Int64 = 500

    private var steps: [(first: UInt64, offset: Int64)] = []

    /// Notes the clocks as of the record that comes next.
    mutating func note(_ now: BrokerTime, next sequence: UInt64) {
        let offset = Self.offset(now)
        if let last = steps.last, abs(last.offset - offset) < Self.stepMilliseconds { return }
        if steps.count == Self.stepsMax { steps.removeFirst() }
        steps.append((sequence, offset))
    }

    /// When a record was received, on the monotonic clock in milliseconds: by the clocks at its writing, or by those of
    /// now where these are not known.
    func monotonicMilliseconds(of sequence: UInt64, received wall: Int64, now: BrokerTime) -> Int64 {
        wall &- (steps.last { $0.first <= sequence }?.offset ?? Self.offset(now))
    }

    private static func offset(_ now: BrokerTime) -> Int64 {
        now.wallMilliseconds &- Int64(now.monotonicNanoseconds / 1_000_000)
    }
}
