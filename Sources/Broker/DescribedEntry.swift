import MQTT
public import NIOCore

/// An entry of a journal record in words, for operators: what `causeway journal show` prints.
public struct DescribedEntry: Sendable, Hashable {
    /// A named value of an entry.
    public struct Field: Sendable, Hashable {
        /// The name, such as `session`.
        public var name: String
        /// The value as text. It may hold what a client sent.
        public var value: String
    }

    /// What it is, such as `message` or `session_opened`.
    public var kind: String
    /// Its values; of a message, only those that ``message`` does not have.
    public var fields: [Field] = []
    /// The message, of kinds that hold one.
    public var message: JournaledMessage?

    init(_ kind: String, _ fields: [(String, String)] = [], message: JournaledMessage? = nil) {
        self.kind = kind
        self.fields = fields.map { Field(name: $0.0, value: $0.1) }
        self.message = message
    }
}

extension JournalRecord {
    /// A record, or a checkpoint's content, entry by entry.
    ///
    /// - Parameters:
    ///   - record: The payload.
    ///   - sequence: The record's sequence number; 0 for a checkpoint.
    /// - Throws: ``BrokerRecoveryError`` if it is not understood.
    public static func describe(
        _ record: ByteBuffer,
        sequence: UInt64,
        _ body: (DescribedEntry) -> Void
    ) throws(BrokerRecoveryError) {
        var index: UInt16 = 0
        try forEachEntry(of: record, sequence: sequence) { entry in
            let place = MessageReference(record: sequence, index: index)
            if case .message = entry { index &+= 1 }
            body(described(entry, place))
        }
    }

    private static func described(_ entry: JournalEntry, _ place: MessageReference) -> DescribedEntry {
        switch entry {
        case .message(let stored):
            let recipients = stored.recipients.map { "\($0.session)" }.joined(separator: ",")
            return DescribedEntry("message", [("recipients", recipients)], message: stored.journaled(at: place))
        case .sessionOpened(let stored):
            return DescribedEntry(
                "session_opened",
                [
                    ("session", "\(stored.session)"), ("client", stored.clientID), ("user", stored.username ?? ""),
                    ("expiry_seconds", "\(stored.expirySeconds)"),
                ]
            )
        case .sessionDetached(let session, let wall):
            return DescribedEntry("session_detached", [("session", "\(session)"), ("milliseconds", "\(wall)")])
        case .sessionClosed(let session): return DescribedEntry("session_closed", [("session", "\(session)")])
        case .subscribed(let session, let stored):
            return DescribedEntry(
                "subscribed",
                [("session", "\(session)"), ("filter", stored.filter), ("qos", "\(stored.options.qos.rawValue)")]
            )
        case .unsubscribed(let session, let filter):
            return DescribedEntry("unsubscribed", [("session", "\(session)"), ("filter", filter)])
        case .sent(let session, let reference, let packetID, _):
            return exchange("sent", session, packetID, reference)
        case .received(let session, let packetID): return exchange("received", session, packetID)
        case .acknowledged(let session, let packetID): return exchange("acknowledged", session, packetID)
        case .released(let session, let packetID): return exchange("released", session, packetID)
        case .pending(let session, let packetID): return exchange("pending", session, packetID)
        case .dropped(let session, let reference):
            return DescribedEntry("dropped", [("session", "\(session)"), ("place", text(reference))])
        case .handler(let name, let position, let key, let state, let decision):
            return DescribedEntry(
                "handler",
                [
                    ("handler", name), ("position", text(position)), ("key", key),
                    ("state_bytes", "\(state?.readableBytes ?? 0)"),
                    ("decision", decision.map { String(buffer: $0) } ?? ""),
                ]
            )
        case .queued(let session, let stored):
            return DescribedEntry("queued", [("session", "\(session)"), ("place", text(stored.reference))])
        case .inflight(let session, let stored):
            return exchange("inflight", session, stored.packetID, stored.reference)
        case .nextSession(let number): return DescribedEntry("next_session", [("session", "\(number)")])
        case .copy(let session, let copy):
            return DescribedEntry(
                "copy",
                [("session", "\(session)")],
                message: copy.message.journaled(at: copy.reference)
            )
        case .willSet(let session, let stored):
            return DescribedEntry("will_set", [("session", "\(session)"), ("topic", stored.will.topic.string)])
        case .willCleared(let session): return DescribedEntry("will_cleared", [("session", "\(session)")])
        case .inboundHeld(let session, let packetID, let stored):
            return DescribedEntry(
                "inbound_held",
                [("session", "\(session)"), ("packet", "\(packetID)")],
                message: stored.journaled(at: place)
            )
        }
    }

    private static func exchange(
        _ kind: String,
        _ session: UInt32,
        _ packetID: UInt16,
        _ reference: MessageReference? = nil
    ) -> DescribedEntry {
        let place = reference.map { [("place", text($0))] } ?? []
        return DescribedEntry(kind, [("session", "\(session)"), ("packet", "\(packetID)")] + place)
    }

    private static func text(_ reference: MessageReference) -> String { "\(reference.record).\(reference.index)" }
}

extension StoredMessage {
    /// The message as readers of the journal are given it.
    func journaled(at reference: MessageReference) -> JournaledMessage {
        JournaledMessage(
            reference: reference,
            topic: topic,
            payload: payload,
            qos: qos,
            retain: retain,
            properties: properties,
            receivedMilliseconds: receivedMilliseconds,
            origin: origin,
            publisher: publisher
        )
    }
}
