import DequeModule
import MQTT
import NIOCore

/// The durable state of a core at one instant, for a checkpoint. Taking it copies no payload; encode it off the loop.
public struct BrokerSnapshot: Sendable {
    /// The last record whose effect it holds.
    public let sequence: UInt64
    let nextSession: UInt32
    let sessions: [SessionSnapshot]
    let retained: [Message]
    let handlers: [String: RecoveredHandler]

    /// The checkpoint's bytes, for ``BrokerCore/recover(checkpoint:)``.
    public func encode() -> [UInt8] {
        var writer = RecordWriter()
        JournalRecord.write(.nextSession(nextSession), to: &writer)
        for session in sessions { session.write(to: &writer) }
        for message in retained {
            JournalRecord.write(
                .message(
                    StoredMessage(
                        topic: message.topic,
                        payload: message.payload,
                        properties: message.properties,
                        qos: message.qos,
                        retain: true,
                        receivedMilliseconds: message.receivedMilliseconds,
                        origin: message.origin,
                        publisher: message.publisher,
                        publisherSession: 0,
                        publisherPacketID: 0,
                        recipients: []
                    )
                ),
                to: &writer
            )
        }
        for (name, handler) in handlers {
            JournalRecord.write(
                .handler(name: name, position: handler.position, key: "", state: nil, decision: nil),
                to: &writer
            )
            for (key, state) in handler.states {
                JournalRecord.write(
                    .handler(name: name, position: handler.position, key: key, state: state, decision: nil),
                    to: &writer
                )
            }
        }
        return writer.bytes
    }
}

/// One persistent session of a snapshot.
struct SessionSnapshot: Sendable {
    let stored: StoredSession
    let detachedWallMilliseconds: Int64?
    let subscriptions: [StoredSubscription]
    let queue: [StoredQueued]
    let inflight: [StoredInflight]
    let inboundQoS2: [UInt16]

    func write(to writer: inout RecordWriter) {
        let number = stored.session
        JournalRecord.write(.sessionOpened(stored), to: &writer)
        for subscription in subscriptions {
            JournalRecord.write(.subscribed(session: number, subscription), to: &writer)
        }
        for entry in inflight { JournalRecord.write(.inflight(session: number, entry), to: &writer) }
        for entry in queue { JournalRecord.write(.queued(session: number, entry), to: &writer) }
        for packetID in inboundQoS2 { JournalRecord.write(.pending(session: number, packetID: packetID), to: &writer) }
        if let wall = detachedWallMilliseconds {
            JournalRecord.write(.sessionDetached(session: number, wallMilliseconds: wall), to: &writer)
        }
    }
}

extension BrokerCore {
    /// The durable state after the last record that was appended. Call it between turns.
    public func snapshot() -> BrokerSnapshot {
        var retainedMessages: [Message] = []
        retainedMessages.reserveCapacity(retained.count)
        retained.forEach { _, message in retainedMessages.append(message) }
        return BrokerSnapshot(
            sequence: nextSequence &- 1,
            nextSession: nextSessionNumber,
            sessions: sessions.compactMap { session in
                guard let session, session.isPersistent else { return nil }
                return session.snapshot
            },
            retained: retainedMessages,
            handlers: handlers
        )
    }
}

extension Session {
    fileprivate var snapshot: SessionSnapshot {
        SessionSnapshot(
            stored: stored,
            detachedWallMilliseconds: detached?.wallMilliseconds,
            subscriptions: subscriptions.map { filter, subscription in
                StoredSubscription(
                    filter: filter.string,
                    options: subscription.options,
                    identifier: subscription.identifier
                )
            },
            queue: queue.compactMap { queued in
                guard let reference = queued.reference else { return nil }
                return StoredQueued(
                    reference: reference,
                    qos: queued.qos,
                    retain: queued.retain,
                    byteCount: queued.byteCount,
                    subscriptionIDs: queued.subscriptionIDs
                )
            },
            inflight: inflight.ordered().compactMap { entry in
                guard let reference = entry.reference else { return nil }
                return StoredInflight(
                    packetID: entry.packetID,
                    reference: reference,
                    qos: entry.qos,
                    retain: entry.retain,
                    isReceived: entry.state == .received || entry.state == .releasing,
                    subscriptionIDs: entry.subscriptionIDs
                )
            },
            inboundQoS2: Array(lastInboundRecord.keys)
        )
    }
}
