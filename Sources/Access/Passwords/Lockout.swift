/// Who failed too often to be asked again for a while: by user and address, so that nobody can lock a user out from
/// elsewhere. Pure: the time comes in.
struct Lockout {
    struct Key: Hashable {
        let username: [UInt8]
        let address: String
    }

    private struct Entry {
        var failures: Int
        /// When the failures began to count.
        var since: UInt64
        /// When the lock ends; 0 for none.
        var lockedUntil: UInt64 = 0
    }

    /// A lock that is over.
    struct Ended: Hashable {
        let key: Key
        /// Whether it ended before its time, because too many pairs were remembered.
        let isForgotten: Bool
    }

    /// What counts for failures from now on.
    var limits: AuthenticationLimits
    /// Locks that have begun.
    private(set) var begun: UInt64 = 0
    /// Two halves: when the younger one is full, the older one is forgotten.
    private var younger: [Key: Entry] = [:]
    private var older: [Key: Entry] = [:]
    /// Locks that nobody has been told the end of: no more than pairs that are remembered.
    private var locks: [(key: Key, endNanoseconds: UInt64)] = []
    private var forgotten: [Ended] = []

    init(limits: AuthenticationLimits) { self.limits = limits }

    /// The pairs that are remembered.
    var count: Int { younger.count + older.count }

    /// Whether the pair may not even be asked now.
    func isLocked(_ key: Key, nowNanoseconds now: UInt64) -> Bool {
        (younger[key] ?? older[key]).map { now < $0.lockedUntil } ?? false
    }

    /// A check failed.
    ///
    /// - Returns: Whether a lock begins with it.
    @discardableResult
    mutating func failed(_ key: Key, nowNanoseconds now: UInt64) -> Bool {
        var entry = younger[key] ?? older[key] ?? Entry(failures: 0, since: now)
        if now &- entry.since >= Self.nanoseconds(limits.failureSeconds) || entry.lockedUntil != 0 {
            // The window, or the lock, is over: it begins anew.
            guard now >= entry.lockedUntil else { return false }
            entry = Entry(failures: 0, since: now)
        }
        entry.failures += 1
        let begins = entry.failures >= limits.failuresMax
        if begins {
            entry.lockedUntil = now &+ Self.nanoseconds(limits.lockSeconds)
            begun &+= 1
            locks.append((key, entry.lockedUntil))
        }
        older[key] = nil
        younger[key] = entry
        if younger.count >= max(1, limits.lockoutEntriesMax / 2) { forgetOlder(nowNanoseconds: now) }
        return begins
    }

    private mutating func forgetOlder(nowNanoseconds now: UInt64) {
        for (key, entry) in older where now < entry.lockedUntil {
            forgotten.append(Ended(key: key, isForgotten: true))
        }
        if !forgotten.isEmpty { locks.removeAll { older[$0.key] != nil } }
        older = younger
        younger = [:]
    }

    /// When the next lock ends; nil if there is none.
    var nextEndNanoseconds: UInt64? { forgotten.isEmpty ? locks.lazy.map(\.endNanoseconds).min() : 0 }

    /// The locks that are over, each told once.
    mutating func ended(nowNanoseconds now: UInt64) -> [Ended] {
        var ended = forgotten
        forgotten = []
        locks.removeAll { lock in
            guard lock.endNanoseconds <= now else { return false }
            ended.append(Ended(key: lock.key, isForgotten: false))
            return true
        }
        return ended
    }

    /// A check was passed.
    mutating func succeeded(_ key: Key) {
        younger[key] = nil
        older[key] = nil
    }

    private static func nanoseconds(_ seconds: Int) -> UInt64 { UInt64(max(0, seconds)) &* 1_000_000_000 }
}
