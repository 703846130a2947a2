/// The identifiers of properties (section 2.2.2.2).
enum PropertyID: UInt8 {
    case payloadFormatIndicator = 0x01
    case messageExpiryInterval = 0x02
    case contentType = 0x03
    case responseTopic = 0x08
    case correlationData = 0x09
    case subscriptionIdentifier = 0x0B
    case sessionExpiryInterval = 0x11
    case assignedClientIdentifier = 0x12
    case serverKeepAlive = 0x13
    case authenticationMethod = 0x15
    case authenticationData = 0x16
    case requestProblemInformation = 0x17
    case willDelayInterval = 0x18
    case requestResponseInformation = 0x19
    case responseInformation = 0x1A
    case serverReference = 0x1C
    case reasonString = 0x1F
    case receiveMaximum = 0x21
    case topicAliasMaximum = 0x22
    case topicAlias = 0x23
    case maximumQoS = 0x24
    case retainAvailable = 0x25
    case userProperty = 0x26
    case maximumPacketSize = 0x27
    case wildcardSubscriptionAvailable = 0x28
    case subscriptionIdentifierAvailable = 0x29
    case sharedSubscriptionAvailable = 0x2A

    /// The bit in a ``PropertySet``.
    var bit: UInt64 { 1 << UInt64(rawValue) }
}

/// A set of property identifiers, one bit each: which a packet allows, which were seen.
struct PropertySet: ExpressibleByArrayLiteral {
    private var bits: UInt64 = 0

    /// The empty set.
    init() {}

    init(arrayLiteral identifiers: PropertyID...) {
        for identifier in identifiers { bits |= identifier.bit }
    }

    func contains(_ identifier: PropertyID) -> Bool { bits & identifier.bit != 0 }

    /// Adds it; false if it was in already.
    mutating func insert(_ identifier: PropertyID) -> Bool {
        guard !contains(identifier) else { return false }
        bits |= identifier.bit
        return true
    }
}

/// Which properties each packet may carry (table 2-4), and who may send them.
extension PropertySet {
    static let connect: PropertySet = [
        .sessionExpiryInterval, .authenticationMethod, .authenticationData, .requestProblemInformation,
        .requestResponseInformation, .receiveMaximum, .topicAliasMaximum, .userProperty, .maximumPacketSize,
    ]
    static let will: PropertySet = [
        .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData,
        .willDelayInterval, .userProperty,
    ]
    static let connack: PropertySet = [
        .sessionExpiryInterval, .assignedClientIdentifier, .serverKeepAlive, .authenticationMethod,
        .authenticationData, .responseInformation, .serverReference, .reasonString, .receiveMaximum,
        .topicAliasMaximum, .maximumQoS, .retainAvailable, .userProperty, .maximumPacketSize,
        .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable,
    ]
    static let publish: PropertySet = [
        .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData,
        .subscriptionIdentifier, .topicAlias, .userProperty,
    ]
    static let acknowledgement: PropertySet = [.reasonString, .userProperty]
    static let subscribe: PropertySet = [.subscriptionIdentifier, .userProperty]
    static let unsubscribe: PropertySet = [.userProperty]
    static let disconnect: PropertySet = [.sessionExpiryInterval, .serverReference, .reasonString, .userProperty]
    static let auth: PropertySet = [.authenticationMethod, .authenticationData, .reasonString, .userProperty]
}
