/// A persistent session as an operator sees it.
public struct SessionSummary: Sendable, Hashable {
    /// Its client.
    public var clientID: String
    /// The client's user name, if it has one.
    public var username: String?
    /// Its subscriptions.
    public var subscriptions: Int
    /// Messages that wait in it.
    public var queuedMessages: Int
    /// Their bytes.
    public var queuedBytes: Int
    /// Messages under way to its client.
    public var inflightMessages: Int
    /// The oldest journal record that it needs; nil if it needs none.
    public var oldestNeededRecord: UInt64?
}

extension BrokerCore {
    /// The persistent sessions, those that need the oldest records first.
    public var sessionSummaries: [SessionSummary] {
        let found = sessions.compactMap { session -> SessionSummary? in
            guard let session, session.isPersistent else { return nil }
            let oldest = session.oldestNeededRecord
            return SessionSummary(
                clientID: session.identity.clientID,
                username: session.identity.username,
                subscriptions: session.subscriptions.count,
                queuedMessages: session.queue.count,
                queuedBytes: session.queuedBytes,
                inflightMessages: session.inflight.count,
                oldestNeededRecord: oldest == .max ? nil : oldest
            )
        }
        return found.sorted {
            ($0.oldestNeededRecord ?? .max, $0.clientID) < ($1.oldestNeededRecord ?? .max, $1.clientID)
        }
    }
}
