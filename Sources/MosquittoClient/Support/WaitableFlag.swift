internal import Glibc

/// A flag that one thread waits for and any thread raises: a mutex and a condition on the monotonic clock.
package final class WaitableFlag: @unchecked Sendable {
    // SAFETY: `isRaised` is only touched under `mutex`; both pointers live from init to deinit.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isRaised = false

    package init() {
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Raises the flag and wakes whoever waits.
    package func raise() {
        pthread_mutex_lock(mutex)
        isRaised = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits until the flag is raised or the deadline passes, lowers it and says whether it was raised.
    /// - Parameter deadlineNanoseconds: on the clock of ``MonotonicClock``; nil waits without end.
    /// - Parameter keepRaised: leaves the flag up, for something that has happened once and for all.
    @discardableResult
    package func wait(until deadlineNanoseconds: UInt64?, keepRaised: Bool = false) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isRaised {
            guard let deadlineNanoseconds else {
                pthread_cond_wait(condition, mutex)
                continue
            }
            var deadline = timespec(
                tv_sec: Int(deadlineNanoseconds / 1_000_000_000),
                tv_nsec: Int(deadlineNanoseconds % 1_000_000_000)
            )
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { break }
        }
        let raised = isRaised
        if !keepRaised { isRaised = false }
        return raised
    }
}

/// The clocks of this machine.
package enum MonotonicClock {
    /// Nanoseconds that never go back.
    package static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Milliseconds since 1970-01-01 UTC.
    package static func wallMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
