/// A handler cannot be made from its configuration: which parameter, why, and what to do.
public struct HandlerConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The parameter, or the configuration field (`topics`, `key`); what the configuration's checker points at.
    public var parameter: String
    /// What is wrong with it.
    public var problem: String
    /// What to write instead.
    public var hint: String

    /// Makes an error.
    public init(parameter: String, problem: String, hint: String) {
        self.parameter = parameter
        self.problem = problem
        self.hint = hint
    }

    /// The whole of it in one line.
    public var description: String { "\(parameter): \(problem); \(hint)" }
}
