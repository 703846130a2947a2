import Dispatch
import Foundation

/// SIGHUP, with which an operator asks a node to read its configuration again. Without one, it would end the process.
final class ReloadSignal: Sendable {
    // SAFETY: set by init and never replaced; cancelling is allowed from any thread.
    private nonisolated(unsafe) let source: any DispatchSourceSignal

    /// Listens for it. Mosquitto acts on it at once, and so do we.
    init(_ onSignal: @escaping @Sendable () -> Void) {
        signal(SIGHUP, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: .global(qos: .utility))
        source.setEventHandler(handler: onSignal)
        source.resume()
    }

    deinit { source.cancel() }

    /// Listens no more. The signal is ignored from then on.
    func stop() { source.cancel() }
}
