/// Keeps a handler that fails again and again from its inputs for a while. What it keeps away goes to the dead letters,
/// so nothing is skipped in silence.
struct CircuitBreaker {
    private enum State {
        case closed(failures: Int)
        case open(untilMilliseconds: Int64)
        case trying
    }

    enum Change { case none, opened, closed }

    private let failuresMax: Int
    private let openMilliseconds: Int64
    private var state = State.closed(failures: 0)

    init(failuresMax: Int, openSeconds: Double) {
        self.failuresMax = max(1, failuresMax)
        self.openMilliseconds = Int64(openSeconds * 1000)
    }

    var isOpen: Bool {
        if case .open = state { return true }
        return false
    }

    /// Whether the handler may be asked now. An open breaker whose time is over lets one input through.
    mutating func admits(_ now: Int64) -> Bool {
        guard case .open(let until) = state else { return true }
        guard now >= until else { return false }
        state = .trying
        return true
    }

    mutating func succeeded() -> Change {
        defer { state = .closed(failures: 0) }
        if case .trying = state { return .closed }
        return .none
    }

    mutating func failed(_ now: Int64) -> Change {
        switch state {
        case .closed(let failures) where failures + 1 < failuresMax:
            state = .closed(failures: failures + 1)
            return .none
        case .closed, .trying:
            state = .open(untilMilliseconds: now + openMilliseconds)
            return .opened
        case .open: return .none
        }
    }
}
