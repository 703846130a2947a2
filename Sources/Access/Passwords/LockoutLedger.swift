internal import Broker
internal import Dispatch
internal import Synchronization

/// The lockouts of one door, on the clock, told to an auditor as they begin and end. It outlives the users it stands
/// for: other users under the same door do not lift a lock. Usable from any thread.
final class LockoutLedger: Sendable {
    private struct State {
        var lockout: Lockout
        var audit: (@Sendable (AuditEvent) -> Void)?
        /// Whether a look for locks that are over is on its way.
        var isLooking = false
    }

    /// Seconds at least between two looks for locks that are over: that much later the auditor may hear of it.
    static let lookSeconds = 1.0

    private let state: Mutex<State>
    private let start = ContinuousClock.now
    private let elapsed: (@Sendable () -> Duration)?

    /// - Parameter elapsed: The time since some moment; nil for that of the machine. With a time of its own it does not
    ///   look by itself.
    init(limits: AuthenticationLimits, elapsed: (@Sendable () -> Duration)? = nil) {
        self.elapsed = elapsed
        state = Mutex(State(lockout: Lockout(limits: limits)))
    }

    /// Locks that have begun.
    var begun: UInt64 { state.withLock { $0.lockout.begun } }

    /// Bounds that count for failures from now on; locks that have begun stay.
    func take(_ limits: AuthenticationLimits) { state.withLock { $0.lockout.limits = limits } }

    /// Who is told of locks from now on.
    func observe(_ audit: @escaping @Sendable (AuditEvent) -> Void) { state.withLock { $0.audit = audit } }

    /// Whether the pair may not even be asked now.
    func isLocked(_ key: Lockout.Key) -> Bool {
        let now = nowNanoseconds
        return state.withLock { $0.lockout.isLocked(key, nowNanoseconds: now) }
    }

    /// A check of the pair has ended.
    ///
    /// - Parameter listener: Where the client came in, for the auditor.
    func note(_ key: Lockout.Key, isRight: Bool, listener: String) {
        let now = nowNanoseconds
        let (hasBegun, limits) = state.withLock { state in
            guard !isRight else {
                state.lockout.succeeded(key)
                return (false, state.lockout.limits)
            }
            return (state.lockout.failed(key, nowNanoseconds: now), state.lockout.limits)
        }
        guard hasBegun else { return }
        let why = "\(limits.failuresMax) failures within \(limits.failureSeconds) s; for \(limits.lockSeconds) s"
        tell([AuditEvent(.lockedOut, key, listener: listener, reason: why)])
        look()
    }

    /// Tells of the locks that are over, and looks again when the next one may be.
    func look() {
        let now = nowNanoseconds
        let ended = state.withLock { $0.lockout.ended(nowNanoseconds: now) }
        tell(
            ended.map { lock in
                let why = lock.isForgotten ? "too many others are remembered" : "the time is over"
                return AuditEvent(.lockoutLifted, lock.key, reason: why)
            }
        )
        guard elapsed == nil else { return }
        let wait = state.withLock { state -> UInt64? in
            guard !state.isLooking, let next = state.lockout.nextEndNanoseconds else { return nil }
            state.isLooking = true
            return next > now ? next - now : 0
        }
        guard let wait else { return }
        let seconds = max(Self.lookSeconds, Double(wait) / 1e9)
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + seconds) { [weak self] in
            self?.state.withLock { $0.isLooking = false }
            self?.look()
        }
    }

    private func tell(_ events: [AuditEvent]) {
        guard !events.isEmpty, let audit = state.withLock({ $0.audit }) else { return }
        for event in events { audit(event) }
    }

    private var nowNanoseconds: UInt64 {
        let passed = elapsed?() ?? start.duration(to: .now)
        let (seconds, attoseconds) = passed.components
        return UInt64(clamping: seconds) &* 1_000_000_000 &+ UInt64(clamping: attoseconds / 1_000_000_000)
    }
}

extension AuditEvent {
    fileprivate init(_ kind: Kind, _ key: Lockout.Key, listener: String? = nil, reason: String) {
        self.init(
            kind,
            username: String(decoding: key.username, as: UTF8.self),
            remoteAddress: key.address,
            listener: listener,
            reason: reason
        )
    }
}
