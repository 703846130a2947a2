/// What handlers may use. Each has a default that suits a site of a few hundred devices on two cores.
public struct HandlerLimits: Sendable, Hashable {
    /// The most keys of one handler. An input for a further key goes to the dead letters.
    public var keysMax = 100_000
    /// The most bytes of a key. An input with a longer one goes to the dead letters.
    public var keyBytesMax = 256
    /// The most bytes of one key's state, encoded. A decision that exceeds it fails.
    public var stateBytesMax = 256 * 1024
    /// The most outputs of one decision. A decision with more fails.
    public var outputsMax = 16
    /// The most payload bytes of one output. A decision with a larger one fails.
    public var outputBytesMax = 64 * 1024
    /// The most timers of one key. A decision that sets more fails.
    public var timersMax = 16
    /// The most firings of a key's overdue timers ahead of one message; the rest fire on the next turn.
    public var timerFiringsMax = 64
    /// How many handlers in a row one message may pass through. Beyond, the input goes to the dead letters.
    public var chainMax: UInt8 = 8
    /// The most commits that are submitted and not yet on disk. At the limit the runtime reads no further.
    public var inFlightCommitsMax = 1024
    /// The most commits handed over at once.
    public var batchCommitsMax = 128
    /// The most bytes of records read at once.
    public var readBytesMax = 1024 * 1024
    /// The most payload bytes a dead letter repeats.
    public var deadLetterBytesMax = 4096
    /// After how long a dead letter expires.
    public var deadLetterExpirySeconds: UInt32 = 7 * 86_400
    /// How many failures in a row open a handler's circuit breaker.
    public var breakerFailuresMax = 5
    /// How long the breaker stays open before one input is tried.
    public var breakerOpenSeconds = 30.0
    /// A decision that takes longer counts as a failure of the handler, though it holds.
    public var slowSeconds = 1.0
    /// After how many records without effect a handler's position is committed alone.
    public var positionRecordsMax: UInt64 = 4096
    /// After how many seconds with such records it is.
    public var positionSecondsMax = 30.0

    /// The defaults.
    public init() {}
}
