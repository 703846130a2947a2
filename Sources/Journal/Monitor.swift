#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A value behind a mutex, with a condition to wait on. The journal's thread sleeps here until there is work.
final class Monitor<State>: @unchecked Sendable {
    // SAFETY: `state` is only touched between locking and unlocking `mutex`.
    private var state: State
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init(_ state: sending State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        // Time-outs run on the monotonic clock: a step of the wall clock neither hurries nor delays a sync.
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

    /// Runs the closure under the lock.
    func withLock<Result>(_ body: (inout State) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// Runs the closure under the lock and wakes who waits.
    func update(_ body: (inout State) -> Void) {
        pthread_mutex_lock(mutex)
        body(&state)
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits until `take` returns a value or the instant (of ``MonotonicClock``) has come. Nil after the time-out.
    func wait<Result>(until deadlineNanoseconds: UInt64?, _ take: (inout State) -> Result?) -> Result? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = take(&state) { return result }
            guard let deadlineNanoseconds else {
                pthread_cond_wait(condition, mutex)
                continue
            }
            var deadline = timespec(
                tv_sec: time_t(deadlineNanoseconds / 1_000_000_000),
                tv_nsec: Int(deadlineNanoseconds % 1_000_000_000)
            )
            if pthread_cond_timedwait(condition, mutex, &deadline) != 0 { return take(&state) }
        }
    }
}

/// The clocks of the machine.
enum SystemClock {
    /// Nanoseconds of the monotonic clock.
    static func monotonicNanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    /// Milliseconds since 1970-01-01 UTC.
    static func wallMilliseconds() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}

/// A thread that runs one closure.
final class Thread: Sendable {
    private let handle: pthread_t

    /// Starts it. Nil if the system has no thread to give.
    init?(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        var handle = pthread_t()
        let result = pthread_create(&handle, nil, runThread, box.toOpaque())
        guard result == 0 else {
            box.release()
            return nil
        }
        self.handle = handle
    }

    /// Whether the caller runs on it.
    var isCurrent: Bool { pthread_equal(handle, pthread_self()) != 0 }

    /// Waits for its end. At most once, and not after ``detach()``.
    func join() { pthread_join(handle, nil) }

    /// Lets it end on its own.
    func detach() { pthread_detach(handle) }

    fileprivate final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

private func runThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<Thread.Box>.fromOpaque(context).takeRetainedValue().body() }
    return nil
}
