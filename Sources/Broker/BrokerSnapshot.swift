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
            // What is kept was published as retained, so the flag is set.
            JournalRecord.write(.message(message.stored()), to: &writer)
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
    let storedWill: StoredWill?
    let queue: [Queued]
    let inflight: [InflightTable.Entry]
    /// The packet identifier that was given out last; nil if none was.
    let lastPacketID: UInt16?
    let inboundQoS2: [UInt16]
    let heldInbound: [(packetID: UInt16, message: Message)]

    func write(to writer: inout RecordWriter) {
        let number = stored.session
        JournalRecord.write(.sessionOpened(stored), to: &writer)
        for subscription in subscriptions {
            JournalRecord.write(.subscribed(session: number, subscription), to: &writer)
        }
        if let storedWill { JournalRecord.write(.willSet(session: number, storedWill), to: &writer) }
        // An exchange that is over, for its identifier alone: the next one follows it.
        if let lastPacketID {
            JournalRecord.write(.acknowledged(session: number, packetID: lastPacketID), to: &writer)
        }
        for entry in inflight { write(entry, to: &writer) }
        for entry in queue { write(entry, to: &writer) }
        for packetID in inboundQoS2 { JournalRecord.write(.pending(session: number, packetID: packetID), to: &writer) }
        for held in heldInbound {
            let entry = JournalEntry.inboundHeld(
                session: number,
                packetID: held.packetID,
                held.message.stored()
            )
            JournalRecord.write(entry, to: &writer)
        }
        if let wall = detachedWallMilliseconds {
            JournalRecord.write(.sessionDetached(session: number, wallMilliseconds: wall), to: &writer)
        }
    }

    private func write(_ entry: InflightTable.Entry, to writer: inout RecordWriter) {
        guard let reference = entry.reference else { return }
        let number = stored.session
        if reference.isCopy, let message = entry.message {
            // The checkpoint is the only one that has a copy's message; first queued, then sent.
            write(message, reference, entry.qos, entry.subscriptionIDs, to: &writer)
            let sent = JournalEntry.sent(
                session: number,
                reference: reference,
                packetID: entry.packetID,
                qos: entry.qos
            )
            JournalRecord.write(sent, to: &writer)
            return
        }
        let inflight = StoredInflight(
            packetID: entry.packetID,
            reference: reference,
            qos: entry.qos,
            retain: entry.retain,
            isReceived: entry.state == .received || entry.state == .releasing,
            subscriptionIDs: entry.subscriptionIDs,
            share: entry.share?.filter.string
        )
        JournalRecord.write(.inflight(session: number, inflight), to: &writer)
    }

    private func write(_ entry: Queued, to writer: inout RecordWriter) {
        guard let reference = entry.reference else { return }
        if reference.isCopy, let message = entry.message {
            write(message, reference, entry.qos, entry.subscriptionIDs, to: &writer)
            return
        }
        let queued = StoredQueued(
            reference: reference,
            qos: entry.qos,
            retain: entry.retain,
            byteCount: entry.byteCount,
            subscriptionIDs: entry.subscriptionIDs,
            share: entry.share?.filter.string
        )
        JournalRecord.write(.queued(session: stored.session, queued), to: &writer)
    }

    private func write(
        _ message: Message,
        _ reference: MessageReference,
        _ qos: QoS,
        _ identifiers: [UInt32],
        to writer: inout RecordWriter
    ) {
        let copy = StoredCopy(reference: reference, qos: qos, subscriptionIDs: identifiers, message: message.stored())
        JournalRecord.write(.copy(session: stored.session, copy), to: &writer)
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
                subscription.stored(filter)
            },
            storedWill: storedWill,
            // The queue as it is: the entries share their messages, and what is not durable is left out in writing.
            queue: Array(queue),
            inflight: inflight.ordered(),
            lastPacketID: inflight.lastPacketID,
            inboundQoS2: Array(lastInboundRecord.keys),
            heldInbound: heldInbound.compactMap { packetID, held in
                held.record == nil ? nil : (packetID, held.message)
            }
        )
    }
}
