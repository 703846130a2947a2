public import Broker
internal import MQTT
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Checks user names and passwords, of a password file or of dynamic security.
///
/// Hashing takes milliseconds by design, so it happens on a thread of its own with a bounded queue: a storm of wrong
/// passwords delays those who log in, never those who are in. An unknown user costs what a known one does. Who fails
/// too often from one address is refused for a while without a check.
public final class PasswordFileAuthenticator: Sendable {
    /// Costs of hashes that one check goes through, so that its time does not tell whose it is.
    static let costsMax = 4

    private struct State {
        var users: any PasswordUsers
        /// One for each cost that stands among the users, the most frequent first.
        var decoys: [PasswordHash]
        var lockouts: LockoutLedger
    }

    private let state: Mutex<State>
    private let limits: AuthenticationLimits
    private let pool: NIOThreadPool
    private let pending = Atomic<Int>(0)
    private let hashed = Atomic<UInt64>(0)

    /// Makes it and starts its thread.
    public convenience init(file: PasswordFile) { self.init(users: file) }

    /// Makes it and starts its thread.
    ///
    /// - Parameters:
    ///   - users: Who has a password.
    ///   - limits: The bounds.
    ///   - elapsed: The time since some moment; nil for that of the machine.
    public init(
        users: any PasswordUsers,
        limits: AuthenticationLimits = AuthenticationLimits(),
        elapsed: (@Sendable () -> Duration)? = nil
    ) {
        self.limits = limits
        let lockouts = LockoutLedger(limits: limits, elapsed: elapsed)
        self.state = Mutex(State(users: users, decoys: Self.decoys(for: users), lockouts: lockouts))
        self.pool = NIOThreadPool(numberOfThreads: 1)
        pool.start()
    }

    deinit {
        pool.shutdownGracefully { _ in }
    }

    /// Puts other users in place. Checks that wait already go on with those they began with.
    public func replace(_ users: any PasswordUsers) {
        let decoys = Self.decoys(for: users)
        state.withLock { state in
            state.users = users
            state.decoys = decoys
        }
    }

    /// What the users' checks cost, as hashes that no password has.
    private static func decoys(for users: any PasswordUsers) -> [PasswordHash] {
        var counts: [PasswordHash.Form: Int] = [:]
        for hash in users.allHashes { counts[hash.form, default: 0] += 1 }
        if counts.isEmpty { counts[.usualScrypt] = 1 }
        return counts.sorted { $0.value > $1.value }.prefix(costsMax).map { PasswordHash.decoy(of: $0.key) }
    }

    /// The costs that a check goes through.
    var decoys: [PasswordHash] { state.withLock { $0.decoys } }

    /// Answers a user name and password, on the thread of the checks; what is locked, or without either, at once.
    public func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        guard let username = request.username, let password = request.password, password.readableBytes > 0 else {
            // A name without a password proves nothing [CVE-2016-9877 of another broker], nor does an empty one.
            completion(.refused(.badUserNameOrPassword))
            return
        }
        let key = Lockout.Key(username: Array(username.utf8), address: request.info.remoteAddress)
        guard !ledger.isLocked(key) else {
            completion(.refused(.badUserNameOrPassword))
            return
        }
        guard pending.wrappingAdd(1, ordering: .relaxed).newValue <= limits.pendingMax else {
            pending.wrappingSubtract(1, ordering: .relaxed)
            completion(.refused(.serverBusy))
            return
        }
        let (found, decoys) = state.withLock {
            ($0.users.look(up: username, clientID: request.clientID), $0.decoys)
        }
        let bytes = Array(password.readableBytesView)
        let listener = request.info.listener
        pool.submit { [self] state in
            pending.wrappingSubtract(1, ordering: .relaxed)
            guard case .active = state else {
                completion(.refused(.serverBusy))
                return
            }
            // It may have been locked while it waited.
            let isRight =
                !ledger.isLocked(key)
                && Self.check(found, decoys) { hash in
                    hashed.wrappingAdd(1, ordering: .relaxed)
                    return hash.matches(bytes)
                }
            ledger.note(key, isRight: isRight, listener: listener)
            completion(isRight ? .accepted(username: username) : .refused(.badUserNameOrPassword))
        }
    }

    /// Goes through one hash of each cost, the user's own among them.
    ///
    /// - Parameter matches: Whether the password of the client is the one of a hash, at the cost of that hash.
    static func check(
        _ found: PasswordLookup,
        _ decoys: [PasswordHash],
        matches: (PasswordHash) -> Bool
    ) -> Bool {
        var own: PasswordHash?
        if case .password(let hash) = found { own = hash }
        var isRight = false
        for decoy in decoys {
            if let hash = own, hash.form == decoy.form {
                isRight = matches(hash)
                own = nil
            } else {
                _ = matches(decoy)
            }
        }
        // A cost that hardly anybody has.
        if let own { isRight = matches(own) }
        return isRight
    }

    /// Password hashes that were worked out: as many for a user that is not there as for one that is.
    public var hashes: UInt64 { hashed.load(ordering: .relaxed) }

    // MARK: - Lockout

    /// Who is locked out.
    var ledger: LockoutLedger { state.withLock { $0.lockouts } }

    /// How often a user was locked out at an address.
    public var lockouts: UInt64 { ledger.begun }

    /// Goes on with the lockouts of another one, whose place it takes: a reload lifts none. Its own limits count for
    /// failures from now on.
    public func keepLockouts(of other: PasswordFileAuthenticator) {
        let kept = other.ledger
        kept.take(limits)
        state.withLock { $0.lockouts = kept }
    }

    /// Who is told from now on of each lockout, as it begins and as it ends. Called on the thread of the checks, and on
    /// one of the system's.
    public func observeLockouts(_ audit: @escaping @Sendable (AuditEvent) -> Void) { ledger.observe(audit) }

    /// Whether the user is locked out at the address.
    func isLocked(username: String, address: String) -> Bool {
        ledger.isLocked(Lockout.Key(username: Array(username.utf8), address: address))
    }

    /// Notes how a check by another mechanism ended.
    func note(username: String, info: ConnectionInfo, isRight: Bool) {
        let key = Lockout.Key(username: Array(username.utf8), address: info.remoteAddress)
        ledger.note(key, isRight: isRight, listener: info.listener)
    }

    /// What is known of a user.
    func look(up username: String, clientID: String) -> PasswordLookup {
        state.withLock { $0.users.look(up: username, clientID: clientID) }
    }
}

extension PasswordHash {
    /// One that no password has, whose check costs what the form does.
    static func decoy(of form: Form) -> PasswordHash {
        var generator = SystemRandomNumberGenerator()
        func random(_ count: Int) -> [UInt8] {
            (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
        return PasswordHash(form: form, salt: random(16), hash: random(64))
    }
}
