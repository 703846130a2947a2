/// The MQTT protocol version that a connection speaks, by the number that CONNECT carries.
public enum ProtocolVersion: UInt8, Sendable, Hashable, CaseIterable {
    /// MQTT 3.1, protocol name `MQIsdp`.
    case v3_1 = 3
    /// MQTT 3.1.1 (OASIS, 2014), protocol name `MQTT`.
    case v3_1_1 = 4
    /// MQTT 5.0 (OASIS, 2019), protocol name `MQTT`.
    case v5 = 5
}

/// Quality of service of a PUBLISH.
public enum QoS: UInt8, Sendable, Hashable, Comparable, CaseIterable {
    /// QoS 0.
    case atMostOnce = 0
    /// QoS 1.
    case atLeastOnce = 1
    /// QoS 2.
    case exactlyOnce = 2

    /// Orders by strength.
    @inlinable
    public static func < (left: QoS, right: QoS) -> Bool { left.rawValue < right.rawValue }
}
