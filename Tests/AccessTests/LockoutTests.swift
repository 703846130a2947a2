import Broker
import MQTT
import Synchronization
import Testing

@testable import Access

@Suite("Lockout") struct LockoutTests {
    private let second: UInt64 = 1_000_000_000
    private let key = Lockout.Key(username: Array("nurse".utf8), address: "10.0.0.1")

    @Test("S6: ten failures lock a user out at that address for the lock's time, and nowhere else")
    func locks() {
        var lockout = Lockout(limits: AuthenticationLimits())
        for attempt in 1...9 {
            lockout.failed(key, nowNanoseconds: UInt64(attempt) * second)
            #expect(!lockout.isLocked(key, nowNanoseconds: UInt64(attempt) * second))
        }
        lockout.failed(key, nowNanoseconds: 10 * second)
        #expect(lockout.isLocked(key, nowNanoseconds: 10 * second))
        #expect(lockout.isLocked(key, nowNanoseconds: 309 * second))
        // What is tried meanwhile is no other lockout.
        lockout.failed(key, nowNanoseconds: 309 * second)
        #expect(lockout.begun == 1)
        #expect(!lockout.isLocked(key, nowNanoseconds: 310 * second))
        let elsewhere = Lockout.Key(username: key.username, address: "10.0.0.2")
        #expect(!lockout.isLocked(elsewhere, nowNanoseconds: 10 * second))
        // After the lock it takes ten failures again.
        lockout.failed(key, nowNanoseconds: 311 * second)
        #expect(!lockout.isLocked(key, nowNanoseconds: 311 * second))
    }

    @Test("Failures that lie too far apart do not add up, and success forgets them")
    func window() {
        var lockout = Lockout(limits: AuthenticationLimits())
        for attempt in 0..<9 { lockout.failed(key, nowNanoseconds: UInt64(attempt)) }
        lockout.failed(key, nowNanoseconds: 900 * second)
        #expect(!lockout.isLocked(key, nowNanoseconds: 900 * second))
        for _ in 0..<8 { lockout.failed(key, nowNanoseconds: 901 * second) }
        lockout.succeeded(key)
        lockout.failed(key, nowNanoseconds: 902 * second)
        #expect(!lockout.isLocked(key, nowNanoseconds: 902 * second))
    }

    @Test("The table is bounded, and the oldest pairs are forgotten first")
    func bounded() {
        var limits = AuthenticationLimits()
        limits.lockoutEntriesMax = 100
        var lockout = Lockout(limits: limits)
        for number in 0..<10_000 {
            let key = Lockout.Key(username: Array("u\(number)".utf8), address: "a")
            lockout.failed(key, nowNanoseconds: UInt64(number))
            #expect(lockout.count <= 100)
        }
    }

    @Test("A locked out user is refused even with the right password, until the time is over")
    func endToEnd() async throws {
        let hash = try PasswordHash(password: Array("right".utf8), iterations: 1)
        let time = Mutex(Duration.zero)
        let passwords = PasswordFileAuthenticator(
            users: try PasswordFile(text: "nurse:\(hash.text)", path: ""),
            elapsed: { time.withLock { $0 } }
        )
        for _ in 0..<10 {
            let result = await answer { passwords.authenticate(request("nurse", "wrong"), completion: $0) }
            #expect(result == .refused(.badUserNameOrPassword))
        }
        let locked = await answer { passwords.authenticate(request("nurse", "right"), completion: $0) }
        #expect(locked == .refused(.badUserNameOrPassword))
        let elsewhere = await answer {
            passwords.authenticate(request("nurse", "right", address: "10.0.0.9"), completion: $0)
        }
        #expect(elsewhere == .accepted(username: "nurse"))
        time.withLock { $0 = .seconds(301) }
        let later = await answer { passwords.authenticate(request("nurse", "right"), completion: $0) }
        #expect(later == .accepted(username: "nurse"))
    }

