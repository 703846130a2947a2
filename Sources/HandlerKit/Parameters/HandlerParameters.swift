/// What stands under `with:` in the configuration of a handler, unchecked.
public struct HandlerParameters: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    /// The values by parameter name.
    public var values: [String: JSONValue]

    /// Makes parameters.
    public init(_ values: [String: JSONValue] = [:]) { self.values = values }

    /// Makes parameters; of a name that comes twice, the last value counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.values = Dictionary(elements) { _, last in last }
    }

    /// Checks every value against the plugin's description and fills in the defaults.
    ///
    /// - Throws: ``HandlerConfigurationError`` for the first parameter, in alphabetical order, that is unknown, missing
    ///   or out of its limits.
    public func validated(
        by plugin: PluginDescription
    ) throws(HandlerConfigurationError) -> ResolvedParameters {
        let known = Dictionary(plugin.parameters.map { ($0.name, $0) }) { first, _ in first }
        for name in values.keys.sorted() where known[name] == nil {
            throw HandlerConfigurationError(
                parameter: name,
                problem: "\(plugin.name) has no such parameter",
                hint: "it knows " + known.keys.sorted().joined(separator: ", ")
            )
        }
        var resolved: [String: JSONValue] = [:]
        for name in known.keys.sorted() {
            guard let parameter = known[name] else { continue }
            guard let given = values[name] ?? parameter.defaultValue else {
                throw HandlerConfigurationError(
                    parameter: name,
                    problem: "it is missing",
                    hint: "write \(parameter.expectation): \(parameter.summary)"
                )
            }
            guard let value = parameter.resolved(given) else {
                throw HandlerConfigurationError(
                    parameter: name,
                    problem: "its value is not allowed",
                    hint: "write \(parameter.expectation)"
                )
            }
            resolved[name] = value
        }
        return ResolvedParameters(plugin: plugin, values: resolved)
    }
}

/// Parameters that have been checked: every one the plugin describes is there, within its limits.
///
/// Asking for a parameter that the plugin does not describe, or as the wrong kind, is a mistake of the plugin's author
/// and ends the program; it cannot come from a configuration.
public struct ResolvedParameters: Sendable, Hashable {
    private let plugin: PluginDescription
    private let values: [String: JSONValue]

    init(plugin: PluginDescription, values: [String: JSONValue]) {
        self.plugin = plugin
        self.values = values
    }

    /// A number, or a duration in seconds.
    public func number(_ name: String) -> Double { get(name, \.double) }
    /// A whole number.
    public func integer(_ name: String) -> Int64 { get(name, \.int) }
    /// A text, a word of a choice, or a secret.
    public func text(_ name: String) -> String { get(name, \.text) }
    /// A truth value.
    public func flag(_ name: String) -> Bool { get(name, \.bool) }

    private func get<Value>(_ name: String, _ path: KeyPath<JSONValue, Value?>) -> Value {
        guard let value = values[name]?[keyPath: path] else {
            preconditionFailure("\(plugin.name) asks for \(name), which its description does not have in that kind")
        }
        return value
    }
}

extension HandlerParameters {
    /// Identifies a plugin's version and its configuration in decision records: the first 16 hexadecimal digits of a
    /// SHA-256 over both. Secrets go into it as their own hash.
    public func fingerprint(of plugin: PluginDescription) -> String {
        var shown = values
        for parameter in plugin.parameters {
            guard case .secret = parameter.kind, let secret = shown[parameter.name]?.text else { continue }
            shown[parameter.name] = .string(SHA256.hexadecimal(SHA256.digest(Array(secret.utf8))))
        }
        let all = JSONValue.object([
            "plugin": .string(plugin.name), "version": .string(plugin.version), "with": .object(shown),
        ])
        return String(SHA256.hexadecimal(SHA256.digest(all.encoded())).prefix(16))
    }
}
