/// What every bridged message carries, so that the other side can prove that it has all of them: (site, epoch,
/// sequence) without gaps, and what is needed to judge lateness.
///
/// On MQTT 5.0 it travels as user properties (`cw-site`, `cw-epoch`, `cw-seq`, `cw-class`, `cw-ts`, `cw-queued-ms`,
/// `cw-replayed`), on 3.1.1 in an envelope around the payload. Both sides use this type for both.
public struct BridgeStamp: Sendable, Hashable {
    /// The site's name.
    public var site: String
    /// Grows when the site's outbox is replaced; the fencing token.
    public var epoch: UInt64
    /// Counts from 1 within the epoch, without gaps; 0 in a claim.
    public var sequence: UInt64
    /// `alarm`, `transaction`, `telemetry`, or `gap` for a gap record.
    public var className: String
    /// When the site received the message, milliseconds since 1970-01-01 UTC.
    public var receivedMilliseconds: Int64
    /// How long it waited in the outbox before it was sent, in milliseconds.
    public var queuedMilliseconds: Int64
    /// Whether it may have been sent before.
    public var isReplayed: Bool

    /// The class of a gap record: see ``BridgeGap``.
    public static let gapClass = "gap"
    /// The class of a claim: a message with the sequence 0 that is not stored. It only says that from now on the site's
    /// epoch is the stamp's, and asks where the one before ended.
    public static let claimClass = "claim"

    /// Makes a stamp.
    public init(
        site: String,
        epoch: UInt64,
        sequence: UInt64,
        className: String,
        receivedMilliseconds: Int64,
        queuedMilliseconds: Int64,
        isReplayed: Bool
    ) {
        self.site = site
        self.epoch = epoch
        self.sequence = sequence
        self.className = className
        self.receivedMilliseconds = receivedMilliseconds
        self.queuedMilliseconds = queuedMilliseconds
        self.isReplayed = isReplayed
    }

    /// The stamp as user properties, in a fixed order.
    public var userProperties: [MosquittoUserProperty] {
        var list = [
            MosquittoUserProperty("cw-site", site),
            MosquittoUserProperty("cw-epoch", String(epoch)),
            MosquittoUserProperty("cw-seq", String(sequence)),
            MosquittoUserProperty("cw-class", className),
            MosquittoUserProperty("cw-ts", String(receivedMilliseconds)),
            MosquittoUserProperty("cw-queued-ms", String(queuedMilliseconds)),
        ]
        if isReplayed { list.append(MosquittoUserProperty("cw-replayed", "1")) }
        return list
    }

    /// Reads a stamp; nil unless site, epoch and sequence are there and make sense. Of a repeated name the first
    /// counts.
    public init?(userProperties: [MosquittoUserProperty]) {
        var values: [String: String] = [:]
        for property in userProperties where property.name.hasPrefix("cw-") && values[property.name] == nil {
            values[property.name] = property.value
        }
        guard let site = values["cw-site"], !site.isEmpty,
            let epoch = values["cw-epoch"].flatMap(UInt64.init),
            let sequence = values["cw-seq"].flatMap(UInt64.init),
            (sequence == 0) == (values["cw-class"] == Self.claimClass)
        else { return nil }
        self.init(
            site: site,
            epoch: epoch,
            sequence: sequence,
            className: values["cw-class"] ?? "telemetry",
            receivedMilliseconds: values["cw-ts"].flatMap(Int64.init) ?? 0,
            queuedMilliseconds: values["cw-queued-ms"].flatMap(Int64.init) ?? 0,
            isReplayed: values["cw-replayed"] == "1"
        )
    }
}

/// A message in its envelope, for servers without user properties.
public struct BridgeEnvelope: Sendable, Hashable {
    /// The stamp.
    public var stamp: BridgeStamp
    /// The topic, where the one it is published on does not tell it.
    public var topic: String?
    /// The payload as the site published it.
    public var payload: [UInt8]

    /// Makes an envelope.
    public init(stamp: BridgeStamp, topic: String? = nil, payload: [UInt8]) {
        self.stamp = stamp
        self.topic = topic
        self.payload = payload
    }

