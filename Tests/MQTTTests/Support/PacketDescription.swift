import MQTT
import NIOCore

/// Packets as the wire vectors write them.
extension Packet {
    var line: String {
        switch self {
        case .connect(let connect): connect.line
        case .connack(let connack):
            words(
                "CONNACK",
                connack.sessionPresent ? "session-present" : nil,
                connack.reason.word,
                connack.properties.word
            )
        case .publish(let publish): publish.line
        case .puback(let answer): "PUBACK " + answer.line
        case .pubrec(let answer): "PUBREC " + answer.line
        case .pubrel(let answer): "PUBREL " + answer.line
        case .pubcomp(let answer): "PUBCOMP " + answer.line
        case .subscribe(let subscribe):
            words(
                "SUBSCRIBE id=\(subscribe.packetID)",
                subscribe.requests.map(\.line).joined(separator: " "),
                subscribe.properties.word
            )
        case .suback(let suback):
            words(
                "SUBACK id=\(suback.packetID)",
                suback.reasons.map(\.hex).joined(separator: ","),
                suback.properties.word
            )
        case .unsubscribe(let unsubscribe):
            words(
                "UNSUBSCRIBE id=\(unsubscribe.packetID)",
                unsubscribe.filters.map { "\"\($0)\"" }.joined(separator: " "),
                unsubscribe.properties.word
            )
        case .unsuback(let unsuback):
            words(
                "UNSUBACK id=\(unsuback.packetID)",
                unsuback.reasons.map(\.hex).joined(separator: ","),
                unsuback.properties.word
            )
        case .pingreq: "PINGREQ"
        case .pingresp: "PINGRESP"
        case .disconnect(let disconnect): words("DISCONNECT", disconnect.reason.word, disconnect.properties.word)
        case .auth(let auth): words("AUTH", auth.reason.word, auth.properties.word)
        }
    }
}

private func words(_ words: String?...) -> String {
    words.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ")
}

extension ReasonCode {
    fileprivate var hex: String { (rawValue < 16 ? "0x0" : "0x") + String(rawValue, radix: 16) }
    fileprivate var word: String? { self == .success ? nil : "reason=\(hex)" }
}

extension ByteBuffer {
    /// In quotes if it is plain ASCII, hexadecimal otherwise.
    fileprivate var quoted: String {
        let bytes = readableBytesView
        return bytes.allSatisfy { (0x20...0x7E).contains($0) && $0 != 0x22 }
            ? "\"\(String(buffer: self))\"" : Hex.text(bytes)
    }
}

extension Connect {
    fileprivate var line: String {
        words(
            "CONNECT \(version) client=\"\(clientID)\"",
            cleanStart ? "clean" : nil,
            "keepalive=\(keepAliveSeconds)",
            isBridge ? "bridge" : nil,
            will.map(\.line),
            username.map { "user=\"\($0)\"" },
            password.map { "password=\($0.quoted)" },
            properties.word
        )
    }
}

extension Will {
    fileprivate var line: String {
        words(
            "will(\"\(topic)\" \(payload.quoted) qos=\(qos.rawValue)",
            retain ? "retain" : nil,
            properties.word
        ) + ")"
    }
}

extension Publish {
    fileprivate var line: String {
        words(
            "PUBLISH \"\(topic)\" qos=\(qos.rawValue)",
            packetID == 0 ? nil : "id=\(packetID)",
            retain ? "retain" : nil,
            duplicate ? "dup" : nil,
            payload.readableBytes == 0 ? nil : payload.quoted,
            properties.word
        )
    }
}

extension Acknowledgement {
    fileprivate var line: String { words("id=\(packetID)", reason.word, properties.word) }
}

extension Subscribe.Request {
    fileprivate var line: String {
        var text = "\"\(filter)\":\(options.qos.rawValue)"
        if options.noLocal { text += ",no-local" }
        if options.retainAsPublished { text += ",as-published" }
        if options.retainHandling != .sendAtSubscribe { text += ",handling=\(options.retainHandling.rawValue)" }
        return text
    }
}

extension Properties {
    fileprivate var word: String? {
        values.isEmpty ? nil : "{" + values.map(\.word).joined(separator: ", ") + "}"
    }
}

extension Property {
    fileprivate var word: String {
        switch self {
        case .payloadFormatIndicator(let value): "payload-format=\(value)"
        case .messageExpiryInterval(let value): "message-expiry=\(value)"
        case .contentType(let value): "content-type=\"\(value)\""
        case .responseTopic(let value): "response-topic=\"\(value)\""
        case .correlationData(let value): "correlation=\(value.quoted)"
        case .subscriptionIdentifier(let value): "subscription=\(value)"
        case .sessionExpiryInterval(let value): "session-expiry=\(value)"
        case .assignedClientIdentifier(let value): "assigned-client=\"\(value)\""
        case .serverKeepAlive(let value): "server-keepalive=\(value)"
        case .authenticationMethod(let value): "auth-method=\"\(value)\""
        case .authenticationData(let value): "auth-data=\(value.quoted)"
        case .requestProblemInformation(let value): "request-problem=\(value)"
        case .willDelayInterval(let value): "will-delay=\(value)"
        case .requestResponseInformation(let value): "request-response=\(value)"
        case .responseInformation(let value): "response-information=\"\(value)\""
        case .serverReference(let value): "server-reference=\"\(value)\""
        case .reasonString(let value): "reason-string=\"\(value)\""
        case .receiveMaximum(let value): "receive-maximum=\(value)"
        case .topicAliasMaximum(let value): "alias-maximum=\(value)"
        case .topicAlias(let value): "alias=\(value)"
        case .maximumQoS(let value): "maximum-qos=\(value)"
        case .retainAvailable(let value): "retain-available=\(value)"
        case .userProperty(let name, let value): "user:\"\(name)\"=\"\(value)\""
        case .maximumPacketSize(let value): "maximum-packet=\(value)"
        case .wildcardSubscriptionAvailable(let value): "wildcard-available=\(value)"
        case .subscriptionIdentifierAvailable(let value): "subscription-id-available=\(value)"
        case .sharedSubscriptionAvailable(let value): "shared-available=\(value)"
        }
    }
}
