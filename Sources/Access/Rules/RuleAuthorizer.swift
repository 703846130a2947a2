public import Broker
public import MQTT

/// Decides by rules that never change. Without rules, everybody who was let in may do everything but publish to `$`
/// topics.
public final class RuleAuthorizer: Authorizer {
    /// What some clients may do.
    public typealias Rule = RuleSet.Rule

    private let box: PolicyBox

    /// Makes it.
    ///
    /// - Throws: ``AccessError`` if a rule holds what is not a topic filter.
    public init(rules: [Rule], levelsMax: Int = TopicLimits.levelsMax) throws {
        box = PolicyBox(rules.isEmpty ? .open : AccessPolicy([try RuleSet(rules: rules, levelsMax: levelsMax)]))
    }

    /// Whether a rule allows the client to publish to the topic.
    public func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { box.mayPublish(identity, topic: topic) }

    /// Whether a rule's filter covers the whole filter, without the share group of a shared one.
    public func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        box.maySubscribe(identity, filter: filter)
    }

    /// Whether a rule allows the topic to be delivered to the client.
    public func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { box.mayReceive(identity, topic: topic) }

    /// Whether there are no rules. That nobody publishes to `$` topics is also the core's own rule.
    public func allowsEverything(_ identity: Identity) -> Bool { box.allowsEverything(identity) }

    /// What the client may do.
    public func rights(of identity: Identity, listener: String?) -> any ClientRights {
        box.rights(of: identity, listener: listener)
    }
}
