public import NIOCore

/// One property of MQTT 5.0 (section 2.2.2), with its value.
public enum Property: Hashable, Sendable {
    case payloadFormatIndicator(UInt8)
    case messageExpiryInterval(UInt32)
    case contentType(String)
    case responseTopic(String)
    case correlationData(ByteBuffer)
    case subscriptionIdentifier(UInt32)
    case sessionExpiryInterval(UInt32)
    case assignedClientIdentifier(String)
    case serverKeepAlive(UInt16)
    case authenticationMethod(String)
    case authenticationData(ByteBuffer)
    case requestProblemInformation(UInt8)
    case willDelayInterval(UInt32)
    case requestResponseInformation(UInt8)
    case responseInformation(String)
    case serverReference(String)
    case reasonString(String)
    case receiveMaximum(UInt16)
    case topicAliasMaximum(UInt16)
    case topicAlias(UInt16)
    case maximumQoS(UInt8)
    case retainAvailable(UInt8)
    case userProperty(name: String, value: String)
    case maximumPacketSize(UInt32)
    case wildcardSubscriptionAvailable(UInt8)
    case subscriptionIdentifierAvailable(UInt8)
    case sharedSubscriptionAvailable(UInt8)
}

/// The properties of one packet, in the order of the wire. Empty for MQTT 3.1 and 3.1.1, and then without any
/// allocation.
public struct Properties: Hashable, Sendable, ExpressibleByArrayLiteral {
    /// The properties in the order of the wire; user properties keep their order [MQTT-3.3.2-18].
    public var values: [Property]

    /// Makes a list of properties.
    @inlinable
    public init(_ values: [Property] = []) { self.values = values }

    /// Makes a list of properties.
    @inlinable
    public init(arrayLiteral elements: Property...) { self.values = elements }

    /// Whether there is none.
    @inlinable
    public var isEmpty: Bool { values.isEmpty }

    /// The first value that `extract` finds, or nil.
    @inlinable
    public func first<Value>(_ extract: (Property) -> Value?) -> Value? {
        for value in values {
            if let found = extract(value) { return found }
        }
        return nil
    }
}
