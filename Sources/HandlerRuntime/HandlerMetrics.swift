/// What a handler has done since the start, and how it is. Counters only grow.
public struct HandlerMetrics: Sendable, Hashable {
    /// The handler's name.
    public var handler: String
    /// The plugin's name.
    public var plugin: String
    /// Inputs it was given, timers included.
    public var inputs: UInt64 = 0
    /// Decisions, without the inputs that changed nothing or only the state.
    public var decided: UInt64 = 0
    /// Inputs that went to the dead letters.
    public var rejected: UInt64 = 0
    /// Messages published, dead letters not counted.
    public var outputs: UInt64 = 0
    /// Outputs that were past their expiry before they could be published, after an outage, and were held back.
    public var expiredOutputs: UInt64 = 0
    /// Failures of the handler itself.
    public var failures: UInt64 = 0
    /// How often its circuit breaker has opened.
    public var breakerOpenings: UInt64 = 0
    /// Whether it is open now.
    public var isBreakerOpen = false
    /// Keys it remembers.
    public var keys = 0
    /// Timers that are set.
    public var timers = 0
    /// How long the last decision took in the handler, in seconds.
    public var lastDecisionSeconds = 0.0
    /// How long after its input was received the last decision was made, in seconds.
    public var lastLatencySeconds = 0.0
    /// Commits that are submitted and not yet on disk.
    public var inFlight = 0
    /// The last record that all commits on disk account for.
    public var position: UInt64 = 0

    init(handler: String, plugin: String) {
        self.handler = handler
        self.plugin = plugin
    }
}
