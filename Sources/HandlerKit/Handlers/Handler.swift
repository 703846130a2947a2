/// A business rule as a reducer: one input and the state of one key in, new state and a decision out.
///
/// Handlers are pure values. They have no clock, no files, no network and no randomness: time is `context.now`,
/// identifiers come from ``HandlerContext/id(_:)``, and everything they want done stands in the ``Decision`` they
/// return. That is why a decision can be committed to the journal together with the state that led to it, and why a
/// restart neither repeats nor forgets one.
///
/// ```swift
/// struct DoorCounter: Handler {
///     struct State: Codable, Sendable { var opened = 0 }
///     static let plugin = PluginDescription(name: "example.door", version: "1", summary: "Counts openings.")
///     init(parameters: HandlerParameters) throws(HandlerConfigurationError) { _ = try parameters.validated(by:
///     Self.plugin) } func initialState(key: String) -> State { State() }
///     func reduce(_ state: inout State, _ input: HandlerInput, _ context: HandlerContext) -> Decision {
///         state.opened += 1
///         return .none
///     }
/// }
/// ```
///
/// ``reduce(_:_:_:)`` is called for one key at a time, in the order of the journal. What comes in was written by
/// others: a payload that makes no sense is answered with ``Decision/rejected(_:)``, never with a trap.
public protocol Handler: Sendable {
    /// What the handler remembers of one key. It is committed, as JSON, with every decision that changes it.
    associatedtype State: Codable & Sendable

    /// What the plugin is called, what it does and which parameters it takes.
    static var plugin: PluginDescription { get }

    /// Makes a handler from its configuration.
    ///
    /// - Throws: ``HandlerConfigurationError``, which names the parameter, why it is wrong and what to do.
    init(parameters: HandlerParameters) throws(HandlerConfigurationError)

    /// The state of a key that has had no input yet.
    func initialState(key: String) -> State

    /// Decides about one input.
    ///
    /// The same state, input and context must give the same state and decision, always.
    func reduce(_ state: inout State, _ input: HandlerInput, _ context: HandlerContext) -> Decision

    /// What a key's state adds to the totals of the whole handler, such as the number of coupons it was given.
    ///
    /// The runtime keeps the sum over all keys and hands it to every input as ``HandlerContext/totals``. It is derived
    /// from the states, so it is exact after a restart without a record of its own. At most
    /// ``HandlerTotals/countMax`` names.
    func totals(of state: State) -> [String: Int64]
}

extension Handler {
    /// No totals.
    public func totals(of state: State) -> [String: Int64] { [:] }
}

/// Limits of ``Handler/totals(of:)``.
public enum HandlerTotals {
    /// The most names that one key may add to; more are ignored, in the order of the names.
    public static let countMax = 8
}

/// What a plugin is: shown by `causeway check`, in the console and in every decision record.
public struct PluginDescription: Sendable, Hashable {
    /// The name in the configuration, such as `medication.insulin`.
    public var name: String
    /// Grows with every change of what it decides.
    public var version: String
    /// One sentence.
    public var summary: String
    /// What the operator must know before relying on it, such as that it is not a medical device; empty if nothing.
    public var notice: String
    /// The key template that is used where the configuration gives none.
    public var defaultKey: String
    /// What can be configured.
    public var parameters: [ParameterDescription]

    /// Makes a description.
    public init(
        name: String,
        version: String,
        summary: String,
        notice: String = "",
        defaultKey: String = "{1}",
        parameters: [ParameterDescription] = []
    ) {
        self.name = name
        self.version = version
        self.summary = summary
        self.notice = notice
        self.defaultKey = defaultKey
        self.parameters = parameters
    }
}
