internal import Dispatch
internal import Synchronization

/// Between the link's thread and the aggregator's: a bounded queue of messages, and the link's other events.
///
/// One lock around plain state; signals are given after unlocking. Waiting is on the monotonic clock.
final class AggregatorMailbox: Sendable {
    /// What the aggregator's thread takes out in one turn.
    struct Delivery {
        var messages: [LinkMessage] = []
        var events: [(generation: UInt64, event: AggregatorLinkEvent)] = []
        var isStopping = false
    }

    private struct State {
        var messages: [LinkMessage] = []
        var bytes = 0
        /// When the first of `messages` came.
        var oldest = DispatchTime.now()
        /// Taken out but not committed: they count against the limits until `finished` says so.
        var takenMessages = 0
        var takenBytes = 0
        var events: [(generation: UInt64, event: AggregatorLinkEvent)] = []
        /// Messages taken in, messages let go, and messages dealt with, since the beginning.
        var posted: UInt64 = 0
        var lost: UInt64 = 0
        var settled: UInt64 = 0
        /// Somebody waits for what is queued: the batch need not fill.
        var isUrgent = false
        var holdsUp = true
        var isStopping = false
        var isSignalled = false
    }

    /// A waiting link looks again this often, should its signal have gone to an earlier link.
    private static let recheckMilliseconds = 100

    private let configuration: AggregatorConfiguration
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let progress = DispatchSemaphore(value: 0)

    init(configuration: AggregatorConfiguration) {
        self.configuration = configuration
    }

    // MARK: - The link's side

    /// Takes an event of a link in, other than a message.
    func post(_ event: AggregatorLinkEvent, generation: UInt64) {
        signal { state in
            state.events.append((generation, event))
            return true
        }
    }

    /// Takes a message in, after waiting for space if need be; false if it was let go.
    func post(_ message: LinkMessage) -> Bool {
        waitForProgress { state in
            if self.hasSpace(state, for: message) {
                if state.messages.isEmpty { state.oldest = .now() }
                state.messages.append(message)
                state.bytes += message.cost
                state.posted &+= 1
                let count = state.messages.count
                return (true, wakes: count == 1 || count == self.configuration.batchMessagesMax)
            }
            return (nil, wakes: false)
        } orElse: { state in
            state.lost &+= 1
        }
    }

    /// Waits until everything taken in so far is committed or refused for good; false if that did not happen, or if
    /// a message was let go since `lostBefore`.
    func settle(lostBefore: UInt64) -> Bool {
        let target = state.withLock { $0.posted }
        return waitForProgress { state in
            if state.settled >= target { return (state.lost == lostBefore, wakes: false) }
            let wakes = !state.isUrgent
            state.isUrgent = true
            return (nil, wakes: wakes)
        } orElse: { _ in
        }
    }

    // MARK: - The aggregator's side

    /// Waits for something to do, up to a deadline, and takes it out: all events, and messages up to a batch.
    ///
    /// Messages are due when they fill a batch, when the first has waited long enough, or when somebody waits for them.
    func take(until deadline: DispatchTime, messagesMax: Int) -> Delivery {
        while true {
            let until = state.withLock { state -> DispatchTime in
                state.isSignalled = false
                guard !state.isStopping, state.events.isEmpty else { return .distantPast }
                guard messagesMax > 0, !state.messages.isEmpty else { return deadline }
                guard state.messages.count < messagesMax, !state.isUrgent else { return .distantPast }
                return min(deadline, state.oldest + .milliseconds(configuration.batchMilliseconds))
            }
            guard until > .now() else { break }
            _ = wake.wait(timeout: until)
        }
        return state.withLock { state in
            var delivery = Delivery()
            delivery.isStopping = state.isStopping
            swap(&delivery.events, &state.events)
            guard messagesMax > 0, !state.messages.isEmpty else { return delivery }
            if state.messages.count <= messagesMax {
                swap(&delivery.messages, &state.messages)
                state.isUrgent = false
            } else {
                delivery.messages = Array(state.messages.prefix(messagesMax))
                state.messages.removeFirst(messagesMax)
                state.oldest = .now()
            }
            let bytes = delivery.messages.reduce(0) { $0 + $1.cost }
            state.bytes -= bytes
            state.takenBytes += bytes
            state.takenMessages += delivery.messages.count
            return delivery
        }
    }

    /// Says that everything taken out is committed or was refused for good.
    func finished() {
        state.withLock { state in
            state.settled &+= UInt64(state.takenMessages)
            state.takenMessages = 0
            state.takenBytes = 0
        }
        progress.signal()
    }

    /// Whether a full queue holds the link up (the store works) or lets messages go at once (it does not).
    func setHoldsUp(_ holdsUp: Bool) {
        state.withLock { $0.holdsUp = holdsUp }
        if !holdsUp { progress.signal() }
    }

    /// Asks the aggregator's thread to end.
    func stop() {
        signal { state in
            state.isStopping = true
            return true
        }
        progress.signal()
    }

    /// Messages waiting or being committed, and messages let go because the queue was full.
    var figures: (queued: Int, lost: UInt64) {
        state.withLock { ($0.messages.count + $0.takenMessages, $0.lost) }
    }

    // MARK: - Inside

    /// Tries until there is a result or the limit is reached. What is worth waiting for while the store works is not
    /// while it does not.
    private func waitForProgress(
        _ attempt: (inout State) -> (result: Bool?, wakes: Bool),
        orElse giveUp: (inout State) -> Void
    ) -> Bool {
        let deadline = DispatchTime.now() + .milliseconds(configuration.queueWaitMilliseconds)
        while true {
            var result: Bool?
            signal { state in
                let outcome = attempt(&state)
                result = outcome.result
                if result == nil, state.isStopping || !state.holdsUp || DispatchTime.now() >= deadline {
                    giveUp(&state)
                    result = false
                }
                return outcome.wakes
            }
            if let result { return result }
            _ = progress.wait(timeout: min(deadline, .now() + .milliseconds(Self.recheckMilliseconds)))
        }
    }

    private func hasSpace(_ state: State, for message: LinkMessage) -> Bool {
        guard !state.isStopping else { return false }
        let count = state.messages.count + state.takenMessages
        // One message always fits, however large: otherwise it never would.
        return count == 0
            || (count < configuration.queueMessagesMax
                && state.bytes + state.takenBytes + message.cost <= configuration.queueBytesMax)
    }

    private func signal(_ change: (inout State) -> Bool) {
        let wakes = state.withLock { state in
            let wakes = change(&state) && !state.isSignalled
            if wakes { state.isSignalled = true }
            return wakes
        }
        if wakes { wake.signal() }
    }
}

extension DispatchTime {
    /// A time that is always over.
    fileprivate static let distantPast = DispatchTime(uptimeNanoseconds: 1)
}

extension LinkMessage {
    /// What it costs in the queue: its bytes, and an allowance for the rest.
    var cost: Int { payload.count + topic.utf8.count + 128 }
}
