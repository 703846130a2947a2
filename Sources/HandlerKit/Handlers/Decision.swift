/// What a handler wants done about one input. It is committed whole or not at all.
public struct Decision: Sendable, Hashable {
    /// What became of the input.
    public enum Kind: Sendable, Hashable {
        /// Nothing to decide; the state may have changed.
        case none
        /// The handler decided, and says so in ``Decision/record``.
        case decided
        /// The input makes no sense. It goes to the dead letter topic `dlq/<handler>` with the reason; the state stays
        /// as it was.
        case rejected(reason: String)
    }

    /// What became of the input.
    public var kind: Kind
    /// What to publish, in order.
    public var outputs: [HandlerOutput]
    /// What was decided and why, for the audit.
    public var record: DecisionRecord?
    /// Timers to set and to cancel, in order.
    public var timers: [TimerChange]
    /// Whether everything remembered of this key is removed, timers included, as an erasure request wants it.
    public var forgetsKey: Bool

    /// Makes a decision.
    public init(
        _ kind: Kind,
        outputs: [HandlerOutput] = [],
        record: DecisionRecord? = nil,
        timers: [TimerChange] = [],
        forgetsKey: Bool = false
    ) {
        self.kind = kind
        self.outputs = outputs
        self.record = record
        self.timers = timers
        self.forgetsKey = forgetsKey
    }

    /// Nothing to decide.
    public static var none: Decision { Decision(.none) }

    /// The input makes no sense.
    ///
    /// - Parameter reason: One sentence without personal data: it is logged and published.
    public static func rejected(_ reason: String) -> Decision { Decision(.rejected(reason: reason)) }
}

/// One message that a handler publishes.
public struct HandlerOutput: Sendable, Hashable {
    /// The quality of service of an output.
    public enum Delivery: UInt8, Sendable, Hashable {
        case atMostOnce = 0
        case atLeastOnce = 1
        case exactlyOnce = 2
    }

    /// Where it goes: a topic name without wildcards.
    public var topic: String
    /// What it says. An empty payload that is retained clears a retained message.
    public var payload: JSONValue?
    /// Its quality of service.
    public var qos: Delivery
    /// Whether it is retained. Never for a command: a device that restarts would obey an old one.
    public var retain: Bool
    /// After how many seconds it is of no use any more; nil: never.
    public var expirySeconds: UInt32?
    /// The class that routes and dashboards know it by, such as `alarm`, `transaction`, `telemetry`; empty: none.
    public var classification: String

    /// Makes an output.
    public init(
        topic: String,
        payload: JSONValue?,
        qos: Delivery = .atLeastOnce,
        retain: Bool = false,
        expirySeconds: UInt32? = nil,
        classification: String = ""
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.expirySeconds = expirySeconds
        self.classification = classification
    }
}

/// What was decided, for whoever asks later. The runtime adds handler, key, input, instant and versions.
public struct DecisionRecord: Sendable, Hashable {
    /// What was decided, in a word or two: `temp basal`, `refused`, `coupon issued`.
    public var decision: String
    /// Why, in a sentence that a nurse or a shop keeper understands.
    public var why: String
    /// The inputs it is based on.
    public var basis: [String]
    /// The limits that changed the outcome, in the order they applied.
    public var limits: [String]
    /// The numbers behind it.
    public var values: [String: JSONValue]

    /// Makes a record.
    public init(
        decision: String,
        why: String,
        basis: [String] = [],
        limits: [String] = [],
        values: [String: JSONValue] = [:]
    ) {
        self.decision = decision
        self.why = why
        self.basis = basis
        self.limits = limits
        self.values = values
    }
}

/// A change to one of the key's timers. A timer fires once; setting one that is set moves it.
public enum TimerChange: Sendable, Hashable {
    /// Fire at this instant, or at once if it has passed.
    case set(name: String, at: WallTime)
    /// Do not fire.
    case cancel(name: String)
}
