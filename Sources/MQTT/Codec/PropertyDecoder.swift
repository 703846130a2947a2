internal import NIOCore

/// Reads the properties of one packet (section 2.2.2).
struct PropertyDecoder {
    /// What the packet may carry.
    let allowed: PropertySet
    /// The most properties.
    let maxCount: Int
    /// Whether a subscription identifier may come again, as it may in a PUBLISH to a client.
    let allowsManySubscriptionIdentifiers: Bool

    private var seen = PropertySet()

    init(allowed: PropertySet, maxCount: Int, allowsManySubscriptionIdentifiers: Bool = false) {
        self.allowed = allowed
        self.maxCount = maxCount
        self.allowsManySubscriptionIdentifiers = allowsManySubscriptionIdentifiers
    }

    /// Whether the property came.
    func saw(_ identifier: PropertyID) -> Bool { seen.contains(identifier) }

    /// Reads the length and all properties behind it.
    mutating func read(_ cursor: inout ByteCursor) throws(MQTTError) -> Properties {
        let length = Int(try cursor.readVariableInteger())
        guard length > 0 else { return Properties() }
        var section = try cursor.readSection(length)
        var values: [Property] = []
        while !section.isAtEnd {
            guard values.count < maxCount else {
                throw MQTTError(.quotaExceeded, "2.2.2", "The packet has more properties than the server allows")
            }
            values.append(try readProperty(&section))
        }
        if seen.contains(.authenticationData), !seen.contains(.authenticationMethod) {
            throw MQTTError(.protocolError, "3.1.2.11.10", "There is authentication data without a method")
        }
        return Properties(values)
    }

    private mutating func readProperty(_ section: inout ByteCursor) throws(MQTTError) -> Property {
        // The identifier is a variable byte integer, but none of two bytes or more is defined.
        let number = try section.readVariableInteger()
        guard let byte = UInt8(exactly: number), let identifier = PropertyID(rawValue: byte) else {
            throw MQTTError(.malformedPacket, "2.2.2.2", "The packet holds a property that there is not")
        }
        // First whether it is one at all, then whether it belongs here: the mistakes have different codes.
        let value = try Self.readValue(identifier, &section)
        guard allowed.contains(identifier) else { throw .propertyOfAnotherPacket }
        if !seen.insert(identifier) {
            let mayRepeat =
                identifier == .userProperty
                || identifier == .subscriptionIdentifier && allowsManySubscriptionIdentifiers
            guard mayRepeat else { throw .repeatedProperty }
        }
        return value
    }

    private static func readValue(
        _ identifier: PropertyID,
        _ section: inout ByteCursor
    ) throws(MQTTError) -> Property {
        switch identifier {
        case .payloadFormatIndicator: .payloadFormatIndicator(try readBoolean(&section))
        case .messageExpiryInterval: .messageExpiryInterval(try section.readUInt32())
        case .contentType: .contentType(try section.readString())
        case .responseTopic: .responseTopic(try readResponseTopic(&section))
        case .correlationData: .correlationData(try section.readBinary())
        case .subscriptionIdentifier: .subscriptionIdentifier(try readSubscriptionIdentifier(&section))
        case .sessionExpiryInterval: .sessionExpiryInterval(try section.readUInt32())
        case .assignedClientIdentifier: .assignedClientIdentifier(try section.readString(identifier: true))
        case .serverKeepAlive: .serverKeepAlive(try section.readUInt16())
        case .authenticationMethod: .authenticationMethod(try section.readString(identifier: true))
        case .authenticationData: .authenticationData(try section.readBinary())
        case .requestProblemInformation: .requestProblemInformation(try readBoolean(&section))
        case .willDelayInterval: .willDelayInterval(try section.readUInt32())
        case .requestResponseInformation: .requestResponseInformation(try readBoolean(&section))
        case .responseInformation: .responseInformation(try section.readString())
        case .serverReference: .serverReference(try section.readString())
        case .reasonString: .reasonString(try section.readString())
        case .receiveMaximum: .receiveMaximum(try readReceiveMaximum(&section))
        case .topicAliasMaximum: .topicAliasMaximum(try section.readUInt16())
        case .topicAlias: .topicAlias(try readTopicAlias(&section))
        case .maximumQoS: .maximumQoS(try readBoolean(&section))
        case .retainAvailable: .retainAvailable(try readBoolean(&section))
        case .userProperty:
            .userProperty(name: try section.readString(), value: try section.readString())
        case .maximumPacketSize: .maximumPacketSize(try readMaximumPacketSize(&section))
        case .wildcardSubscriptionAvailable: .wildcardSubscriptionAvailable(try readBoolean(&section))
        case .subscriptionIdentifierAvailable: .subscriptionIdentifierAvailable(try readBoolean(&section))
        case .sharedSubscriptionAvailable: .sharedSubscriptionAvailable(try readBoolean(&section))
        }
    }
}

/// Values with a range of their own.
extension PropertyDecoder {
    private static func readBoolean(_ section: inout ByteCursor) throws(MQTTError) -> UInt8 {
        let byte = try section.readByte()
        guard byte <= 1 else {
            throw MQTTError(.protocolError, "2.2.2.2", "A property that is 0 or 1 has another value")
        }
        return byte
    }

    private static func readReceiveMaximum(_ section: inout ByteCursor) throws(MQTTError) -> UInt16 {
        let value = try section.readUInt16()
        guard value > 0 else { throw MQTTError(.protocolError, "3.1.2.11.3", "The receive maximum is 0") }
        return value
    }

    private static func readMaximumPacketSize(_ section: inout ByteCursor) throws(MQTTError) -> UInt32 {
        let value = try section.readUInt32()
        guard value > 0 else { throw MQTTError(.protocolError, "3.1.2.11.4", "The maximum packet size is 0") }
        return value
    }

    private static func readTopicAlias(_ section: inout ByteCursor) throws(MQTTError) -> UInt16 {
        let value = try section.readUInt16()
        guard value > 0 else { throw MQTTError(.topicAliasInvalid, "MQTT-3.3.2-8", "The topic alias is 0") }
        return value
    }

    private static func readSubscriptionIdentifier(_ section: inout ByteCursor) throws(MQTTError) -> UInt32 {
        let value = try section.readVariableInteger()
        guard value > 0 else { throw MQTTError(.protocolError, "3.8.2.1.2", "The subscription identifier is 0") }
        return value
    }

    private static func readResponseTopic(_ section: inout ByteCursor) throws(MQTTError) -> String {
        let raw = try section.readRawField()
        let check = UTF8Check(raw)
        guard check.isValid else { throw .textIsNotUTF8 }
        guard !check.hasWildcards, !check.hasControls, raw.count > 0 else {
            throw MQTTError(.protocolError, "MQTT-3.3.2-14", "The response topic is not a topic name")
        }
        return String(decoding: raw, as: UTF8.self)
    }
}
