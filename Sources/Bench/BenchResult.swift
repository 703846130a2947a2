import Glibc

/// One round of a load.
public struct BenchRound: Codable, Sendable, Hashable {
    /// How long it was.
    public var seconds: Double
    /// Deliveries; acknowledgements in a persistent load.
    public var count: UInt64
    /// Of these each second.
    public var perSecond: Double
    /// Deliveries that did not come.
    public var lost: UInt64
    /// Messages that the broker acknowledged with an error (MQTT 5.0).
    public var refused: UInt64
    /// How much of one CPU the generator took: near 1, the generator may be what was measured.
    public var generatorBusy: Double
    /// Latencies, of a load at a rate.
    public var latency: BenchLatency?
}

/// What a load found.
public struct BenchResult: Codable, Sendable {
    /// The rounds, in order.
    public var rounds: [BenchRound]
    /// Of a persistent load: messages that were acknowledged, over warm-up and rounds.
    public var acknowledged: UInt64?
    /// Of a persistent load: messages that the session held when its client came back.
    public var kept: UInt64?

    /// The middle round's deliveries, or acknowledgements, each second.
    public var medianPerSecond: Double {
        let sorted = rounds.map(\.perSecond).sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// What was lost over all: of a persistent load, what was acknowledged and not kept.
    public var lost: UInt64 {
        if let acknowledged, let kept { return acknowledged > kept ? acknowledged - kept : 0 }
        return rounds.reduce(0) { $0 + $1.lost }
    }
}

/// Processor time of this process so far, in seconds.
func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
}
