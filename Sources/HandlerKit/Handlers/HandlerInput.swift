/// What a handler decides about.
public enum HandlerInput: Sendable, Hashable {
    /// A message of one of the handler's topics.
    case message(InputMessage)
    /// A timer that the handler set for this key is due.
    case timer(TimerFiring)
}

/// Who made a message.
public enum InputOrigin: String, Sendable, Hashable, Codable {
    /// A client's PUBLISH.
    case client
    /// Another handler's output.
    case handler
    /// It came down a bridge, or from the attached site broker.
    case bridge
    /// A client's will.
    case will
    /// The broker itself.
    case broker
}

/// A message as a handler is given it.
public struct InputMessage: Sendable, Hashable {
    /// The topic name.
    public var topic: String
    /// What the wildcards of the matching pattern stood for.
    public var captures: TopicCaptures
    /// The payload. It was written by a device: trust nothing in it.
    public var payload: [UInt8]
    /// When the broker received it. The message's own time, if it has one, is in the payload.
    public var receivedAt: WallTime
    /// Who made it.
    public var origin: InputOrigin
    /// The publishing client's identifier, or the handler's or bridge's name.
    public var publisher: String
    /// Where it stands in the journal, unique per site: what a decision record names as its basis.
    public var reference: String
    /// The payload, if the runtime had to parse it already.
    private var parsed: JSONValue?

    /// Makes a message.
    public init(
        topic: String,
        captures: TopicCaptures,
        payload: [UInt8],
        receivedAt: WallTime,
        origin: InputOrigin = .client,
        publisher: String = "",
        reference: String,
        parsed: JSONValue? = nil
    ) {
        self.topic = topic
        self.captures = captures
        self.payload = payload
        self.receivedAt = receivedAt
        self.origin = origin
        self.publisher = publisher
        self.reference = reference
        self.parsed = parsed
    }

    /// The payload as JSON.
    ///
    /// - Throws: ``JSONError`` if it is not JSON, or too large or too deep (``JSONLimits``).
    public func json() throws(JSONError) -> JSONValue {
        if let parsed { return parsed }
        return try JSONValue(parsing: payload)
    }

    /// The last level of the topic, which by custom says what kind of message it is: `cgm`, `sale`, `sighting`.
    public var kind: Substring {
        guard let slash = topic.utf8.lastIndex(of: UInt8(ascii: "/")) else { return topic[...] }
        return topic[topic.utf8.index(after: slash)...]
    }
}

/// A timer that is due.
public struct TimerFiring: Sendable, Hashable {
    /// The name it was set with.
    public var name: String
    /// The instant it was set for. Identifiers are made from this one.
    public var dueAt: WallTime
    /// When it fired: not before ``dueAt``, and much later if the site was down.
    public var firedAt: WallTime

    /// Makes a firing.
    public init(name: String, dueAt: WallTime, firedAt: WallTime) {
        self.name = name
        self.dueAt = dueAt
        self.firedAt = firedAt
    }
}
