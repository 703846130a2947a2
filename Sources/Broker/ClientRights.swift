public import MQTT

/// What one client may do, resolved once and asked for each of its messages.
///
/// Confined to the loop of the core that asked for it, so it may remember answers without a lock. It is thrown away and
/// resolved again when the rules change, see ``BrokerCore/accessChanged(_:now:effects:)``.
public protocol ClientRights: AnyObject {
    /// True if every question is answered with yes, so that the core may skip asking per message.
    var allowsEverything: Bool { get }
    /// Whether the client may publish to the topic.
    func mayPublish(_ topic: TopicName) -> Bool
    /// Whether the client may subscribe to the filter.
    func maySubscribe(_ filter: TopicFilter) -> Bool
    /// Whether the client may end its subscription to the filter.
    func mayUnsubscribe(_ filter: TopicFilter) -> Bool
    /// Whether the client may be given a message of the topic.
    func mayReceive(_ topic: TopicName) -> Bool
}

extension Authorizer {
    /// Asks the authorizer's own questions each time.
    public func rights(of identity: Identity, listener: String?) -> any ClientRights {
        AskingRights(authorizer: self, identity: identity)
    }
}

/// The rights of a client that is a part of this process: a bridge asks nobody. But what comes down a bridge is
/// somebody else's, and administers nothing here.
final class TrustedRights: ClientRights {
    var allowsEverything: Bool { true }

    func mayPublish(_ topic: TopicName) -> Bool { !topic.isControl }
    func maySubscribe(_ filter: TopicFilter) -> Bool { true }
    func mayUnsubscribe(_ filter: TopicFilter) -> Bool { true }
    func mayReceive(_ topic: TopicName) -> Bool { true }
}

/// The rights of an authorizer that resolves nothing beforehand.
private final class AskingRights: ClientRights {
    private let authorizer: any Authorizer
    private let identity: Identity

    init(authorizer: any Authorizer, identity: Identity) {
        self.authorizer = authorizer
        self.identity = identity
    }

    var allowsEverything: Bool { authorizer.allowsEverything(identity) }

    func mayPublish(_ topic: TopicName) -> Bool { authorizer.mayPublish(identity, topic: topic) }
    func maySubscribe(_ filter: TopicFilter) -> Bool { authorizer.maySubscribe(identity, filter: filter) }
    func mayUnsubscribe(_ filter: TopicFilter) -> Bool { true }
    func mayReceive(_ topic: TopicName) -> Bool { authorizer.mayReceive(identity, topic: topic) }
}
