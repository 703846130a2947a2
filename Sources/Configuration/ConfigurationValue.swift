/// A free-form piece of configuration, such as the parameters of a handler (`with:`): typed like JSON, checked by
/// whoever understands it.
public enum ConfigurationValue: Sendable, Hashable {
    /// Nothing: `~`, `null` or an empty value.
    case null
    /// `true` or `false`, unquoted.
    case bool(Bool)
    /// A whole number, unquoted.
    case integer(Int64)
    /// A number with a fraction or an exponent, unquoted. Always finite.
    case number(Double)
    /// Any other scalar, and every quoted one.
    case text(String)
    /// A sequence.
    case list([ConfigurationValue])
    /// A mapping. Keys are unique; their order carries no meaning.
    case map([String: ConfigurationValue])

    /// The text, if this is one.
    public var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }

    /// The number, if this is one, whole or not.
    public var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The whole number, if this is one.
    public var integer: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    /// The truth value, if this is one.
    public var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    /// The elements, if this is a list.
    public var list: [ConfigurationValue]? {
        guard case .list(let elements) = self else { return nil }
        return elements
    }

    /// The entries, if this is a map.
    public var map: [String: ConfigurationValue]? {
        guard case .map(let entries) = self else { return nil }
        return entries
    }

    /// The value of a key, if this is a map that has it.
    public subscript(key: String) -> ConfigurationValue? { map?[key] }
}
