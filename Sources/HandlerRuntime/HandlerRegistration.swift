public import HandlerKit

/// A handler of the configuration.
public struct HandlerRegistration: Sendable {
    /// Where a handler begins that the journal does not know yet.
    public enum Start: Sendable, Hashable {
        /// With what comes from now on.
        case now
        /// With the oldest message that the journal still has.
        case beginning
    }

    /// Its name, unique on the site; one topic level.
    public var name: String
    /// What decides.
    public var plugin: any Handler.Type
    /// Topic patterns with captures (``TopicPattern``).
    public var topics: [String]
    /// The key template (``TopicTemplate``); nil takes the plugin's default.
    public var key: String?
    /// The plugin's parameters.
    public var parameters: HandlerParameters
    /// Where it begins if it is new.
    public var start: Start
    /// Whether a key whose state cannot be read begins afresh. Otherwise its inputs go to the dead letters until an
    /// operator has looked, which is right wherever forgetting is dangerous, as with doses given.
    public var resetsUnreadableState: Bool

    /// Makes a registration.
    public init(
        name: String,
        plugin: any Handler.Type,
        topics: [String],
        key: String? = nil,
        parameters: HandlerParameters = [:],
        start: Start = .now,
        resetsUnreadableState: Bool = false
    ) {
        self.name = name
        self.plugin = plugin
        self.topics = topics
        self.key = key
        self.parameters = parameters
        self.start = start
        self.resetsUnreadableState = resetsUnreadableState
    }

    /// Checks everything that can be checked without running, as `causeway check` does.
    ///
    /// - Throws: ``HandlerConfigurationError`` for the first mistake.
    public func check() throws(HandlerConfigurationError) {
        _ = try HandlerLane.make(self, site: "", limits: HandlerLimits())
    }

    func patterns() throws(HandlerConfigurationError) -> [TopicPattern] {
        guard !topics.isEmpty else {
            throw HandlerConfigurationError(
                parameter: "topics",
                problem: "it is empty",
                hint: "name at least one topic, such as ward/+/bed/{bed}/cgm"
            )
        }
        var patterns: [TopicPattern] = []
        for topic in topics {
            do {
                patterns.append(try TopicPattern(topic))
            } catch {
                throw HandlerConfigurationError(
                    parameter: "topics",
                    problem: error.description,
                    hint: "write levels, +, {name}, or # or {name...} at the end"
                )
            }
        }
        return patterns
    }

    func keyTemplate(for patterns: [TopicPattern]) throws(HandlerConfigurationError) -> TopicTemplate {
        let template: TopicTemplate
        do {
            template = try TopicTemplate(key ?? plugin.plugin.defaultKey)
        } catch {
            throw HandlerConfigurationError(
                parameter: "key",
                problem: error.description,
                hint: "write a template such as {bed}, {1} or {payload.customer}"
            )
        }
        for pattern in patterns {
            for place in template.places {
                guard let number = Int(place), number < 1 || number > pattern.names.count else { continue }
                throw HandlerConfigurationError(
                    parameter: "key",
                    problem: "\(pattern.pattern) has no wildcard number \(number)",
                    hint: "count its wildcards from 1, or name one as in ward/+/bed/{bed}/cgm"
                )
            }
        }
        return template
    }

    func checkName() throws(HandlerConfigurationError) {
        let isLevel = !name.isEmpty && name.utf8.count <= 64 && TopicTemplate.escaped(name) == name
        guard isLevel, name.first != "$" else {
            throw HandlerConfigurationError(
                parameter: "name",
                problem: "\(name.prefix(64)) cannot be one level of a topic",
                hint: "use at most 64 letters, digits, - and _"
            )
        }
    }
}
