internal import Broker
internal import MQTT
internal import MosquittoClient

/// What a route makes of a message.
struct RoutedMessage: Sendable {
    var route: Int
    /// The topic on the other side; nil if there is none that may travel.
    var topic: String?
}

/// The routes of a bridge, tried in the order of the configuration. The first whose filter (and origin) matches
/// decides; a message that none matches stays on the site.
///
/// Upstream topics are held to the alphabet and lengths of ``UpstreamTopic``: every other byte of a level is
/// percent-encoded. A topic that is too long or too deep even so does not travel and is reported as a gap.
struct RouteTable: Sendable {
    struct Route: Sendable {
        let rule: RouteRule
        let filter: TopicFilter
        let hasRest: Bool
        /// Places of the single-level wildcards among the levels.
        let captureLevels: [Int]
        let template: TopicTemplate?
        let redactor: Redactor?
    }

    let routes: [Route]
    let prefix: String
    private let encoding: Bool

    /// The filters that the broker must journal messages of.
    var filters: [TopicFilter] { routes.map(\.filter) }

    init(_ settings: BridgeSettings) throws(BridgeError) {
        encoding = settings.usesNarrowTopics
        prefix = try Self.prefix(settings)
        guard !settings.routes.isEmpty else { throw BridgeError(.invalidRoute, "a bridge needs a route") }
        var routes: [Route] = []
        for rule in settings.routes { routes.append(try Self.compile(rule, settings)) }
        self.routes = routes
    }

    /// What becomes of a message; nil if no route matches.
    func route(_ message: JournaledMessage) -> RoutedMessage? {
        for (index, route) in routes.enumerated() where route.filter.matches(message.topic) {
            if let origins = route.rule.origins, !origins.contains(message.origin) { continue }
            return RoutedMessage(route: index, topic: upstream(message.topic.string, route))
        }
        return nil
    }

    /// The topic of gap records.
    var gapTopic: String { prefix + "_gap" }

    private func upstream(_ topic: String, _ route: Route) -> String? {
        let levels = topic.split(separator: "/", omittingEmptySubsequences: false)
        let body: String
        if let template = route.template {
            let fixed =
                route.hasRest
                ? route.filter.string.split(separator: "/", omittingEmptySubsequences: false).count - 1 : 0
            body = template.fill(
                captures: route.captureLevels.map { levels[$0] },
                rest: route.hasRest ? levels.dropFirst(fixed) : [],
                encoding: encoding
            )
        } else if encoding {
            body = levels.map { UpstreamTopic.encode(level: $0.utf8) }.joined(separator: "/")
        } else {
            body = topic
        }
        let upstream = prefix + body
        if encoding { return UpstreamTopic.isAcceptable(upstream) ? upstream : nil }
        return (try? TopicName(validating: upstream)) == nil ? nil : upstream
    }

    private static func prefix(_ settings: BridgeSettings) throws(BridgeError) -> String {
        let shard = BridgeShard.name(site: settings.site, count: settings.shardCount)
        let site = settings.usesNarrowTopics ? UpstreamTopic.encode(level: settings.site.utf8) : settings.site
        var prefix = settings.prefix
        for (hole, text) in [("{shard}", shard), ("{site}", site)] {
            prefix = prefix.split(separator: hole, omittingEmptySubsequences: false).joined(separator: text)
        }
        let isPossible =
            prefix.isEmpty || !settings.usesNarrowTopics
            || (UpstreamTopic.isAcceptable(prefix) && prefix.hasSuffix("/") && !prefix.hasPrefix("/"))
        guard isPossible, !prefix.contains("+"), !prefix.contains("#"), !prefix.contains("{") else {
            throw BridgeError(.invalidSettings, "the prefix is not a topic that ends in `/`")
        }
        return prefix
    }

    private static func compile(_ rule: RouteRule, _ settings: BridgeSettings) throws(BridgeError) -> Route {
        var levels: [String] = []
        var captureLevels: [Int] = []
        var names: [String] = []
        for level in rule.pattern.split(separator: "/", omittingEmptySubsequences: false) {
            guard level == "+" || level.contains("{") || level.contains("}") else {
                levels.append(String(level))
                continue
            }
            let name = level == "+" ? "" : String(level.dropFirst().dropLast())
            let isName = level == "+" || (level.first == "{" && level.last == "}" && !name.isEmpty)
            guard isName, !name.contains("{"), !name.contains("}"), name.isEmpty || !names.contains(name),
                !["rest", "site"].contains(name)
            else {
                throw BridgeError(.invalidRoute, "a route's topic has `{name}` only as a whole level, each name once")
            }
            captureLevels.append(levels.count)
            names.append(name)
            levels.append("+")
        }
        let filter: TopicFilter
        do {
            filter = try TopicFilter(levels.joined(separator: "/"))
        } catch {
            throw BridgeError(.invalidRoute, "a route's topic is not a topic filter", cause: error)
        }
        guard !filter.isShared else { throw BridgeError(.invalidRoute, "a route's topic cannot be a shared one") }
        guard rule.qos <= 1 else { throw BridgeError(.invalidRoute, "QoS 2 is never used on a bridge: take 1") }
        guard rule.redactions.isEmpty || !rule.keepsUserProperties else {
            throw BridgeError(.invalidRoute, "user properties cannot be redacted: leave them out of this route")
        }
        let hasRest = levels.last == "#"
        var template: TopicTemplate?
        if let text = rule.template {
            template = try TopicTemplate(text, names: names, hasRest: hasRest, site: settings.site)
        }
        let redactor = rule.redactions.isEmpty ? nil : try Redactor(rule.redactions, key: settings.siteKey)
        return Route(
            rule: rule,
            filter: filter,
            hasRest: hasRest,
            captureLevels: captureLevels,
            template: template,
            redactor: redactor
        )
    }
}
