import DequeModule
import MQTT

// Who may do what, and what happens when that changes: revocation, live and queued.
//
// The rules themselves are the authorizer's. A session holds what they give its client, under a generation number; a
// change of the rules is a step of that number, so it takes effect with the next message of every session at once. What
// is left (connections that have to go, subscriptions that are not allowed any more) is done over several turns, each
// with bounded work.
extension BrokerCore {
    // MARK: - Questions

    /// What the session's client may do under the rules of now.
    func rights(of session: Session) -> any ClientRights {
        if session.rightsGeneration == accessGeneration, let rights = session.rights { return rights }
        let rights =
            session.isTrusted ? TrustedRights() : authorizer.rights(of: session.identity, listener: session.listener)
        session.rights = rights
        session.rightsGeneration = accessGeneration
        session.isUnrestricted = rights.allowsEverything
        return rights
    }

    /// Whether nothing has to be asked for this session.
    @inline(__always)
    func isUnrestricted(_ session: Session) -> Bool {
        if session.rightsGeneration != accessGeneration { _ = rights(of: session) }
        return session.isUnrestricted
    }

    /// Whether the client may publish to the topic.
    func mayPublish(_ session: Session, _ topic: TopicName) -> Bool {
        isUnrestricted(session) || rights(of: session).mayPublish(topic)
    }

    /// Whether a client that has no session yet may publish to the topic.
    func mayPublish(_ identity: Identity, on connection: Connection, _ topic: TopicName) -> Bool {
        authorizer.rights(of: identity, listener: connection.info.listener).mayPublish(topic)
    }

    /// Whether the client may subscribe to the filter.
    func maySubscribe(_ session: Session, _ filter: TopicFilter) -> Bool {
        isUnrestricted(session) || rights(of: session).maySubscribe(filter)
    }

    /// Whether the client may end its subscription.
    func mayUnsubscribe(_ session: Session, _ filter: TopicFilter) -> Bool {
        isUnrestricted(session) || rights(of: session).mayUnsubscribe(filter)
    }

    /// The one gate: every path to a client passes it at the moment of delivery.
    @inline(__always)
    func mayReceive(_ session: Session, _ topic: TopicName) -> Bool {
        isUnrestricted(session) || mayReceiveByRules(session, topic)
    }

    @inline(never)
    private func mayReceiveByRules(_ session: Session, _ topic: TopicName) -> Bool {
        if rights(of: session).mayReceive(topic) { return true }
        counters.drop(.notAuthorized)
        return false
    }

    /// The gate for what was queued or in flight: it must also not be there because of a subscription that was taken
    /// from the client.
    func mayReceiveQueued(_ session: Session, _ topic: TopicName) -> Bool {
        guard mayReceive(session, topic) else { return false }
        guard !session.revokedFilters.isEmpty else { return true }
        let isRevoked = session.revokedFilters.contains { $0.matches(topic) }
        guard isRevoked && !session.subscriptions.keys.contains(where: { $0.matches(topic) }) else { return true }
        counters.drop(.notAuthorized)
        return false
    }

    // MARK: - Changes

    /// The rules or the users are others now. What the authorizer answers from here on counts at once, for messages
    /// that come, are queued or in flight alike. Connections whose user is revoked end with not authorized (0x87), and
    /// subscriptions that are not allowed any more are removed, in this turn and the next ones.
    public func accessChanged(
        _ change: AccessChange = AccessChange(),
        now: BrokerTime,
        effects: inout Effects
    ) {
        accessGeneration &+= 1
        var change = change
        if let left = accessSweep { change.formUnion(left.change) }
        accessSweep = AccessSweep(change: change)
        continueAccessSweep(now: now, effects: &effects)
    }

    /// Goes on with what the last change left to do.
    func continueAccessSweep(now: BrokerTime, effects: inout Effects) {
        guard var sweep = accessSweep else { return }
        var sessionsLeft = configuration.accessSweepSessions
        var subscriptionsLeft = configuration.accessSweepSubscriptions
        while sweep.nextSession < sessions.count, sessionsLeft > 0, subscriptionsLeft > 0 {
            defer { sweep.nextSession += 1 }
            sessionsLeft -= 1
            guard let session = sessions[sweep.nextSession] else { continue }
            if let connection = session.connection, sweep.change.revokes(session.identity.username) {
                let code = configuration.followsMosquitto ? ReasonCode.administrativeAction : .notAuthorized
                let reason = CloseReason(code, "the user's access was revoked")
                disconnect(connection, reason, now: now, effects: &effects)
                // A session that was not to last is gone with its connection.
                guard sessions[sweep.nextSession] === session else { continue }
            }
            // Nobody knows yet by which listener the client of such a session comes back.
            guard session.listener != nil || session.connection != nil else { continue }
            guard !isUnrestricted(session) else { continue }
            subscriptionsLeft -= session.subscriptions.count
            for filter in session.subscriptions.keys where !maySubscribe(session, filter) {
                revoke(filter, of: session, &effects)
            }
        }
        accessSweep = sweep.nextSession < sessions.count ? sweep : nil
    }

