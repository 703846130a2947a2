internal import Broker
internal import MQTT
internal import NIOCore

/// What a policy gives to one client: for each kind of question rules in their order, of which the first that matches
/// decides, and an answer for what none matches.
public struct ResolvedAccess: Sendable {
    /// One rule.
    struct Rule: Sendable {
        enum Matcher: Sendable {
            case filter(TopicFilter)
            /// The very filter, not what it matches.
            case literal(TopicFilter)
            /// Any filter with a wildcard in it, and no topic.
            case wildcards
            /// Anything: a denial whose filter could not be made for this client.
            case everything
        }

        let matcher: Matcher
        let allows: Bool

        static func allow(_ filter: TopicFilter) -> Rule { Rule(matcher: .filter(filter), allows: true) }
        static func deny(_ filter: TopicFilter) -> Rule { Rule(matcher: .filter(filter), allows: false) }
        static let denyEverything = Rule(matcher: .everything, allows: false)
        static let denyWildcards = Rule(matcher: .wildcards, allows: false)
    }

    /// The rules for one kind of question.
    struct List: Sendable {
        var rules: [Rule] = []
        /// The answer where no rule matches. It never covers `$CONTROL`, and no publish to any other `$` topic.
        var fallback = false

        static let everything = List(fallback: true)
    }

    var publish = List()
    var subscribe = List()
    var unsubscribe = List.everything
    var receive = List()

    /// Nothing is allowed.
    init() {}

    /// Everything is allowed, but to publish to `$` topics and what concerns `$CONTROL`.
    static let open: ResolvedAccess = {
        var access = ResolvedAccess()
        access.publish = .everything
        access.subscribe = .everything
        access.receive = .everything
        return access
    }()

    /// Whether every question is answered with yes, apart from `$CONTROL`, which is always asked for.
    var allowsEverything: Bool {
        [publish, subscribe, unsubscribe, receive].allSatisfy { $0.rules.isEmpty && $0.fallback }
    }

    /// Whether the client may publish to the topic.
    func mayPublish(_ topic: TopicName) -> Bool {
        // Whether bridges may report their state at all is the core's to say; the rules bind it like any other topic.
        guard topic.startsWithDollar, !topic.isBridgeState else { return publish.decides(topic) ?? publish.fallback }
        // `$` topics are the broker's own; `$CONTROL` is for administrators who are named by a rule.
        return topic.hasPrefix("$CONTROL/") && publish.decides(topic) ?? false
    }

    /// Whether the client may be given a message of the topic.
    func mayReceive(_ topic: TopicName) -> Bool {
        receive.decides(topic) ?? (receive.fallback && !topic.hasPrefix("$CONTROL"))
    }

    /// Whether the client may subscribe to the filter: the whole of it, without the share group of a shared one.
    func maySubscribe(_ filter: TopicFilter) -> Bool { subscribe.decides(filter) }

    /// Whether the client may end its subscription.
    func mayUnsubscribe(_ filter: TopicFilter) -> Bool { unsubscribe.decides(filter) }
}

extension ResolvedAccess.List {
    /// The answer of the first rule that matches; nil if none does.
    func decides(_ topic: TopicName) -> Bool? {
        for rule in rules {
            switch rule.matcher {
            case .filter(let filter): if filter.matches(topic) { return rule.allows }
            case .literal(let filter): if filter.matches(topic) { return rule.allows }
            case .wildcards: break
            case .everything: return rule.allows
            }
        }
        return nil
    }

    /// The answer for a whole filter. A rule for it covers all that the filter could match; a denial of a part does not
    /// refuse the subscription, it holds back each message of that part.
    func decides(_ filter: TopicFilter) -> Bool {
        let wanted = filter.isShared ? filter.unshared : filter
        let text = wanted.string
        for rule in rules {
            switch rule.matcher {
            case .filter(let allowed): if FilterCover.covers(allowed.string, text) { return rule.allows }
            case .literal(let allowed): if allowed == wanted { return rule.allows }
            case .wildcards: if wanted.hasWildcards { return rule.allows }
            case .everything: return rule.allows
            }
        }
        return fallback && !text.hasPrefix("$CONTROL")
    }
}

extension TopicName {
    /// Whether the first byte is `$`.
    var startsWithDollar: Bool {
        bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == UInt8(ascii: "$")
    }

    /// Whether it begins with this text.
    func hasPrefix(_ prefix: StaticString) -> Bool {
        guard startsWithDollar else { return false }
        return prefix.withUTF8Buffer { bytes.readableBytesView.starts(with: $0) }
    }
}
