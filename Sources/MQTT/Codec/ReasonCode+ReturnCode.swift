/// The return codes of 3.1 and 3.1.1, and what they are in 5.0.
extension ReasonCode {
    /// The reason code for a CONNACK return code of 3.1 or 3.1.1 (table 3.1 of 3.1.1), or nil for a reserved one.
    public init?(connectReturnCode code: UInt8) {
        switch code {
        case 0: self = .success
        case 1: self = .unsupportedProtocolVersion
        case 2: self = .clientIdentifierNotValid
        case 3: self = .serverUnavailable
        case 4: self = .badUserNameOrPassword
        case 5: self = .notAuthorized
        default: return nil
        }
    }

    /// The CONNACK return code of 3.1 and 3.1.1 that comes nearest.
    public var connectReturnCode: UInt8 {
        guard isError else { return 0 }
        switch self {
        case .unsupportedProtocolVersion: return 1
        case .clientIdentifierNotValid: return 2
        case .badUserNameOrPassword: return 4
        case .notAuthorized, .banned, .badAuthenticationMethod: return 5
        default: return 3
        }
    }

    /// The SUBACK return code of 3.1 and 3.1.1: the granted QoS, or 0x80 for every error [MQTT-3.9.3-2].
    public var subscribeReturnCode: UInt8 { rawValue <= 2 ? rawValue : ReasonCode.unspecifiedError.rawValue }
}