    @Test("Each lock is told once when it begins and once when it is over")
    func told() async throws {
        let hash = try PasswordHash(password: Array("right".utf8), iterations: 1)
        let time = Mutex(Duration.zero)
        let events = Mutex<[AuditEvent]>([])
        let passwords = PasswordFileAuthenticator(
            users: try PasswordFile(text: "nurse:\(hash.text)", path: ""),
            elapsed: { time.withLock { $0 } }
        )
        passwords.observeLockouts { event in events.withLock { $0.append(event) } }
        for _ in 0..<12 { _ = await answer { passwords.authenticate(request("nurse", "wrong"), completion: $0) } }
        #expect(events.withLock { $0 }.map(\.kind) == [.lockedOut])
        #expect(events.withLock { $0.first?.username } == "nurse")
        #expect(events.withLock { $0.first?.remoteAddress } == request("nurse", "").info.remoteAddress)
        #expect(events.withLock { $0.first?.reason } == "10 failures within 900 s; for 300 s")
        time.withLock { $0 = .seconds(299) }
        passwords.ledger.look()
        #expect(events.withLock { $0.count } == 1)
        time.withLock { $0 = .seconds(301) }
        passwords.ledger.look()
        passwords.ledger.look()
        #expect(events.withLock { $0 }.map(\.kind) == [.lockedOut, .lockoutLifted])
        #expect(events.withLock { $0.last?.reason } == "the time is over")
    }

    @Test("A lock that is forgotten under a flood of others is told as lifted")
    func forgotten() {
        var limits = AuthenticationLimits()
        limits.lockoutEntriesMax = 10
        var lockout = Lockout(limits: limits)
        for _ in 0..<10 { lockout.failed(key, nowNanoseconds: 1) }
        #expect(lockout.isLocked(key, nowNanoseconds: 2))
        for number in 0..<20 {
            lockout.failed(Lockout.Key(username: Array("u\(number)".utf8), address: "a"), nowNanoseconds: 2)
        }
        #expect(!lockout.isLocked(key, nowNanoseconds: 2))
        #expect(lockout.ended(nowNanoseconds: 2) == [Lockout.Ended(key: key, isForgotten: true)])
        #expect(lockout.ended(nowNanoseconds: .max).isEmpty)
        #expect(lockout.nextEndNanoseconds == nil)
    }

    @Test("Other users in the place of those of before lift no lock, and bring their own limits")
    func kept() async throws {
        let hash = try PasswordHash(password: Array("right".utf8), iterations: 1)
        let file = try PasswordFile(text: "nurse:\(hash.text)\ndoctor:\(hash.text)", path: "")
        var limits = AuthenticationLimits()
        limits.failuresMax = 2
        let before = PasswordFileAuthenticator(users: file)
        for _ in 0..<10 { _ = await answer { before.authenticate(request("nurse", "wrong"), completion: $0) } }
        let after = PasswordFileAuthenticator(users: file, limits: limits)
        let fresh = await answer { after.authenticate(request("nurse", "right"), completion: $0) }
        #expect(fresh == .accepted(username: "nurse"), "what shows that the lock comes from before")
        after.keepLockouts(of: before)
        let locked = await answer { after.authenticate(request("nurse", "right"), completion: $0) }
        #expect(locked == .refused(.badUserNameOrPassword))
        #expect(after.lockouts == 1)
        for _ in 0..<2 { _ = await answer { after.authenticate(request("doctor", "wrong"), completion: $0) } }
        #expect(after.lockouts == 2)
    }

    @Test("D10: a user name without a password is refused, whatever stands in the file")
    func noPassword() async throws {
        let hash = try PasswordHash(password: [], iterations: 1)
        let passwords = PasswordFileAuthenticator(file: try PasswordFile(text: "nurse:\(hash.text)", path: ""))
        let none = await answer { passwords.authenticate(request("nurse", nil), completion: $0) }
        #expect(none == .refused(.badUserNameOrPassword))
    }
}
