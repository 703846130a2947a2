import Dispatch
import Foundation
import Synchronization

/// SIGHUP, with which an operator asks a node to read its configuration again. Without a handler, it would end the
/// process.
///
/// The signal is noted where it is delivered, not when a queue comes round to it: a client may connect within the same
/// tenth of a millisecond, and it is to meet the new rules as it would with Mosquitto.
final class ReloadSignal: Sendable {
    /// Signals that came and were not acted on yet; written by the handler.
    private static let arrived = Atomic<Int>(0)
    /// Where the handler tells the source of them; -1 without one.
    private static let pipe = Atomic<Int32>(-1)

    // SAFETY: set by init and never replaced; cancelling is allowed from any thread.
    private nonisolated(unsafe) let source: any DispatchSourceRead

    /// Whether a signal has come that was not acted on yet.
    static var isPending: Bool { arrived.load(ordering: .acquiring) > 0 }

    /// Listens for it. There is one at a time.
    ///
    /// - Parameters:
    ///   - noted: Told of each signal before ``isPending`` forgets it.
    ///   - onSignal: Acts on it, or on several that came at once.
    /// - Throws: If the process has no file descriptors left.
    init(noted: @escaping @Sendable () -> Void, _ onSignal: @escaping @Sendable () -> Void) throws {
        var ends: [Int32] = [-1, -1]
        guard Foundation.pipe(&ends) == 0 else {
            throw StartFailure("SIGHUP cannot be listened for: \(String(cString: strerror(errno)))")
        }
        let (reading, writing) = (ends[0], ends[1])
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        source = DispatchSource.makeReadSource(fileDescriptor: reading, queue: .global(qos: .userInitiated))
        source.setEventHandler {
            var bytes: (UInt64, UInt64) = (0, 0)
            let count = read(reading, &bytes, MemoryLayout.size(ofValue: bytes))
            guard count > 0 else { return }
            noted()
            Self.arrived.subtract(count, ordering: .acquiringAndReleasing)
            onSignal()
        }
        source.setCancelHandler {
            close(reading)
            close(writing)
        }
        source.resume()
        Self.pipe.store(writing, ordering: .sequentiallyConsistent)
        signal(SIGHUP) { _ in
            // Only what a signal handler may do: two atomic words and write(2).
            let before = errno
            ReloadSignal.arrived.add(1, ordering: .acquiringAndReleasing)
            var one: UInt8 = 1
            _ = write(ReloadSignal.pipe.load(ordering: .relaxed), &one, 1)
            errno = before
        }
    }

    deinit { stop() }

    /// Listens no more. The signal is ignored from then on.
    func stop() {
        signal(SIGHUP, SIG_IGN)
        Self.pipe.store(-1, ordering: .sequentiallyConsistent)
        source.cancel()
    }
}
