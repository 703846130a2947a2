import Histogram
import NIOCore

/// Latencies by round: a message counts where it was due, however late it comes.
struct LatencyRecorder {
    private let start: UInt64
    private let roundNanoseconds: UInt64
    private var rounds: [Histogram<UInt32>]

    /// - Parameters:
    ///   - start: When the first round begins, in nanoseconds of the monotonic clock. What was due before is left out.
    ///   - roundNanoseconds: How long each lasts.
    init(start: UInt64, roundNanoseconds: UInt64, rounds: Int) {
        self.start = start
        self.roundNanoseconds = max(1, roundNanoseconds)
        let empty = Histogram<UInt32>(
            lowestDiscernibleValue: 100,
            highestTrackableValue: BenchLimits.latencyNanosecondsMax,
            numberOfSignificantValueDigits: .three
        )
        self.rounds = Array(repeating: empty, count: rounds)
    }

    mutating func record(dueNanoseconds: UInt64) {
        record(dueNanoseconds: dueNanoseconds, now: NIODeadline.now().uptimeNanoseconds)
    }

    mutating func record(dueNanoseconds: UInt64, now: UInt64) {
        guard dueNanoseconds >= start, now >= dueNanoseconds else { return }
        let round = (dueNanoseconds - start) / roundNanoseconds
        guard round < rounds.count else { return }
        rounds[Int(round)].record(min(now - dueNanoseconds, BenchLimits.latencyNanosecondsMax))
    }

    func summary(round: Int) -> BenchLatency { BenchLatency(rounds[round]) }
}

/// Latencies of one round, in microseconds, from a histogram with three significant digits.
public struct BenchLatency: Codable, Sendable, Hashable {
    /// How many were measured.
    public var count: UInt64
    /// The smallest.
    public var smallest: Double
    /// The median.
    public var p50: Double
    /// Nine of ten are not above it.
    public var p90: Double
    /// 99 of 100 are not.
    public var p99: Double
    /// 999 of 1,000 are not.
    public var p999: Double
    /// The largest.
    public var largest: Double

    init(_ histogram: Histogram<UInt32>) {
        func microseconds(_ percentile: Double) -> Double {
            Double(histogram.valueAtPercentile(percentile)) / 1_000
        }
        count = histogram.totalCount
        smallest = microseconds(0)
        p50 = microseconds(50)
        p90 = microseconds(90)
        p99 = microseconds(99)
        p999 = microseconds(99.9)
        largest = microseconds(100)
    }
}
