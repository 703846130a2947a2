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

    private let limits: AuthenticationLimits
    /// Locks that have begun.
    private(set) var begun: UInt64 = 0
    /// Two halves: when the younger one is full, the older one is forgotten.
    private var younger: [Key: Entry] = [:]
    private var older: [Key: Entry] = [:]

    init(limits: AuthenticationLimits) { self.limits = limits }

    /// The pairs that are remembered.
    var count: Int { younger.count + older.count }

    /// Whether the pair may not even be asked now.
    func isLocked(_ key: Key, nowNanoseconds now: UInt64) -> Bool {
        (younger[key] ?? older[key]).map { now < $0.lockedUntil } ?? false
    }

    /// A check failed.
    mutating func failed(_ key: Key, nowNanoseconds now: UInt64) {
        var entry = younger[key] ?? older[key] ?? Entry(failures: 0, since: now)
        if now &- entry.since >= Self.nanoseconds(limits.failureSeconds) || entry.lockedUntil != 0 {
            // The window, or the lock, is over: it begins anew.
            guard now >= entry.lockedUntil else { return }
            entry = Entry(failures: 0, since: now)
        }
        entry.failures += 1
        if entry.failures >= limits.failuresMax {
            entry.lockedUntil = now &+ Self.nanoseconds(limits.lockSeconds)
            begun &+= 1
        }
        older[key] = nil
        younger[key] = entry
        guard younger.count >= max(1, limits.lockoutEntriesMax / 2) else { return }
        older = younger
        younger = [:]
    }

    /// A check was passed.
    mutating func succeeded(_ key: Key) {
        younger[key] = nil
        older[key] = nil
    }

    private static func nanoseconds(_ seconds: Int) -> UInt64 { UInt64(max(0, seconds)) &* 1_000_000_000 }
}
