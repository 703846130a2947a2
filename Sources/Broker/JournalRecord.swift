import MQTT
public import NIOCore

/// The format of a journal record's payload: entries one after the other, each a tag byte and its fields.
///
/// Tags and fields are never given another meaning; a new kind of entry takes a new tag.
public enum JournalRecord {
    /// The messages of a record, for readers of the journal.
    ///
    /// - Parameters:
    ///   - record: The record's payload; topics and payloads of the result are slices of it.
    ///   - sequence: The record's sequence number.
    /// - Throws: ``BrokerRecoveryError`` if the record is not understood.
    public static func messages(
        of record: ByteBuffer,
        sequence: UInt64
    ) throws(BrokerRecoveryError) -> [JournaledMessage] {
        var found: [JournaledMessage] = []
        var reader = RecordReader(record, sequence: sequence)
        var index: UInt16 = 0
        while !reader.isAtEnd {
            guard case .message(let stored) = try entry(&reader) else { continue }
            found.append(stored.journaled(at: MessageReference(record: sequence, index: index)))
            index &+= 1
        }
        return found
    }

    /// Gives `body` the entries of a record one by one: a checkpoint has millions.
    static func forEachEntry(
        of record: ByteBuffer,
        sequence: UInt64,
        _ body: (JournalEntry) -> Void
    ) throws(BrokerRecoveryError) {
        var reader = RecordReader(record, sequence: sequence)
        while !reader.isAtEnd { body(try entry(&reader)) }
    }

    enum Tag: UInt8 {
        case message = 1
        case sessionOpened, sessionDetached, sessionClosed, subscribed, unsubscribed
        case sent, received, acknowledged, dropped, released
        case handler, queued, inflight, pending, nextSession
        case copy, willSet, willCleared
        case inboundHeld
    }
}

// MARK: - Writing

