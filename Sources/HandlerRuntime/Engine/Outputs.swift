import Broker
import HandlerKit
import MQTT
import NIOCore

/// What the runtime knows of an input besides its content.
struct Basis {
    /// A journal reference, or a timer's name and instant.
    var reference: String
    /// The topic, or empty for a timer.
    var topic: String
    /// The input's own instant.
    var receivedMilliseconds: Int64
    /// How many handlers it has passed through.
    var hops: UInt8
}

/// How many handlers a message has passed through, as the message carries it.
enum Chain {
    static let property = "causeway-hops"

    /// Only a handler's output is believed: a client may write what it likes.
    static func hops(of message: JournaledMessage) -> UInt8 {
        guard message.origin == .handler else { return 0 }
        return message.properties.first { property in
            guard case .userProperty(Self.property, let value) = property else { return nil }
            return UInt8(value)
        } ?? 1
    }
}

extension InputMessage {
    init(_ message: JournaledMessage, captures: TopicCaptures, parsed: JSONValue?) {
        let origin: InputOrigin =
            switch message.origin {
            case .client: .client
            case .handler: .handler
            case .bridge: .bridge
            case .will: .will
            case .broker: .broker
            }
        self.init(
            topic: message.topic.string,
            captures: captures,
            payload: Array(message.payload.readableBytesView),
            receivedAt: WallTime(milliseconds: message.receivedMilliseconds),
            origin: origin,
            publisher: message.publisher,
            reference: "\(message.reference.record).\(message.reference.index)",
            parsed: parsed
        )
    }
}

extension HandlerCommit.Output {
    /// An output of a handler as the broker publishes it.
    init(_ output: HandlerOutput, hops: UInt8, ageSeconds: Int64, limits: HandlerLimits) throws(StateFailure) {
        let isName =
            !output.topic.isEmpty && output.topic.utf8.count <= 1024
            && output.topic.utf8.allSatisfy { $0 != 0 && $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "#") }
        guard isName, !output.topic.hasPrefix("$") else { throw StateFailure(reason: "an output's topic is not valid") }
        let payload = output.payload?.encoded() ?? []
        guard payload.count <= limits.outputBytesMax else {
            throw StateFailure(reason: "an output has \(payload.count) bytes, more than \(limits.outputBytesMax)")
        }
        var properties: [Property] = []
        if !payload.isEmpty {
            properties.append(.payloadFormatIndicator(1))
            properties.append(.contentType("application/json"))
        }
        if let expiry = output.expirySeconds {
            properties.append(.messageExpiryInterval(UInt32(clamping: Int64(expiry) - ageSeconds)))
        }
        if !output.classification.isEmpty {
            properties.append(.userProperty(name: "class", value: output.classification))
        }
        properties.append(.userProperty(name: Chain.property, value: String(hops)))
        let qos: QoS =
            switch output.qos {
            case .atMostOnce: .atMostOnce
            case .atLeastOnce: .atLeastOnce
            case .exactlyOnce: .exactlyOnce
            }
        self.init(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: output.topic)),
            payload: ByteBuffer(bytes: payload),
            qos: qos,
            retain: output.retain,
            properties: Properties(properties)
        )
    }
}

/// The decision record as it stands in the journal.
enum DecisionEntry {
    /// The most texts of a list that are kept; the journal is no place for more.
    static let listMax = 64

    static func bytes(
        _ decision: Decision,
        context: HandlerContext,
        lane: HandlerLane,
        basis: Basis,
        outputs: [HandlerCommit.Output]
    ) -> [UInt8]? {
        guard let record = decision.record else { return nil }
        let heldBack = decision.outputs.count - outputs.count
        let limits = record.limits + (heldBack > 0 ? ["outputs held back because they had expired: \(heldBack)"] : [])
        let members: [String: JSONValue] = [
            "handler": .string(lane.name),
            "plugin": .string(lane.plugin.name),
            "version": .string(lane.plugin.version),
            "configuration": .string(lane.configuration),
            "site": .string(context.site),
            "key": .string(context.key),
            "at": .string(context.now.description),
            "input": .string(basis.reference),
            "topic": .string(basis.topic),
            "decision": .string(record.decision),
            "why": .string(record.why),
            "basis": .array(record.basis.prefix(listMax).map(JSONValue.string)),
            "limits": .array(limits.prefix(listMax).map(JSONValue.string)),
            "values": .object(record.values),
            "outputs": .array(outputs.map { .string($0.topic.string) }),
        ]
        return JSONValue.object(members).encoded()
    }
}

/// What a handler could not take, for a person to look at: `dlq/<handler>`, on the site only.
enum DeadLetter {
    static let root = "dlq/"

    /// The dead letter of a message; nil for a message that is one itself.
    static func output(
        handler: String,
        _ message: JournaledMessage,
        reason: String,
        limits: HandlerLimits
    ) -> HandlerCommit.Output? {
        let topic = message.topic.string
        guard !topic.hasPrefix(root) else { return nil }
        let payload = message.payload.readableBytesView
        let kept = Array(payload.prefix(limits.deadLetterBytesMax))
        var members: [String: JSONValue] = [
            "reason": .string(reason),
            "topic": .string(topic),
            "publisher": .string(message.publisher),
            "received": .string(WallTime(milliseconds: message.receivedMilliseconds).description),
            "reference": .string("\(message.reference.record).\(message.reference.index)"),
            "bytes": .integer(Int64(payload.count)),
        ]
        if kept.count < payload.count { members["truncated"] = true }
        if let text = String(validating: kept, as: UTF8.self) {
            members["payload"] = .string(text)
        } else {
            members["payload_hex"] = .string(hexadecimal(kept))
        }
        return HandlerCommit.Output(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: root + handler)),
            payload: ByteBuffer(bytes: JSONValue.object(members).encoded()),
            qos: .atLeastOnce,
            retain: false,
            properties: [
                .payloadFormatIndicator(1),
                .contentType("application/json"),
                .messageExpiryInterval(limits.deadLetterExpirySeconds),
                .userProperty(name: "class", value: "dead-letter"),
                .userProperty(name: Chain.property, value: String(Chain.hops(of: message) &+ 1)),
            ]
        )
    }

    /// Tells, retained, whether the handler's circuit breaker is open.
    static func status(handler: String, breaker: String, _ now: Int64) -> HandlerCommit.Output {
        let members: [String: JSONValue] = [
            "breaker": .string(breaker), "at": .string(WallTime(milliseconds: now).description),
        ]
        return HandlerCommit.Output(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: "hnd/\(handler)/status")),
            payload: ByteBuffer(bytes: JSONValue.object(members).encoded()),
            qos: .atLeastOnce,
            retain: true,
            properties: [.contentType("application/json"), .userProperty(name: Chain.property, value: "1")]
        )
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