    /// The envelope as JSON. A payload that is JSON is embedded byte for byte (but for white space around it), any
    /// other in base 64.
    public func encode() -> [UInt8] {
        var head =
            "{\"cw\":1,\"site\":\(JSONText.string(stamp.site)),\"epoch\":\(stamp.epoch),\"seq\":\(stamp.sequence)"
        head += ",\"class\":\(JSONText.string(stamp.className)),\"ts\":\(stamp.receivedMilliseconds)"
        head += ",\"queued_ms\":\(stamp.queuedMilliseconds)"
        if stamp.isReplayed { head += ",\"replayed\":true" }
        if let topic { head += ",\"topic\":\(JSONText.string(topic))" }
        var bytes = Array(head.utf8)
        if let range = try? JSONReader.document(payload) {
            bytes.append(contentsOf: ",\"payload\":".utf8)
            bytes.append(contentsOf: payload[range])
        } else {
            bytes.append(contentsOf: ",\"payload_b64\":\"\(Base64.encode(payload))\"".utf8)
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    /// Reads an envelope; nil if the bytes are none.
    public init?(decoding bytes: [UInt8]) {
        guard let fields = try? JSONReader.fields(bytes) else { return nil }
        var values: [String: Range<Int>] = [:]
        for field in fields where values[field.name] == nil { values[field.name] = field.value }
        guard let version = values["cw"], bytes[version].elementsEqual("1".utf8) else { return nil }
        func integer<Number: FixedWidthInteger>(_ name: String) -> Number? {
            values[name].flatMap { Number(String(decoding: bytes[$0], as: UTF8.self)) }
        }
        func text(_ name: String) -> String? {
            guard let range = values[name], bytes[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
            return (try? JSONReader(bytes))?.decode(range)
        }
        guard let site = text("site"), !site.isEmpty, let epoch: UInt64 = integer("epoch"),
            let sequence: UInt64 = integer("seq"), (sequence == 0) == (text("class") == BridgeStamp.claimClass)
        else { return nil }
        let payload: [UInt8]
        if let range = values["payload"] {
            payload = Array(bytes[range])
        } else if let encoded = text("payload_b64"), let decoded = Base64.decode(encoded) {
            payload = decoded
        } else {
            return nil
        }
        self.init(
            stamp: BridgeStamp(
                site: site,
                epoch: epoch,
                sequence: sequence,
                className: text("class") ?? "telemetry",
                receivedMilliseconds: integer("ts") ?? 0,
                queuedMilliseconds: integer("queued_ms") ?? 0,
                isReplayed: values["replayed"].map { bytes[$0].elementsEqual("true".utf8) } ?? false
            ),
            topic: text("topic"),
            payload: payload
        )
    }
}

/// What a gap record says: messages that the site dropped by policy, so that nobody has to guess. It is published at
/// QoS 1 on `_gap` under the bridge's prefix with the class `gap`, and has a sequence of its own.
///
/// `{"from":S,"to":S,"count":N,"reason":"queue_full|redaction|poison|oversize|topic|source"}` — `from` and `to` are
/// sequences of the site's outbox that will never come; both 0 where the messages were dropped before they had one.
public struct BridgeGap: Sendable, Hashable {
    /// The first sequence that will not come, or 0.
    public var from: UInt64
    /// The last sequence that will not come, or 0.
    public var to: UInt64
    /// How many messages were dropped.
    public var count: UInt64
    /// Why.
    public var reason: String

    /// Makes a gap.
    public init(from: UInt64, to: UInt64, count: UInt64, reason: String) {
        self.from = from
        self.to = to
        self.count = count
        self.reason = reason
    }

    /// The gap as JSON.
    public func encode() -> [UInt8] {
        Array("{\"from\":\(from),\"to\":\(to),\"count\":\(count),\"reason\":\(JSONText.string(reason))}".utf8)
    }

    /// Reads a gap record; nil if the bytes are none.
    public init?(decoding bytes: [UInt8]) {
        guard let fields = try? JSONReader.fields(bytes), let reader = try? JSONReader(bytes) else { return nil }
        var numbers: [String: UInt64] = [:]
        var reason: String?
        for field in fields {
            if field.name == "reason", bytes[field.value.lowerBound] == UInt8(ascii: "\"") {
                reason = reader.decode(field.value)
            } else {
                numbers[field.name] = UInt64(String(decoding: bytes[field.value], as: UTF8.self))
            }
        }
        guard let from = numbers["from"], let to = numbers["to"], from <= to, let reason else { return nil }
        self.init(from: from, to: to, count: numbers["count"] ?? (to - from &+ 1), reason: reason)
    }
}

/// The commit watermark that an aggregator publishes at QoS 1 on `down/{site}/commit`: every message of the epoch up to
/// `sequence` is in its database. Both sides use this type.
public struct BridgeCommit: Sendable, Hashable {
    /// The epoch it speaks of.
    public var epoch: UInt64
    /// Everything up to it is committed; 0 for nothing yet.
    public var sequence: UInt64
    /// Names one life of the aggregator: a new one makes the site send again from the watermark.
    public var aggregator: String
    /// Where the epoch before ended, if the aggregator knows one: it takes nothing of it any more.
    public var former: EpochEnd?

    /// The end of an epoch that is over.
    public struct EpochEnd: Sendable, Hashable {
        /// The epoch.
        public var epoch: UInt64
        /// Everything up to it is committed.
        public var sequence: UInt64

        /// Makes one.
        public init(epoch: UInt64, sequence: UInt64) {
            self.epoch = epoch
            self.sequence = sequence
        }
    }

    /// Makes a watermark.
    public init(epoch: UInt64, sequence: UInt64, aggregator: String, former: EpochEnd? = nil) {
        self.epoch = epoch
        self.sequence = sequence
        self.aggregator = aggregator
        self.former = former
    }

    /// Where it is published.
    public static func topic(site: String) -> String { "down/\(site)/commit" }

    /// The watermark as JSON.
    public func encode() -> [UInt8] {
        var text = "{\"epoch\":\(epoch),\"seq\":\(sequence),\"aggregator\":\(JSONText.string(aggregator))"
        if let former { text += ",\"former_epoch\":\(former.epoch),\"former_seq\":\(former.sequence)" }
        return Array((text + "}").utf8)
    }

    /// Reads a watermark; nil if the bytes are none.
    public init?(decoding bytes: [UInt8]) {
        guard let fields = try? JSONReader.fields(bytes), let reader = try? JSONReader(bytes) else { return nil }
        var epoch: UInt64?
        var sequence: UInt64?
        var formerEpoch: UInt64?
        var formerSequence: UInt64?
        var aggregator = ""
        for field in fields {
            let text = String(decoding: bytes[field.value], as: UTF8.self)
            switch field.name {
            case "epoch": epoch = UInt64(text)
            case "seq": sequence = UInt64(text)
            case "former_epoch": formerEpoch = UInt64(text)
            case "former_seq": formerSequence = UInt64(text)
            case "aggregator" where text.hasPrefix("\""): aggregator = reader.decode(field.value)
            default: break
            }
        }
        guard let epoch, let sequence else { return nil }
        self.init(epoch: epoch, sequence: sequence, aggregator: aggregator)
        if let formerEpoch, let formerSequence { former = EpochEnd(epoch: formerEpoch, sequence: formerSequence) }
    }
}
