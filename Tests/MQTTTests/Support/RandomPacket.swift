import MQTT
import NIOCore
import Repeatable

/// Random packets that are valid for a version and a direction, in the form the encoder writes.
struct RandomPacket {
    let version: ProtocolVersion
    let role: PacketDecoder.Role
    var generator: SeededRandom

    mutating func next() -> Packet {
        switch role {
        case .server: nextFromClient()
        case .client: nextFromServer()
        }
    }

    mutating func connect() -> Connect {
        let username = generator.oneIn(2) ? text(identifier: true) : nil
        let hasPassword = generator.oneIn(2) && (username != nil || version == .v5)
        return Connect(
            version: version,
            clientID: text(identifier: true),
            cleanStart: generator.oneIn(2),
            keepAliveSeconds: .random(in: 0 ... .max, using: &generator),
            will: generator.oneIn(2) ? will() : nil,
            username: username,
            password: hasPassword ? binary(30) : nil,
            properties: properties(Self.connectProperties),
            isBridge: version != .v5 && generator.oneIn(4)
        )
    }

    private mutating func nextFromClient() -> Packet {
        switch generator.int(0...9) {
        case 0: .puback(acknowledgement([0x00, 0x10, 0x80, 0x97]))
        case 1: .pubrec(acknowledgement([0x00, 0x10, 0x87, 0x99]))
        case 2: .pubrel(acknowledgement([0x00, 0x92]))
        case 3: .pubcomp(acknowledgement([0x00, 0x92]))
        case 4: .subscribe(subscribe())
        case 5:
            .unsubscribe(
                Unsubscribe(
                    packetID: packetID(),
                    filters: (0..<generator.int(1...4)).map { _ in filter() },
                    properties: properties([.user])
                )
            )
        case 6: .pingreq
        case 7: version == .v5 && generator.oneIn(2) ? .auth(auth()) : .disconnect(clientDisconnect())
        default: .publish(publish())
        }
    }

    private mutating func nextFromServer() -> Packet {
        switch generator.int(0...10) {
        case 0: .puback(acknowledgement())
        case 1: .pubrec(acknowledgement())
        case 2: .pubrel(acknowledgement())
        case 3: .pubcomp(acknowledgement())
        case 4: .connack(connack())
        case 5: .suback(suback())
        case 6: .unsuback(unsuback())
        case 7: .pingresp
        case 8 where version == .v5: generator.oneIn(2) ? .auth(auth()) : .disconnect(disconnect([.serverReference]))
        default: .publish(publish())
        }
    }
}

/// The packets.
extension RandomPacket {
    private mutating func will() -> Will {
        Will(
            topic: topic(),
            payload: binary(40),
            qos: generator.pick(QoS.allCases),
            retain: generator.oneIn(2),
            properties: properties(Self.messageProperties + [.willDelay])
        )
    }

    private mutating func publish() -> Publish {
        let qos = generator.pick(QoS.allCases)
        var properties = properties(Self.messageProperties + (role == .client ? [.subscription, .subscription] : []))
        var topic = topic()
        if version == .v5, generator.oneIn(3) {
            properties.values.append(.topicAlias(.random(in: 1 ... .max, using: &generator)))
            if generator.oneIn(2) { topic = TopicName(uncheckedBytes: ByteBuffer()) }
        }
        return Publish(
            topic: topic,
            payload: binary(generator.pick([0, 1, 20, 200, 20_000])),
            qos: qos,
            retain: generator.oneIn(2),
            duplicate: qos != .atMostOnce && generator.oneIn(2),
            packetID: qos == .atMostOnce ? 0 : packetID(),
            properties: properties
        )
    }

    /// An answer of a client, which must give one of the packet's own reason codes.
    private mutating func acknowledgement(_ codes: [UInt8]) -> Acknowledgement {
        let reason = version == .v5 ? ReasonCode(rawValue: generator.pick(codes)) : .success
        return Acknowledgement(packetID: packetID(), reason: reason, properties: properties([.reasonString, .user]))
    }

