public import Broker

/// One source of rules, such as an ACL file. Immutable: a change is another one.
public protocol AccessSource: Sendable {
    /// What it gives to a client. Called when the client connects and after changes, not for each message.
    func resolve(_ identity: Identity) -> ResolvedAccess
}

/// Who may do what: an immutable snapshot of all sources of rules.
///
/// Sources stand in order; the first rule that matches decides, whichever source it is of, and what none matches is
/// answered by the last source. Without sources everything is allowed to whoever was let in.
public struct AccessPolicy: Sendable {
    private let sources: [any AccessSource]

    /// Makes a policy of sources.
    public init(_ sources: [any AccessSource]) { self.sources = sources }

    /// Whoever was let in may do everything but what concerns `$CONTROL`.
    public static let open = AccessPolicy([])

    /// What a client may do.
    func resolve(_ identity: Identity) -> ResolvedAccess {
        guard let first = sources.first else { return .open }
        return sources.dropFirst().reduce(first.resolve(identity)) { $0.followed(by: $1.resolve(identity)) }
    }
}

extension ResolvedAccess {
    /// These rules, then those of another source, with its answers for what no rule matches.
    func followed(by other: ResolvedAccess) -> ResolvedAccess {
        var both = ResolvedAccess()
        both.publish = publish.followed(by: other.publish)
        both.subscribe = subscribe.followed(by: other.subscribe)
        both.unsubscribe = unsubscribe.followed(by: other.unsubscribe)
        both.receive = receive.followed(by: other.receive)
        return both
    }
}

extension ResolvedAccess.List {
    fileprivate func followed(by other: ResolvedAccess.List) -> ResolvedAccess.List {
        // What a source allows by default, it allows before the next one is asked.
        guard !fallback else { return self }
        return ResolvedAccess.List(rules: rules + other.rules, fallback: other.fallback)
    }
}
