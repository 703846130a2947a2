/// What a handler may know besides its state and its input.
public struct HandlerContext: Sendable {
    /// The instant of the input: when the broker received the message, or when the timer fired. Never a clock's time,
    /// so that deciding again gives the same decision.
    public var now: WallTime
    /// The handler's name in the configuration.
    public var handler: String
    /// The site's name.
    public var site: String
    /// The partition key.
    public var key: String
    /// Sums over all keys of what ``Handler/totals(of:)`` says, before this input.
    public var totals: [String: Int64]
    /// Identifies the plugin's version and its parameters; part of every decision record.
    public var configuration: String
    /// Identifies the input: a journal reference, or a timer's name and instant.
    public var basis: String

    /// Makes a context.
    public init(
        now: WallTime,
        handler: String,
        site: String,
        key: String,
        totals: [String: Int64] = [:],
        configuration: String = "",
        basis: String = ""
    ) {
        self.now = now
        self.handler = handler
        self.site = site
        self.key = key
        self.totals = totals
        self.configuration = configuration
        self.basis = basis
    }

    /// An identifier for something this decision makes, such as a command: the same for the same site, handler, key,
    /// configuration and parts, whenever and however often the decision is made, and different from any other.
    ///
    /// It names, it does not authenticate: what must not be guessed needs an HMAC with a key of its own.
    ///
    /// - Parameter parts: What tells this thing from others, such as the readings it is based on.
    /// - Returns: A UUID of version 8 (RFC 9562, section 5.8) over a SHA-256.
    public func id(_ parts: String...) -> String {
        DeterministicID.uuid([site, handler, key, configuration] + parts)
    }
}
