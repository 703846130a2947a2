internal import NIOCore

extension PacketDecoder {
    /// CONNECT (section 3.1). Sets ``version`` as soon as it is known.
    mutating func decodeConnect(_ headerFlags: UInt8, _ body: inout ByteCursor) throws(MQTTError) -> Connect {
        let (version, isBridge) = try decodeProtocol(&body)
        self.version = version
        guard headerFlags == 0 || version == .v3_1 else { throw .badFlags }
        let flags = ConnectFlags(rawValue: try body.readByte())
        try flags.validate(version)
        let keepAliveSeconds = try body.readUInt16()
        let properties = try answered { () throws(MQTTError) in try readProperties(.connect, &body) }
        let clientID = try answered(.clientIdentifierNotValid) { () throws(MQTTError) in
            try body.readString(identifier: true)
        }
        let will = flags.contains(.will) ? try decodeWill(flags, &body) : nil
        // In 3.1 the remaining length wins over the flags: user name and password may be missing.
        let mayBeMissing = version == .v3_1
        var username: String?
        if flags.contains(.username), !(mayBeMissing && body.isAtEnd) {
            username = try body.readString(identifier: true)
        }
        var password: ByteBuffer?
        if flags.contains(.password), !(mayBeMissing && body.isAtEnd) {
            password = try body.readBinary()
        }
        try answered { () throws(MQTTError) in try body.expectEnd() }
        return Connect(
            version: version,
            clientID: clientID,
            cleanStart: flags.contains(.cleanStart),
            keepAliveSeconds: keepAliveSeconds,
            will: will,
            username: username,
            password: password,
            properties: properties,
            isBridge: isBridge
        )
    }

    /// Marks a mistake as one that a 5.0 client is told of in CONNACK. A field that is cut off is none: its end may be
    /// anything.
    private func answered<Value>(
        _ reason: ReasonCode? = nil,
        _ read: () throws(MQTTError) -> Value
    ) throws(MQTTError) -> Value {
        do {
            return try read()
        } catch {
            guard version == .v5, reason == nil || error != .truncated else { throw error }
            var error = error
            error.connackReason = reason ?? error.reason
            throw error
        }
    }

    /// Protocol name and level. Bit 7 of the level is the mark of Mosquitto's bridges on 3.x.
    private mutating func decodeProtocol(
        _ body: inout ByteCursor
    ) throws(MQTTError) -> (ProtocolVersion, isBridge: Bool) {
        let name = try body.readRawField()
        let level = try body.readByte()
        let isMQTT = name.elementsEqual("MQTT".utf8)
        guard isMQTT || name.elementsEqual("MQIsdp".utf8) else {
            // Another protocol: an answer in ours would mean nothing to it.
            throw MQTTError(.unsupportedProtocolVersion, "MQTT-3.1.2-1", "The protocol name is not MQTT")
        }
        switch (level, isMQTT) {
        case (0x03, false): return (.v3_1, false)
        case (0x83, false): return (.v3_1, true)
        case (0x04, true): return (.v3_1_1, false)
        case (0x84, true): return (.v3_1_1, true)
        case (0x05, true): return (.v5, false)
        default:
            // A version from the future is answered in the newest that we know, a muddle of old ones in the old form.
            if !(3...5).contains(level & 0x7F) { version = .v5 }
            throw MQTTError(
                .unsupportedProtocolVersion,
                "MQTT-3.1.2-2",
                "The protocol version is not supported",
                connackReason: .unsupportedProtocolVersion
            )
        }
    }

    private func decodeWill(_ flags: ConnectFlags, _ body: inout ByteCursor) throws(MQTTError) -> Will {
        let properties = try answered { () throws(MQTTError) in try readProperties(.will, &body) }
        let bytes = try answered { () throws(MQTTError) in try body.readSlice(Int(try body.readUInt16())) }
        guard bytes.readableBytes > 0 else {
            let answer = version == .v5 ? ReasonCode.protocolError : nil
            throw MQTTError(.protocolError, "MQTT-4.7.3-1", "The will topic is empty", connackReason: answer)
        }
        try TopicName.validate(bytes, maxLevels: limits.maxTopicLevels)
        guard bytes.readableBytes <= limits.maxTopicBytes else {
            throw MQTTError(.topicNameInvalid, "4.7.3", "The will topic is longer than the server allows")
        }
        return Will(
            topic: TopicName(uncheckedBytes: bytes),
            payload: try answered { () throws(MQTTError) in try body.readBinary() },
            qos: flags.willQoS ?? .atMostOnce,
            retain: flags.contains(.willRetain),
            properties: properties
        )
    }
}

/// The flags of CONNECT (section 3.1.2.3).
struct ConnectFlags: OptionSet {
    let rawValue: UInt8

    static let reserved = ConnectFlags(rawValue: 0x01)
    static let cleanStart = ConnectFlags(rawValue: 0x02)
    static let will = ConnectFlags(rawValue: 0x04)
    static let willQoSBits = ConnectFlags(rawValue: 0x18)
    static let willRetain = ConnectFlags(rawValue: 0x20)
    static let password = ConnectFlags(rawValue: 0x40)
    static let username = ConnectFlags(rawValue: 0x80)

    var willQoS: QoS? { QoS(rawValue: rawValue >> 3 & 0b11) }

    func validate(_ version: ProtocolVersion) throws(MQTTError) {
        // 3.1 calls the bit unused and asks nothing of it.
        guard !contains(.reserved) || version == .v3_1 else {
            throw MQTTError(.malformedPacket, "MQTT-3.1.2-3", "The reserved flag of CONNECT is set")
        }
        guard willQoS != nil else {
            let answer = version == .v5 ? ReasonCode.malformedPacket : nil
            throw MQTTError(.malformedPacket, "MQTT-3.1.2-12", "The will has QoS 3", connackReason: answer)
        }
        if !contains(.will) {
            guard isDisjoint(with: .willQoSBits) else {
                throw MQTTError(.malformedPacket, "MQTT-3.1.2-11", "There is a will QoS without a will")
            }
            guard !contains(.willRetain) else {
                throw MQTTError(.malformedPacket, "MQTT-3.1.2-13", "There is a will retain flag without a will")
            }
        }
        guard version == .v5 || contains(.username) || !contains(.password) else {
            throw MQTTError(.malformedPacket, "MQTT-3.1.2-22", "There is a password without a user name")
        }
    }
}
