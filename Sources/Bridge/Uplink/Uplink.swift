internal import MosquittoClient

/// The way up as a state machine: when to connect, what to send next, what counts as delivered, when to send again,
/// when to give up on a message. It knows sequences only; the driver reads the records, owns the connection and the
/// clock.
///
/// Never QoS 2; never more under way than the server's receive maximum; a new connection object for each attempt, which
/// begins at the first unconfirmed sequence. Times are monotonic nanoseconds.
struct Uplink: Sendable {
    /// What it is told once.
    struct Configuration: Sendable {
        var confirm: BridgeSettings.Confirmation
        var window: Int
        var unconfirmedMax: UInt64
        var connectTimeout: UInt64
        var ackTimeout: UInt64
        var resendAfter: UInt64
        /// The longest time between two resends while the watermark does not move.
        var resendAfterMax: UInt64
        var backoffBase: UInt64
        var backoffCap: UInt64
        var drainPerSecond: UInt64?
        var poisonDisconnects: Int
        var seed: UInt64
    }

    /// What the driver does for it.
    enum Action: Sendable, Hashable {
        /// Make a new connection and start it.
        case connect
        /// Throw the connection away; its events no longer count.
        case abandon
        /// Subscribe to the commit topic.
        case subscribe
        /// Everything up to it is at the other side for good: cut the outbox.
        case confirm(through: UInt64)
        /// Keep the message for a human, and send a gap in its place from now on.
        case setAside(UInt64, reason: String)
        /// The other side has seen sequences that we have not: begin a new epoch.
        case renewEpoch
        /// Everything up to it is stored under the epoch of the box that this one stands for.
        case endTakeover(storedThrough: UInt64)
        /// Tell the operator. Constant message, no secrets.
        case report(BridgeReport.Level, String, [String: String])
    }

    /// Why a connection ended, as far as it matters here.
    enum Ending: Sendable, Hashable {
        /// Credentials or certificate were refused.
        case notAuthorized
        /// There was no connection.
        case unreachable
        /// TLS failed.
        case tls
        /// The server refused or closed with a reason.
        case refused
        /// It broke.
        case lost

        var word: String {
            switch self {
            case .notAuthorized: "not_authorized"
            case .unreachable: "unreachable"
            case .tls: "tls"
            case .refused: "refused"
            case .lost: "lost"
            }
        }
    }

    enum Phase: Sendable, Hashable {
        case disabled
        case waiting(until: UInt64)
        case connecting(deadline: UInt64)
        case subscribing(deadline: UInt64)
        case running
        case paused
    }

    struct Flight: Sendable, Hashable {
        var sequence: UInt64
        var token: MosquittoToken
        var sentAt: UInt64
        var isAcknowledged = false
    }

    /// What is known of the box that this one stands for.
    struct Takeover: Sendable, Hashable {
        /// Its epoch.
        var epoch: UInt64
        /// The last record that was taken over.
        var last: UInt64
        /// When the last claim was sent.
        var claimedAt: UInt64?
        /// How many claims were sent.
        var claims = 0
    }

    let configuration: Configuration
    var phase = Phase.disabled
    /// What the word for the operator is while there is no connection.
    var trouble: BridgeState?
    /// Everything up to it is at the other side for good.
    var confirmed: UInt64
    /// Everything up to it is in the outbox and committed there.
    var available: UInt64
    /// The next sequence to send.
    var next: UInt64
    /// The highest sequence that was ever sent in this life of the process.
    var highestSent: UInt64
    /// Up to here the backlog of the last reconnect goes.
    var catchUpTarget: UInt64 = 0
    /// Sent and not at the head of what is acknowledged, in the order of sequences. A slice drops its first in no time.
    var flights: ArraySlice<Flight> = []
    /// Everything up to it has its PUBACK (on this connection or confirmed before).
    var acknowledged: UInt64
    var windowOfServer = Int.max
    var lastAckAt: UInt64?
    var acknowledgedTotal: UInt64 = 0
    var resentTotal: UInt64 = 0
    var reconnects: [String: UInt64] = [:]
    /// Since when something is acknowledged that the watermark has not reached.
    var unconfirmedSince: UInt64?
    /// How often the watermark stood still, in a row.
    var resendAttempts = 0
    /// Nothing is sent until all is acknowledged; then sending begins at the watermark.
    var isRewinding = false
    var aggregator: String?
    /// The box that this one stands for, until the other side has said how far that one came. Until then only claims
    /// are sent.
    var takeover: Takeover?
    /// The message that was first under way when the connection broke, and how often.
    var suspect: (sequence: UInt64, count: Int)?
    var tokens = DrainTokens()
    var backoff: Backoff

    /// - Parameter highestSent: sequences up to it may have been sent before, by this process or an earlier one.
    init(_ configuration: Configuration, confirmed: UInt64, available: UInt64, highestSent: UInt64) {
        self.configuration = configuration
        self.confirmed = confirmed
        self.available = available
        self.highestSent = highestSent
        next = confirmed + 1
        acknowledged = confirmed
        backoff = Backoff(base: configuration.backoffBase, cap: configuration.backoffCap, seed: configuration.seed)
    }

