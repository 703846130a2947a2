import CLinux
import Dispatch
import Foundation

/// SIGHUP, with which an operator asks a node to read its configuration again.
///
/// It is blocked in every thread and read from a descriptor. So the kernel says whether one has come from the moment at
/// which `kill` has returned to its sender, whatever the scheduler does with our threads: a client that connects after
/// the signal meets the new rules, as it would with Mosquitto (ADR 0021).
final class ReloadSignal: Sendable {
    // SAFETY: set by init and never replaced; cancelling is allowed from any thread.
    private nonisolated(unsafe) let source: any DispatchSourceRead

    /// Only SIGHUP.
    private static var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGHUP)
        return set
    }

    /// Whether a signal has come that nobody has read yet. Callable from any thread; a system call.
    static var isPending: Bool {
        var set = sigset_t()
        return sigpending(&set) == 0 && sigismember(&set, SIGHUP) == 1
    }

    /// Holds signals back from now on, for whoever listens later: what comes while a node starts is neither lost nor
    /// the end of the process. Call it before there is another thread, which takes over what its maker holds back.
    static func expect() {
        signal(SIGHUP, SIG_DFL)
        var set = Self.set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Listens for it, and acts on one that was expected. There is one listener at a time.
    ///
    /// - Parameters:
    ///   - noted: Told of a signal before ``isPending`` forgets it.
    ///   - onSignal: Acts on it, or on several that came at once.
    /// - Throws: If the process has no file descriptors left.
    init(noted: @escaping @Sendable () -> Void, _ onSignal: @escaping @Sendable () -> Void) throws {
        var set = Self.set
        let descriptor = cw_signal_descriptor(&set)
        guard descriptor >= 0 else {
            throw StartFailure("SIGHUP cannot be listened for: \(String(cString: strerror(errno)))")
        }
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global(qos: .userInitiated))
        source.setEventHandler {
            noted()
            var information = signalfd_siginfo()
            _ = read(descriptor, &information, MemoryLayout.size(ofValue: information))
            onSignal()
        }
        source.setCancelHandler { close(descriptor) }
        source.resume()
    }

    deinit { stop() }

    /// Listens no more. The signal is ignored from then on.
    func stop() {
        signal(SIGHUP, SIG_IGN)
        source.cancel()
    }
}