extension JournalRecord {
    static func write(_ entry: JournalEntry, to writer: inout RecordWriter) {
        switch entry {
        case .message(let message):
            writer.byte(Tag.message.rawValue)
            write(message, to: &writer)
        case .sessionOpened(let session):
            writer.byte(Tag.sessionOpened.rawValue)
            writer.varint(UInt64(session.session))
            writer.string(session.clientID)
            writer.byte(session.username == nil ? 0 : 1)
            if let username = session.username { writer.string(username) }
            writer.varint(UInt64(session.expirySeconds))
        case .sessionDetached(let session, let wall):
            writer.byte(Tag.sessionDetached.rawValue)
            writer.varint(UInt64(session))
            writer.int64(wall)
        case .sessionClosed(let session):
            writer.byte(Tag.sessionClosed.rawValue)
            writer.varint(UInt64(session))
        case .subscribed(let session, let subscription):
            writer.byte(Tag.subscribed.rawValue)
            writer.varint(UInt64(session))
            writer.string(subscription.filter)
            writer.byte(packed(subscription.options))
            writer.varint(UInt64(subscription.identifier))
        case .unsubscribed(let session, let filter):
            writer.byte(Tag.unsubscribed.rawValue)
            writer.varint(UInt64(session))
            writer.string(filter)
        case .sent(let session, let reference, let packetID, let qos):
            writer.byte(Tag.sent.rawValue)
            writer.varint(UInt64(session))
            writer.reference(reference)
            writer.varint(UInt64(packetID))
            writer.byte(qos.rawValue)
        case .received(let session, let packetID): write(.received, session, packetID, to: &writer)
        case .acknowledged(let session, let packetID): write(.acknowledged, session, packetID, to: &writer)
        case .released(let session, let packetID): write(.released, session, packetID, to: &writer)
        case .pending(let session, let packetID): write(.pending, session, packetID, to: &writer)
        case .dropped(let session, let reference):
            writer.byte(Tag.dropped.rawValue)
            writer.varint(UInt64(session))
            writer.reference(reference)
        case .handler(let name, let position, let key, let state, let decision):
            writer.byte(Tag.handler.rawValue)
            writer.string(name)
            writer.reference(position)
            writer.string(key)
            writer.byte((state == nil ? 0 : 1) | (decision == nil ? 0 : 2))
            if let state { writer.buffer(state) }
            if let decision { writer.buffer(decision) }
        case .queued(let session, let queued):
            writer.byte(Tag.queued.rawValue)
            writer.varint(UInt64(session))
            writer.reference(queued.reference)
            writer.byte(queued.qos.rawValue | (queued.retain ? 4 : 0) | shareFlag(queued.share))
            writer.varint(UInt64(queued.byteCount))
            write(queued.subscriptionIDs, to: &writer)
            if let share = queued.share { writer.string(share) }
        case .inflight(let session, let inflight):
            writer.byte(Tag.inflight.rawValue)
            writer.varint(UInt64(session))
            writer.varint(UInt64(inflight.packetID))
            writer.reference(inflight.reference)
            let flags = inflight.qos.rawValue | (inflight.retain ? 4 : 0) | (inflight.isReceived ? 8 : 0)
            writer.byte(flags | shareFlag(inflight.share))
            write(inflight.subscriptionIDs, to: &writer)
            if let share = inflight.share { writer.string(share) }
        case .nextSession(let number):
            writer.byte(Tag.nextSession.rawValue)
            writer.varint(UInt64(number))
        case .copy(let session, let copy):
            writer.byte(Tag.copy.rawValue)
            writer.varint(UInt64(session))
            writer.reference(copy.reference)
            writer.byte(copy.qos.rawValue)
            write(copy.subscriptionIDs, to: &writer)
            write(copy.message, to: &writer)
        case .willSet(let session, let stored):
            writer.byte(Tag.willSet.rawValue)
            writer.varint(UInt64(session))
            writer.varint(UInt64(stored.graceSeconds))
            // The will delay is no property of a message, so it stands by itself.
            writer.varint(UInt64(stored.will.properties.willDelaySeconds ?? 0))
            writer.byte(stored.will.qos.rawValue | (stored.will.retain ? 4 : 0))
            writer.buffer(stored.will.topic.bytes)
            writer.properties(stored.will.properties.withoutWillDelay)
            writer.buffer(stored.will.payload)
        case .willCleared(let session):
            writer.byte(Tag.willCleared.rawValue)
            writer.varint(UInt64(session))
        case .inboundHeld(let session, let packetID, let message):
            write(.inboundHeld, session, packetID, to: &writer)
            write(message, to: &writer)
        }
    }

    /// The bit of a message's flags that says that its publisher's user name follows.
    private static let hasSource: UInt8 = 0x80

    private static func write(_ message: StoredMessage, to writer: inout RecordWriter) {
        let sourceFlag: UInt8 = message.source == nil ? 0 : hasSource
        writer.byte(message.qos.rawValue | (message.retain ? 4 : 0) | (message.origin.rawValue << 3) | sourceFlag)
        writer.int64(message.receivedMilliseconds)
        writer.string(message.publisher)
        if let source = message.source {
            // Its client identifier is the publisher.
            writer.byte((source.identity.username == nil ? 0 : 1) | (source.listener == nil ? 0 : 2))
            if let username = source.identity.username { writer.string(username) }
            if let listener = source.listener { writer.string(listener) }
        }
        writer.varint(UInt64(message.publisherSession))
        writer.varint(UInt64(message.publisherPacketID))
        writer.buffer(message.topic.bytes)
        writer.properties(message.properties)
        writer.buffer(message.payload)
        writer.varint(message.recipients.count)
        for recipient in message.recipients {
            writer.varint(UInt64(recipient.session))
            writer.byte(recipient.qos.rawValue | (recipient.retain ? 4 : 0) | shareFlag(recipient.share))
            writer.varint(UInt64(recipient.packetID))
            write(recipient.subscriptionIDs, to: &writer)
            if let share = recipient.share { writer.string(share) }
        }
    }

    private static func write(_ tag: Tag, _ session: UInt32, _ packetID: UInt16, to writer: inout RecordWriter) {
        writer.byte(tag.rawValue)
        writer.varint(UInt64(session))
        writer.varint(UInt64(packetID))
    }

    /// The flag of a message that came by a shared subscription: its filter follows.
    private static let sharedBit: UInt8 = 16