    /// Takes a subscription that is not allowed any more from a session. It does not come back by itself if the rules
    /// do: the client is not told of either, so it could rely on nothing.
    private func revoke(_ filter: TopicFilter, of session: Session, _ effects: inout Effects) {
        session.subscriptions[filter] = nil
        table.remove(filter, session)
        if !session.queue.isEmpty || session.inflight.count > 0 { session.revokedFilters.append(filter) }
        if session.isPersistent { note(.unsubscribed(session: session.number, filter: filter.string), &effects) }
    }

    // MARK: - Administration

    /// Ends the connections of a user (nil: of all clients without a user name), as an administrator's action (0x98).
    ///
    /// - Returns: How many there were.
    @discardableResult
    public func kick(username: String?, now: BrokerTime, effects: inout Effects) -> Int {
        kick(now: now, effects: &effects) { Identity(username: $0.username, clientID: "").hasSameUser(username) }
    }

    /// Ends the connections under a client identifier, as an administrator's action (0x98).
    ///
    /// - Returns: How many there were.
    @discardableResult
    public func kick(clientID: String, now: BrokerTime, effects: inout Effects) -> Int {
        kick(now: now, effects: &effects) { $0.clientID.utf8.elementsEqual(clientID.utf8) }
    }

    private func kick(now: BrokerTime, effects: inout Effects, _ isMeant: (Identity) -> Bool) -> Int {
        var count = 0
        for case let session? in sessions {
            guard let connection = session.connection, isMeant(session.identity) else { continue }
            count += 1
            let reason = CloseReason(.administrativeAction, "an administrator ended the connection")
            disconnect(connection, reason, now: now, effects: &effects)
        }
        return count
    }

    /// Ends a connection from our side; its will is due as the client did not say goodbye.
    func disconnect(_ connection: Connection, _ reason: CloseReason, now: BrokerTime, effects: inout Effects) {
        close(connection, reason, effects: &effects)
        detach(connection, now: now, effects: &effects)
    }

    /// Ends a connection whose credential has run out.
    func endExpired(_ connection: Connection, now: BrokerTime, effects: inout Effects) {
        let reason = CloseReason(.maximumConnectTime, "the credential of the client has expired")
        disconnect(connection, reason, now: now, effects: &effects)
    }

    // MARK: - Client identifiers

    /// A session of this client identifier that belongs to somebody else.
    func sessionOfAnother(_ identity: Identity) -> Session? {
        sessionsByClientID[identity.anonymous]?.first { $0.identity != identity }
    }

    /// Gives a session to the identity that comes with its client identifier, where identifiers are shared.
    func hand(_ session: Session, to identity: Identity) {
        if sessionsByIdentity[session.identity] === session { sessionsByIdentity[session.identity] = nil }
        session.identity = identity
        sessionsByIdentity[identity] = session
        session.rightsGeneration = 0
    }

    /// Keeps the index of client identifiers right.
    func register(_ session: Session) {
        sessionsByClientID[session.identity.anonymous, default: []].append(session)
    }

    /// Keeps the index of client identifiers right.
    func unregister(_ session: Session) {
        let key = session.identity.anonymous
        sessionsByClientID[key]?.removeAll { $0 === session }
        if sessionsByClientID[key]?.isEmpty == true { sessionsByClientID[key] = nil }
    }
}

extension AuthenticationResult {
    /// When what the client authenticated with runs out, on the monotonic clock; `.max` if it does not.
    func expiryInstant(_ now: BrokerTime) -> UInt64 {
        guard case .expiring(_, let wall) = self else { return .max }
        let left = UInt64(max(0, wall &- now.wallMilliseconds)).multipliedReportingOverflow(by: 1_000_000)
        let instant = now.monotonicNanoseconds.addingReportingOverflow(left.partialValue)
        return left.overflow || instant.overflow ? .max : instant.partialValue
    }
}

/// What a change of the rules leaves to do.
struct AccessSweep {
    let change: AccessChange
    /// The index of the session that is looked at next.
    var nextSession = 0
}

extension Identity {
    /// The client identifier alone.
    var anonymous: Identity { Identity(username: nil, clientID: clientID) }

    /// Whether this is the user, byte by byte.
    func hasSameUser(_ other: String?) -> Bool {
        Identity(username: username, clientID: "") == Identity(username: other, clientID: "")
    }
}
