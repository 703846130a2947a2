/// What kind of traffic a message is. Order holds within the whole outbox; the class says what a message is worth.
public enum TrafficClass: String, Sendable, Hashable, CaseIterable {
    /// Somebody must know.
    case alarm
    /// Money or stock moved.
    case transaction
    /// A reading among many.
    case telemetry

    var code: UInt8 {
        switch self {
        case .alarm: 0
        case .transaction: 1
        case .telemetry: 2
        }
    }

    init?(code: UInt8) {
        switch code {
        case 0: self = .alarm
        case 1: self = .transaction
        case 2: self = .telemetry
        default: return nil
        }
    }
}
