import Dispatch
import Foundation
import Synchronization

/// Waits for SIGTERM or SIGINT, with which an operator ends a process in good order.
final class TerminationSignals: Sendable {
    /// Kept for the life of the process, so that a second signal is seen while it winds up.
    private static let shared = TerminationSignals()

    private struct State {
        var hasCome = false
        var continuation: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())
    // SAFETY: set by init and never touched again; kept because a source that is let go sees nothing more.
    private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

    private init() {
        sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            return DispatchSource.makeSignalSource(signal: number, queue: .global())
        }
        for (source, number) in zip(sources, [SIGTERM, SIGINT]) {
            source.setEventHandler { [weak self] in self?.received(number) }
            source.resume()
        }
    }

    /// Listens from now on: one that comes while the process still starts is an end in good order, too.
    static func listen() { _ = shared }

    /// Returns when one of them has come. A second one ends the process at once.
    static func wait() async {
        await withCheckedContinuation { continuation in
            let hasCome = shared.state.withLock { state in
                if !state.hasCome { state.continuation = continuation }
                return state.hasCome
            }
            if hasCome { continuation.resume() }
        }
    }

    private func received(_ number: Int32) {
        let (isSecond, continuation) = state.withLock { state in
            defer {
                state.hasCome = true
                state.continuation = nil
            }
            return (state.hasCome, state.continuation)
        }
        if isSecond { exit(128 + number) }
        continuation?.resume()
    }
}
