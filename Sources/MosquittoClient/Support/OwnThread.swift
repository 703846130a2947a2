internal import CMosquitto
internal import Glibc

/// Starts threads of our own, for calls that block: they must run neither on an event loop nor on Swift's pool.
package enum OwnThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new detached thread that takes no signals: SIGPIPE of the C libraries' writes included, so that
    /// a closed connection is an error code and not the end of the process.
    /// - Parameter name: at most 15 bytes are kept.
    package static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(MosquittoError) {
        var blocked = sigset_t()
        var previous = sigset_t()
        sigfillset(&blocked)
        // The new thread inherits the mask.
        pthread_sigmask(SIG_BLOCK, &blocked, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
        let shortName = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        let context = Unmanaged.passRetained(
            Body {
                cw_name_thread(shortName)
                body()
            }
        )
        var thread = pthread_t()
        let rc = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context.toOpaque()
        )
        guard rc == 0 else {
            context.release()
            throw MosquittoError(.system, "cannot start a thread: \(String(cString: strerror(rc)))")
        }
        pthread_detach(thread)
    }
}