    private mutating func acknowledgement() -> Acknowledgement {
        Acknowledgement(packetID: packetID(), reason: reason(), properties: properties([.reasonString, .user, .user]))
    }

    private mutating func subscribe() -> Subscribe {
        var requests: [Subscribe.Request] = []
        for _ in 0..<generator.int(1...5) {
            let isPlain = version != .v5
            requests.append(
                Subscribe.Request(
                    filter: filter(),
                    options: SubscriptionOptions(
                        qos: generator.pick(QoS.allCases),
                        noLocal: !isPlain && generator.oneIn(2),
                        retainAsPublished: !isPlain && generator.oneIn(2),
                        retainHandling: isPlain
                            ? .sendAtSubscribe : generator.pick([.sendAtSubscribe, .sendIfNew, .doNotSend])
                    )
                )
            )
        }
        return Subscribe(packetID: packetID(), requests: requests, properties: properties([.subscription, .user]))
    }

    private mutating func connack() -> Connack {
        let reason = version == .v5 ? reason() : ReasonCode(connectReturnCode: UInt8(generator.int(0...5))) ?? .success
        return Connack(
            sessionPresent: version != .v3_1 && reason == .success && generator.oneIn(2),
            reason: reason,
            properties: properties(Self.connackProperties)
        )
    }

    private mutating func suback() -> Suback {
        var reasons: [ReasonCode] = []
        for _ in 0..<generator.int(1...6) {
            reasons.append(version == .v5 ? reason() : ReasonCode(rawValue: generator.pick([0, 1, 2, 0x80])))
        }
        return Suback(packetID: packetID(), reasons: reasons, properties: properties([.reasonString, .user]))
    }

    private mutating func unsuback() -> Unsuback {
        guard version == .v5 else { return Unsuback(packetID: packetID()) }
        var reasons: [ReasonCode] = []
        for _ in 0..<generator.int(1...6) { reasons.append(reason()) }
        return Unsuback(packetID: packetID(), reasons: reasons, properties: properties([.reasonString, .user]))
    }

    private mutating func disconnect(_ more: [PropertyKind]) -> Disconnect {
        Disconnect(reason: reason(), properties: properties([.reasonString, .user] + more))
    }

    /// A DISCONNECT of a client, which must give one of the reason codes that clients have.
    private mutating func clientDisconnect() -> Disconnect {
        var disconnect = disconnect([.sessionExpiry])
        disconnect.reason = version == .v5 ? ReasonCode(rawValue: generator.pick([0x00, 0x04, 0x80, 0x99])) : .success
        return disconnect
    }

    private mutating func auth() -> Auth {
        var properties = properties([.authData, .reasonString, .user])
        properties.values.append(.authenticationMethod(text(identifier: true)))
        return Auth(reason: generator.pick([.success, .continueAuthentication]), properties: properties)
    }
}

/// The fields.
extension RandomPacket {
    mutating func packetID() -> UInt16 { .random(in: 1 ... .max, using: &generator) }

    /// Any code on 5.0; acknowledgements of earlier versions have none.
    private mutating func reason() -> ReasonCode {
        guard version == .v5, generator.oneIn(2) else { return .success }
        return ReasonCode(rawValue: .random(in: 0 ... .max, using: &generator))
    }

    mutating func binary(_ maxBytes: Int) -> ByteBuffer {
        let count = generator.int(0...maxBytes)
        var buffer = ByteBuffer()
        for _ in 0..<count { buffer.writeInteger(UInt8.random(in: 0 ... .max, using: &generator)) }
        return buffer
    }

    private static let characters: [Character] = Array("abcXYZ019 -_.:éß€字🙂𝄞\u{FEFF}e\u{301}")

    mutating func text(identifier: Bool = false) -> String {
        var text = ""
        for _ in 0..<generator.int(0...20) {
            text.append(!identifier && generator.oneIn(12) ? "\n" : generator.pick(Self.characters))
        }
        return text
    }

    mutating func topic() -> TopicName {
        var levels: [String] = []
        for _ in 0..<generator.int(1...6) { levels.append(text(identifier: true)) }
        let name = levels.joined(separator: "/")
        return TopicName(stringLiteral: name.isEmpty ? "a" : name)
    }

