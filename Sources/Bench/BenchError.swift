/// Why a load cannot be run, or ended before its time.
public enum BenchError: Error, CustomStringConvertible, Equatable {
    /// Settings that make no sense; the text says which.
    case settings(String)
    /// A connection could not be made, with what the system said.
    case unreachable(String)
    /// The broker answered CONNECT with this return or reason code.
    case refused(UInt8)
    /// The broker answered SUBSCRIBE with this return or reason code.
    case subscriptionRefused(UInt8)
    /// Bytes came that are no MQTT packet.
    case badPacket
    /// The broker closed a connection during the load.
    case closed
    /// Nothing came where an answer was due.
    case silence(String)
    /// The broker does not take messages at the rate.
    case tooFast

    /// A sentence for people.
    public var description: String {
        switch self {
        case .settings(let text): text
        case .unreachable(let text): "the broker cannot be reached: \(text)"
        case .refused(let code): "the broker refused a connection with code \(code)"
        case .subscriptionRefused(let code): "the broker refused a subscription with code \(code)"
        case .badPacket: "the broker sent bytes that are no MQTT packet"
        case .closed: "the broker closed a connection"
        case .silence(let what): "waited in vain for \(what)"
        case .tooFast: "the broker does not take messages at this rate"
        }
    }
}
