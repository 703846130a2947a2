import Synchronization

/// Holds what must not be decided by rules that are about to change: between SIGHUP and the end of the reload it asked
/// for, nobody new is let in. So a client that connects after the signal meets the new rules, as with Mosquitto.
///
/// What waits is bounded by the connections that may wait for their CONNECT to be answered, and by their deadline.
final class ReloadGate: Sendable {
    private struct State {
        var reloads = 0
        var held: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    /// Whether a reload was asked for that ``close()`` has not been told of yet; it will be.
    private let isAsked: @Sendable () -> Bool

    /// Makes a gate that is open.
    init(isAsked: @escaping @Sendable () -> Bool = { ReloadSignal.isPending }) { self.isAsked = isAsked }

    /// A reload was asked for.
    func close() { state.withLock { $0.reloads += 1 } }

    /// It has ended, well or not. With the last of them, what was held is done in its order.
    func open() {
        let held = state.withLock { state -> [@Sendable () -> Void] in
            state.reloads -= 1
            guard state.reloads <= 0 else { return [] }
            defer { state.held = [] }
            return state.held
        }
        for work in held { work() }
    }

    /// Does it now, or when the gate opens.
    func pass(_ work: @escaping @Sendable () -> Void) {
        let isHeld = state.withLock { state in
            guard state.reloads > 0 || isAsked() else { return false }
            state.held.append(work)
            return true
        }
        if !isHeld { work() }
    }
}