    mutating func filter() -> String {
        var levels: [String] = []
        for _ in 0..<generator.int(1...5) { levels.append(generator.oneIn(3) ? "+" : text(identifier: true)) }
        if generator.oneIn(3) { levels.append("#") }
        return levels.joined(separator: "/")
    }
}

/// The properties.
extension RandomPacket {
    enum PropertyKind {
        case payloadFormat, messageExpiry, contentType, responseTopic, correlation, subscription, willDelay
        case sessionExpiry, auth, authData, requestProblem, requestResponse, receiveMaximum, aliasMaximum
        case maximumPacket, assignedClient, serverKeepAlive, responseInformation, serverReference, reasonString
        case maximumQoS, retainAvailable, wildcards, subscriptionIDs, shared, user
    }

    static let messageProperties: [PropertyKind] = [
        .payloadFormat, .messageExpiry, .contentType, .responseTopic, .correlation, .user, .user,
    ]
    static let connectProperties: [PropertyKind] = [
        .sessionExpiry, .auth, .requestProblem, .requestResponse, .receiveMaximum, .aliasMaximum, .maximumPacket,
        .user, .user,
    ]
    static let connackProperties: [PropertyKind] = [
        .sessionExpiry, .auth, .receiveMaximum, .aliasMaximum, .maximumPacket, .assignedClient, .serverKeepAlive,
        .responseInformation, .serverReference, .reasonString, .maximumQoS, .retainAvailable, .wildcards,
        .subscriptionIDs, .shared, .user,
    ]

    /// Some of them, in any order; none before 5.0.
    private mutating func properties(_ kinds: [PropertyKind]) -> Properties {
        guard version == .v5, generator.oneIn(2) else { return [] }
        var values: [Property] = []
        for kind in kinds.shuffled(using: &generator) where generator.oneIn(2) { values += property(kind) }
        return Properties(values)
    }

    private mutating func property(_ kind: PropertyKind) -> [Property] {
        let number = UInt32.random(in: 1 ... .max, using: &generator)
        let short = UInt16.random(in: 1 ... .max, using: &generator)
        let boolean = UInt8.random(in: 0...1, using: &generator)
        switch kind {
        case .payloadFormat: return [.payloadFormatIndicator(boolean)]
        case .messageExpiry: return [.messageExpiryInterval(number)]
        case .contentType: return [.contentType(text())]
        case .responseTopic: return [.responseTopic(topic().string)]
        case .correlation: return [.correlationData(binary(20))]
        case .subscription:
            return [.subscriptionIdentifier(number >> generator.pick([4, 11, 18, 25]) | 1)]
        case .willDelay: return [.willDelayInterval(number)]
        case .sessionExpiry: return [.sessionExpiryInterval(number)]
        case .auth: return [.authenticationMethod(text(identifier: true)), .authenticationData(binary(20))]
        case .authData: return [.authenticationData(binary(20))]
        case .requestProblem: return [.requestProblemInformation(boolean)]
        case .requestResponse: return [.requestResponseInformation(boolean)]
        case .receiveMaximum: return [.receiveMaximum(short)]
        case .aliasMaximum: return [.topicAliasMaximum(short)]
        case .maximumPacket: return [.maximumPacketSize(number)]
        case .assignedClient: return [.assignedClientIdentifier(text(identifier: true))]
        case .serverKeepAlive: return [.serverKeepAlive(short)]
        case .responseInformation: return [.responseInformation(text())]
        case .serverReference: return [.serverReference(text())]
        case .reasonString: return [.reasonString(text())]
        case .maximumQoS: return [.maximumQoS(boolean)]
        case .retainAvailable: return [.retainAvailable(boolean)]
        case .wildcards: return [.wildcardSubscriptionAvailable(boolean)]
        case .subscriptionIDs: return [.subscriptionIdentifierAvailable(boolean)]
        case .shared: return [.sharedSubscriptionAvailable(boolean)]
        case .user: return [.userProperty(name: text(), value: text())]
        }
    }
}
