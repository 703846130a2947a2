internal import NIOCore

/// Writes properties (section 2.2.2), for 5.0 only.
extension Properties {
    /// Bytes of the properties without their length.
    var contentBytes: Int {
        var total = 0
        for value in values { total += 1 + value.valueBytes }
        return total
    }

    /// Bytes of the properties with their length; nothing before 5.0.
    func wireBytes(_ version: ProtocolVersion) -> Int {
        guard version == .v5 else { return 0 }
        guard !isEmpty else { return 1 }
        let content = contentBytes
        return FieldSize.variableInteger(content) + content
    }

    /// Writes length and properties; nothing before 5.0.
    func write(_ version: ProtocolVersion, to writer: inout ByteWriter) {
        guard version == .v5 else { return }
        guard !isEmpty else { return writer.write(UInt8(0)) }
        writer.writeVariableInteger(contentBytes)
        for value in values {
            writer.write(value.identifier.rawValue)
            value.writeValue(to: &writer)
        }
    }
}

extension Property {
    /// The identifier on the wire.
    var identifier: PropertyID {
        switch self {
        case .payloadFormatIndicator: .payloadFormatIndicator
        case .messageExpiryInterval: .messageExpiryInterval
        case .contentType: .contentType
        case .responseTopic: .responseTopic
        case .correlationData: .correlationData
        case .subscriptionIdentifier: .subscriptionIdentifier
        case .sessionExpiryInterval: .sessionExpiryInterval
        case .assignedClientIdentifier: .assignedClientIdentifier
        case .serverKeepAlive: .serverKeepAlive
        case .authenticationMethod: .authenticationMethod
        case .authenticationData: .authenticationData
        case .requestProblemInformation: .requestProblemInformation
        case .willDelayInterval: .willDelayInterval
        case .requestResponseInformation: .requestResponseInformation
        case .responseInformation: .responseInformation
        case .serverReference: .serverReference
        case .reasonString: .reasonString
        case .receiveMaximum: .receiveMaximum
        case .topicAliasMaximum: .topicAliasMaximum
        case .topicAlias: .topicAlias
        case .maximumQoS: .maximumQoS
        case .retainAvailable: .retainAvailable
        case .userProperty: .userProperty
        case .maximumPacketSize: .maximumPacketSize
        case .wildcardSubscriptionAvailable: .wildcardSubscriptionAvailable
        case .subscriptionIdentifierAvailable: .subscriptionIdentifierAvailable
        case .sharedSubscriptionAvailable: .sharedSubscriptionAvailable
        }
    }

    /// A subscription identifier as it can be written.
    private static func clamped(_ identifier: UInt32) -> Int { min(Int(identifier), FieldSize.variableIntegerMax) }

    /// Bytes of the value.
    fileprivate var valueBytes: Int {
        switch self {
        case .payloadFormatIndicator, .requestProblemInformation, .requestResponseInformation, .maximumQoS,
            .retainAvailable, .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable,
            .sharedSubscriptionAvailable:
            1
        case .serverKeepAlive, .receiveMaximum, .topicAliasMaximum, .topicAlias:
            2
        case .messageExpiryInterval, .sessionExpiryInterval, .willDelayInterval, .maximumPacketSize:
            4
        case .subscriptionIdentifier(let value):
            FieldSize.variableInteger(Self.clamped(value))
        case .contentType(let text), .responseTopic(let text), .assignedClientIdentifier(let text),
            .authenticationMethod(let text), .responseInformation(let text), .serverReference(let text),
            .reasonString(let text):
            FieldSize.field(text)
        case .correlationData(let bytes), .authenticationData(let bytes):
            FieldSize.field(bytes)
        case .userProperty(let name, let value):
            FieldSize.field(name) + FieldSize.field(value)
        }
    }

    fileprivate func writeValue(to writer: inout ByteWriter) {
        switch self {
        case .payloadFormatIndicator(let value), .requestProblemInformation(let value),
            .requestResponseInformation(let value), .maximumQoS(let value), .retainAvailable(let value),
            .wildcardSubscriptionAvailable(let value), .subscriptionIdentifierAvailable(let value),
            .sharedSubscriptionAvailable(let value):
            writer.write(value)
        case .serverKeepAlive(let value), .receiveMaximum(let value), .topicAliasMaximum(let value),
            .topicAlias(let value):
            writer.write(value)
        case .messageExpiryInterval(let value), .sessionExpiryInterval(let value), .willDelayInterval(let value),
            .maximumPacketSize(let value):
            writer.write(value)
        case .subscriptionIdentifier(let value):
            writer.writeVariableInteger(Self.clamped(value))
        case .contentType(let text), .responseTopic(let text), .assignedClientIdentifier(let text),
            .authenticationMethod(let text), .responseInformation(let text), .serverReference(let text),
            .reasonString(let text):
            writer.writeField(text)
        case .correlationData(let bytes), .authenticationData(let bytes):
            writer.writeField(bytes)
        case .userProperty(let name, let value):
            writer.writeField(name)
            writer.writeField(value)
        }
    }
}
