import DequeModule
import MQTT

// Shared subscriptions: whose turn it is, and what happens to messages whose member goes (MQTT 5.0 section 4.8.2).

/// A shared subscription with its members; one of them is given each message.
///
/// SAFETY: `@unchecked Sendable` because the members change. They are touched only by the loop that owns the core; a
/// snapshot that is encoded elsewhere reads the filter alone.
final class SharedGroup: @unchecked Sendable {
    /// The whole filter, `$share/…` included.
    let filter: TopicFilter
    private(set) var members: ContiguousArray<Route> = []
    /// The member whose turn it is.
    fileprivate var turn = 0

    init(filter: TopicFilter) { self.filter = filter }

    func insert(_ route: Route) {
        if let place = members.firstIndex(where: { $0.session === route.session }) {
            members[place] = route
        } else {
            members.append(route)
        }
    }

    func remove(_ session: Session) {
        guard let place = members.firstIndex(where: { $0.session === session }) else { return }
        members.remove(at: place)
        // Nobody's turn is skipped.
        if place < turn { turn -= 1 }
        if turn >= members.count { turn = 0 }
    }
}

extension BrokerCore {
    /// The member that is given the next message: in turn, whoever can take it at once; then whoever is connected; then
    /// whoever keeps a session. Members that may not receive the topic are passed over, so nobody waits for them.
    ///
    /// - Parameter topic: Nil if it is not known, as for a message that is in the journal alone; then the gate decides
    ///   at delivery.
    func choose(from group: SharedGroup, for topic: TopicName?, _ qos: QoS) -> Route? {
        var connected: Int?
        var away: Int?
        var isRefused = false
        let count = group.members.count
        for step in 0..<count {
            let place = group.turn + step < count ? group.turn + step : group.turn + step - count
            let session = group.members[place].session
            guard session.connection != nil || (session.isPersistent && qos != .atMostOnce) else { continue }
            if let topic, !isUnrestricted(session), !rights(of: session).mayReceive(topic) {
                isRefused = true
                continue
            }
            guard let connection = session.connection else {
                if away == nil { away = place }
                continue
            }
            let takesItNow = qos == .atMostOnce ? connection.isWritable : canSendAtOnce(session)
            if takesItNow { return take(place, of: group) }
            if connected == nil { connected = place }
        }
        guard let place = connected ?? away else {
            if isRefused { counters.drop(.notAuthorized) }
            return nil
        }
        return take(place, of: group)
    }

    private func take(_ place: Int, of group: SharedGroup) -> Route {
        group.turn = place + 1 < group.members.count ? place + 1 : 0
        return group.members[place]
    }

    /// Gives messages of a member that goes to the others of its group: those that wait in its queue and, where its
    /// session has ended, QoS 1 messages that it did not acknowledge. A QoS 2 message that was sent stays its own
    /// [MQTT-4.8.2-4], [MQTT-4.8.2-5].
    ///
    /// - Parameters:
    ///   - filter: Only messages of this shared subscription, which the member has left.
    ///   - withUnacknowledged: Its session has ended. Else it may come back, and its messages are handed over only if
    ///     another member is connected.
    func handOver(
        _ session: Session,
        onlyOf filter: TopicFilter? = nil,
        withUnacknowledged: Bool,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard filter != nil || session.subscriptions.keys.contains(where: \.isShared) else { return }
        var orphans: [Queued] = []
        if withUnacknowledged {
            for entry in session.inflight.ordered() where entry.share != nil {
                guard entry.state == .awaitingCommit || (entry.state == .sent && entry.qos == .atLeastOnce) else {
                    continue
                }
                orphans.append(Queued(entry))
            }
        }
        let leaving = sharesToLeave(session, onlyOf: filter, withUnacknowledged)
        guard !leaving.isEmpty else { return }
        session.queue.removeAll { queued in
            guard let share = queued.share, leaving.contains(share.filter) else { return false }
            session.queuedBytes &-= Int(queued.byteCount)
            if queued.message != nil { session.queuedResidentBytes &-= Int(queued.byteCount) }
            orphans.append(queued)
            return true
        }
        for orphan in orphans { handOver(orphan, from: session, now: now, effects: &effects) }
    }

    /// The shared subscriptions whose waiting messages others get.
    private func sharesToLeave(_ session: Session, onlyOf filter: TopicFilter?, _ always: Bool) -> Set<TopicFilter> {
        let shares = filter.map { [$0] } ?? session.subscriptions.keys.filter(\.isShared)
        return Set(
            shares.filter { share in
                let members = table.group(share)?.members ?? []
                return always || members.contains { $0.session !== session && $0.session.connection != nil }
            }
        )
    }

    private func handOver(_ orphan: Queued, from session: Session, now: BrokerTime, effects: inout Effects) {
        var entries: [JournalEntry] = []
        if let reference = orphan.reference, session.isPersistent {
            entries.append(.dropped(session: session.number, reference: reference))
        }
        defer { if !entries.isEmpty { note(together: entries, &effects) } }
        guard let share = orphan.share, let group = table.group(share.filter),
            let route = choose(from: group, for: orphan.message?.topic, orphan.qos)
        else { return }
        let heir = route.session
        let qos = min(orphan.qos, route.qos)
        guard qos != .atMostOnce else {
            guard let message = orphan.message else { return }
            push(message, to: heir, retain: orphan.retain, route.subscriptionIDs, now: now, effects: &effects)
            return
        }
        if let reference = orphan.reference { heir.noteOrder(reference) }
        let inherited = Queued(
            message: orphan.message,
            reference: orphan.reference,
            qos: qos,
            retain: orphan.retain,
            byteCount: orphan.byteCount,
            subscriptionIDs: route.subscriptionIDs,
            share: group
        )
        guard heir.queue.count < configuration.queuedMessagesMax,
            heir.queuedBytes &+ Int(inherited.byteCount) <= configuration.queuedBytesMax
        else {
            counters.drop(.queueFull)
            return
        }
        heir.queue.append(inherited)
        heir.queuedBytes &+= Int(inherited.byteCount)
        if inherited.message != nil { heir.queuedResidentBytes &+= Int(inherited.byteCount) }
        if let reference = inherited.reference, heir.isPersistent {
            entries.append(
                .queued(
                    session: heir.number,
                    StoredQueued(
                        reference: reference,
                        qos: qos,
                        retain: inherited.retain,
                        byteCount: inherited.byteCount,
                        subscriptionIDs: inherited.subscriptionIDs,
                        share: group.filter.string
                    )
                )
            )
        }
        note(together: entries, &effects)
        entries = []
        drain(heir, now: now, effects: &effects)
    }
}

extension Queued {
    /// An exchange that nobody answered, as a message that waits.
    fileprivate init(_ entry: InflightTable.Entry) {
        let bytes = entry.message?.byteCount ?? 0
        self.init(
            message: entry.message,
            reference: entry.reference,
            qos: entry.qos,
            retain: entry.retain,
            byteCount: UInt32(clamping: bytes),
            subscriptionIDs: entry.subscriptionIDs,
            share: entry.share
        )
    }
}

extension Session {
    /// Notes that a message of this reference is put at the end of the queue.
    func noteOrder(_ reference: MessageReference) {
        guard let last = queue.last else {
            queueIsMixed = false
            return
        }
        if let previous = last.reference, reference < previous { queueIsMixed = true }
    }
}
