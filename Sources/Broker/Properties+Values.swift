import MQTT

// What the core asks properties for.
extension Properties {
    var sessionExpirySeconds: UInt32? {
        first { if case .sessionExpiryInterval(let seconds) = $0 { seconds } else { nil } }
    }

    var asksForResponseInformation: Bool {
        values.contains(.requestResponseInformation(1))
    }

    var willDelaySeconds: UInt32? {
        first { if case .willDelayInterval(let seconds) = $0 { seconds } else { nil } }
    }

    var withoutWillDelay: Properties {
        guard willDelaySeconds != nil else { return self }
        return Properties(
            values.filter {
                if case .willDelayInterval = $0 { return false }
                return true
            }
        )
    }

    var expirySeconds: UInt32? {
        first { if case .messageExpiryInterval(let seconds) = $0 { seconds } else { nil } }
    }

    /// When a message that comes now expires, on the monotonic clock.
    func expiryInstant(_ now: BrokerTime) -> UInt64 {
        guard !isEmpty, let seconds = expirySeconds else { return .max }
        return now.monotonicNanoseconds &+ UInt64(seconds) &* 1_000_000_000
    }
}