    private static func shareFlag(_ share: String?) -> UInt8 { share == nil ? 0 : sharedBit }

    private static func share(_ flags: UInt8, _ reader: inout RecordReader) throws(BrokerRecoveryError) -> String? {
        flags & sharedBit == 0 ? nil : try reader.string()
    }

    private static func write(_ identifiers: [UInt32], to writer: inout RecordWriter) {
        writer.varint(identifiers.count)
        for identifier in identifiers { writer.varint(UInt64(identifier)) }
    }

    private static func packed(_ options: SubscriptionOptions) -> UInt8 {
        options.qos.rawValue | (options.noLocal ? 0x04 : 0) | (options.retainAsPublished ? 0x08 : 0)
            | (options.retainHandling.rawValue << 4)
    }
}

// MARK: - Reading

extension JournalRecord {
    private static func entry(_ reader: inout RecordReader) throws(BrokerRecoveryError) -> JournalEntry {
        let number = try reader.byte()
        guard let tag = Tag(rawValue: number) else { throw reader.failure("it has an entry of unknown kind \(number)") }
        switch tag {
        case .message: return .message(try message(&reader))
        case .sessionOpened:
            let session = try reader.uint32()
            let clientID = try reader.string()
            let username: String? = try reader.byte() == 0 ? nil : try reader.string()
            return .sessionOpened(
                StoredSession(
                    session: session,
                    clientID: clientID,
                    username: username,
                    expirySeconds: try reader.uint32()
                )
            )
        case .sessionDetached:
            return .sessionDetached(session: try reader.uint32(), wallMilliseconds: try reader.int64())
        case .sessionClosed: return .sessionClosed(session: try reader.uint32())
        case .subscribed:
            let session = try reader.uint32()
            let filter = try reader.string()
            let options = try unpacked(try reader.byte(), reader)
            return .subscribed(
                session: session,
                StoredSubscription(filter: filter, options: options, identifier: try reader.uint32())
            )
        case .unsubscribed: return .unsubscribed(session: try reader.uint32(), filter: try reader.string())
        case .sent:
            return .sent(
                session: try reader.uint32(),
                reference: try reader.reference(),
                packetID: try reader.uint16(),
                qos: try reader.qos()
            )
        case .received: return .received(session: try reader.uint32(), packetID: try reader.uint16())
        case .acknowledged: return .acknowledged(session: try reader.uint32(), packetID: try reader.uint16())
        case .released: return .released(session: try reader.uint32(), packetID: try reader.uint16())
        case .pending: return .pending(session: try reader.uint32(), packetID: try reader.uint16())
        case .dropped: return .dropped(session: try reader.uint32(), reference: try reader.reference())
        case .handler:
            let name = try reader.string()
            let position = try reader.reference()
            let key = try reader.string()
            let flags = try reader.byte()
            let state: ByteBuffer? = flags & 1 != 0 ? try reader.buffer() : nil
            let decision: ByteBuffer? = flags & 2 != 0 ? try reader.buffer() : nil
            return .handler(name: name, position: position, key: key, state: state, decision: decision)
        case .queued:
            let session = try reader.uint32()
            let reference = try reader.reference()
            let flags = try reader.byte()
            return .queued(
                session: session,
                StoredQueued(
                    reference: reference,
                    qos: try qos(flags, reader),
                    retain: flags & 4 != 0,
                    byteCount: try reader.uint32(),
                    subscriptionIDs: try identifiers(&reader),
                    share: try share(flags, &reader)
                )
            )
        case .inflight:
            let session = try reader.uint32()
            let packetID = try reader.uint16()
            let reference = try reader.reference()
            let flags = try reader.byte()
            return .inflight(
                session: session,
                StoredInflight(
                    packetID: packetID,
                    reference: reference,
                    qos: try qos(flags, reader),
                    retain: flags & 4 != 0,
                    isReceived: flags & 8 != 0,
                    subscriptionIDs: try identifiers(&reader),
                    share: try share(flags, &reader)
                )
            )
        case .nextSession: return .nextSession(try reader.uint32())
        case .copy:
            let session = try reader.uint32()
            let reference = try reader.reference()
            return .copy(
                session: session,
                StoredCopy(
                    reference: reference,
                    qos: try reader.qos(),
                    subscriptionIDs: try identifiers(&reader),
                    message: try message(&reader)
                )
            )
        case .willSet: return .willSet(session: try reader.uint32(), try will(&reader))
        case .willCleared: return .willCleared(session: try reader.uint32())
        case .inboundHeld:
            return .inboundHeld(
                session: try reader.uint32(),
                packetID: try reader.uint16(),
                try message(&reader)
            )
        }
    }

