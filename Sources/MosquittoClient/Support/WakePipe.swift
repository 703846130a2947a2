internal import CMosquitto
internal import Glibc

/// Wakes a thread that sleeps in `poll`.
package final class WakePipe: Sendable {
    /// The end to poll for reading.
    package let descriptor: CInt

    package init() throws(MosquittoError) {
        descriptor = cw_eventfd()
        guard descriptor >= 0 else {
            throw MosquittoError(.system, "cannot make an event descriptor: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    /// Any thread.
    package func wake() {
        var one: UInt64 = 1
        // A full counter means that the thread has not slept since: nothing is lost.
        _ = write(descriptor, &one, 8)
    }

    /// The woken thread.
    package func drain() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
