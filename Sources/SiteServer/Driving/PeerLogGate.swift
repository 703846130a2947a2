/// Lets through a bounded number of log lines about peers in a second and counts the rest, so that a hostile peer can
/// fill neither the disk nor the log.
struct PeerLogGate {
    private let linesPerSecond: Int
    private var second: UInt64 = 0
    private var lines = 0
    private var suppressed = 0

    init(linesPerSecond: Int) { self.linesPerSecond = linesPerSecond }

    /// Whether a line may be written now; if so, how many were kept back since the last one.
    mutating func admit(monotonicNanoseconds: UInt64) -> Int? {
        let now = monotonicNanoseconds / 1_000_000_000
        if now != second {
            second = now
            lines = 0
        }
        guard lines < linesPerSecond else {
            suppressed += 1
            return nil
        }
        lines += 1
        defer { suppressed = 0 }
        return suppressed
    }
}