    // MARK: - Life of a connection

    /// Begins.
    mutating func start(now: UInt64) -> [Action] {
        guard phase == .disabled || phase == .paused else { return [] }
        trouble = nil
        return connect(now)
    }

    /// Stops sending and leaves the server until ``start(now:)``.
    mutating func pause() -> [Action] {
        guard phase != .paused else { return [] }
        let wasConnected = isConnected || isConnecting
        phase = .paused
        flights.removeAll()
        return wasConnected ? [.abandon] : []
    }

    /// CONNACK came.
    mutating func connected(receiveMaximum: Int, now: UInt64) -> [Action] {
        guard case .connecting = phase else { return [] }
        windowOfServer = max(1, receiveMaximum)
        trouble = nil
        guard configuration.confirm == .commit else {
            run()
            return []
        }
        // The way down must stand before the first message goes up, or the answer to it could be missed.
        phase = .subscribing(deadline: now &+ configuration.ackTimeout)
        return [.subscribe]
    }

    /// SUBACK came.
    mutating func subscribed(isGranted: Bool, now: UInt64) -> [Action] {
        guard case .subscribing = phase else { return [] }
        guard isGranted else {
            let report = Action.report(.error, "The server refused the subscription to the commit watermark.", [:])
            return [report, .abandon] + retreat("subscription_refused", .authFailed, afterRefusal: true, now: now)
        }
        run()
        return []
    }

    /// The connection ended, or never stood.
    mutating func ended(_ ending: Ending, now: UInt64) -> [Action] {
        guard isConnected || isConnecting else { return [] }
        var actions: [Action] = []
        // A breaking network blames nobody; a server that closes while a message is under way may mean the message.
        if ending == .lost || ending == .refused { actions += blame() }
        let state: BridgeState? = ending == .notAuthorized ? .authFailed : nil
        return actions + retreat(ending.word, state, afterRefusal: ending == .notAuthorized, now: now)
    }

    private mutating func run() {
        phase = .running
        next = confirmed + 1
        acknowledged = confirmed
        takeover?.claimedAt = nil
        catchUpTarget = available
        unconfirmedSince = nil
        isRewinding = false
        tokens = DrainTokens()
    }

    private mutating func connect(_ now: UInt64) -> [Action] {
        phase = .connecting(deadline: now &+ configuration.connectTimeout)
        flights.removeAll()
        return [.connect]
    }

    mutating func retreat(_ reason: String, _ state: BridgeState?, afterRefusal: Bool, now: UInt64) -> [Action] {
        reconnects[reason, default: 0] += 1
        trouble = state
        flights.removeAll()
        let pause = afterRefusal ? backoff.nextAfterRefusal() : backoff.next()
        phase = .waiting(until: now &+ pause)
        return []
    }

    /// The first message under way when a server closed may be the reason.
    private mutating func blame() -> [Action] {
        guard let head = flights.first(where: { !$0.isAcknowledged }) else { return [] }
        let wasAlone = flights.lazy.filter { !$0.isAcknowledged }.count == 1
        if let known = suspect, known.sequence == head.sequence {
            suspect = (head.sequence, known.count + 1)
        } else {
            suspect = (head.sequence, 1)
        }
        guard let suspect, wasAlone, suspect.count >= configuration.poisonDisconnects else { return [] }
        self.suspect = nil
        return [.setAside(head.sequence, reason: "poison")]
    }

    // MARK: - Questions

    var isConnected: Bool {
        switch phase {
        case .subscribing, .running: true
        default: false
        }
    }

    var isConnecting: Bool { if case .connecting = phase { true } else { false } }

    /// How many messages may be under way. One alone while a message is suspected, to be sure which it is.
    var window: Int {
        if let suspect, suspect.count >= 2 { return 1 }
        return min(max(1, configuration.window), windowOfServer)
    }

    /// The word for the operator.
    var state: BridgeState {
        switch phase {
        case .disabled: .disabled
        case .paused: .paused
        case .waiting: trouble ?? .waiting
        case .connecting: trouble ?? .connecting
        case .subscribing: .subscribing
        case .running: confirmedOrAcknowledged < catchUpTarget ? .draining : .live
        }
    }

    private var confirmedOrAcknowledged: UInt64 { max(confirmed, acknowledged) }
}

/// A token bucket for catching up: what was not used within a second is gone.
struct DrainTokens: Sendable {
    private var level: UInt64 = 0
    private var filledAt: UInt64?

    /// Takes one, or says when there will be one.
    mutating func take(perSecond: UInt64, now: UInt64) -> UInt64? {
        let rate = max(1, perSecond)
        if let filled = filledAt {
            let earned = (now &- filled) / max(1, 1_000_000_000 / rate)
            if earned > 0 {
                level = min(rate, level &+ earned)
                filledAt = now
            }
        } else {
            level = max(1, rate / 10)
            filledAt = now
        }
        guard level > 0 else { return (filledAt ?? now) &+ 1_000_000_000 / rate }
        level -= 1
        return nil
    }
}
