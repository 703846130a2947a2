internal import Broker

/// Connections that all have the same time for something, in the order in which it runs out. Looked at by the tick, so
/// entering and leaving cost nothing; one that did it in time is found to have done it when its entry comes up.
struct DeadlineQueue {
    private var entries: ContiguousArray<(id: ConnectionID, dueNanoseconds: UInt64)> = []
    /// Entries before this one have been taken.
    private var head = 0
    /// The time of those that enter. One that is shorter than before begins to hold when the entries of before are out.
    var seconds: UInt64

    init(seconds: UInt64) { self.seconds = seconds }

    /// Starts the time of a connection.
    mutating func insert(_ id: ConnectionID, now: BrokerTime) {
        entries.append((id, now.monotonicNanoseconds &+ seconds &* 1_000_000_000))
    }

    /// The next connection whose time is over.
    mutating func popDue(now: BrokerTime) -> ConnectionID? {
        guard head < entries.count, entries[head].dueNanoseconds <= now.monotonicNanoseconds else {
            // The look that finds nothing more cleans up, so each entry is moved a bounded number of times.
            if head > entries.count / 2 {
                entries.removeSubrange(..<head)
                head = 0
            }
            return nil
        }
        head += 1
        return entries[head - 1].id
    }
}
