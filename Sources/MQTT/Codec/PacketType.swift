/// The packet types by the number in the first nibble (section 2.1.2).
enum PacketType: UInt8 {
    case connect = 1
    case connack = 2
    case publish = 3
    case puback = 4
    case pubrec = 5
    case pubrel = 6
    case pubcomp = 7
    case subscribe = 8
    case suback = 9
    case unsubscribe = 10
    case unsuback = 11
    case pingreq = 12
    case pingresp = 13
    case disconnect = 14
    case auth = 15

    /// The low nibble that the type demands; PUBLISH has flags of its own [MQTT-2.1.3-1].
    var flags: UInt8 {
        switch self {
        case .pubrel, .subscribe, .unsubscribe: 0b0010
        default: 0
        }
    }

    /// The first byte of the packet.
    var firstByte: UInt8 { rawValue << 4 | flags }
}