    private static func message(_ reader: inout RecordReader) throws(BrokerRecoveryError) -> StoredMessage {
        let flags = try reader.byte()
        guard let origin = MessageOrigin(rawValue: (flags & ~hasSource) >> 3) else {
            throw reader.failure("a message has no origin")
        }
        let qos = try qos(flags, reader)
        let received = try reader.int64()
        let publisher = try reader.string()
        var source: MessageSource?
        if flags & hasSource != 0 {
            let known = try reader.byte()
            let username: String? = known & 1 == 0 ? nil : try reader.string()
            let listener: String? = known & 2 == 0 ? nil : try reader.string()
            source = MessageSource(identity: Identity(username: username, clientID: publisher), listener: listener)
        }
        let publisherSession = try reader.uint32()
        let publisherPacketID = try reader.uint16()
        let topic = TopicName(uncheckedBytes: try reader.buffer())
        let properties = try reader.properties()
        let payload = try reader.buffer()
        let count = try reader.varint()
        var recipients: [StoredMessage.Recipient] = []
        for _ in 0..<count {
            let session = try reader.uint32()
            let recipientFlags = try reader.byte()
            recipients.append(
                StoredMessage.Recipient(
                    session: session,
                    qos: try self.qos(recipientFlags, reader),
                    retain: recipientFlags & 4 != 0,
                    packetID: try reader.uint16(),
                    subscriptionIDs: try identifiers(&reader),
                    share: try share(recipientFlags, &reader)
                )
            )
        }
        return StoredMessage(
            topic: topic,
            payload: payload,
            properties: properties,
            qos: qos,
            retain: flags & 4 != 0,
            receivedMilliseconds: received,
            origin: origin,
            publisher: publisher,
            source: source,
            publisherSession: publisherSession,
            publisherPacketID: publisherPacketID,
            recipients: recipients
        )
    }

    private static func will(_ reader: inout RecordReader) throws(BrokerRecoveryError) -> StoredWill {
        let graceSeconds = try reader.uint32()
        let delaySeconds = try reader.uint32()
        let flags = try reader.byte()
        let topic = TopicName(uncheckedBytes: try reader.buffer())
        var properties = try reader.properties()
        if delaySeconds > 0 { properties.values.append(.willDelayInterval(delaySeconds)) }
        return StoredWill(
            will: Will(
                topic: topic,
                payload: try reader.buffer(),
                qos: try qos(flags, reader),
                retain: flags & 4 != 0,
                properties: properties
            ),
            graceSeconds: graceSeconds
        )
    }

    private static func qos(_ flags: UInt8, _ reader: RecordReader) throws(BrokerRecoveryError) -> QoS {
        guard let qos = QoS(rawValue: flags & 3) else { throw reader.failure("a quality of service is not 0, 1 or 2") }
        return qos
    }

    private static func identifiers(_ reader: inout RecordReader) throws(BrokerRecoveryError) -> [UInt32] {
        let count = try reader.varint()
        guard count > 0 else { return [] }
        var found: [UInt32] = []
        for _ in 0..<count { found.append(try reader.uint32()) }
        return found
    }

    private static func unpacked(
        _ byte: UInt8,
        _ reader: RecordReader
    ) throws(BrokerRecoveryError) -> SubscriptionOptions {
        guard let handling = RetainHandling(rawValue: byte >> 4) else {
            throw reader.failure("a subscription has an unknown retain handling")
        }
        return SubscriptionOptions(
            qos: try qos(byte, reader),
            noLocal: byte & 4 != 0,
            retainAsPublished: byte & 8 != 0,
            retainHandling: handling
        )
    }
}
