import MQTT

/// What one client's application was given.
struct Record {
    /// What order holds for.
    struct Stream: Hashable {
        var publisher: String
        var topic: String
        var qos: UInt8
    }

    /// How often each message came, other than as a retained copy.
    var counts: [Int: Int] = [:]
    /// The newest message of each stream.
    var newest: [Stream: Int] = [:]
    /// The message that each packet identifier stood for last.
    var given: [UInt16: Int] = [:]
    /// The QoS 1 message by identifier whose acknowledgement is on the broker's disk.
    var settled: [UInt16: Int] = [:]
    /// The least retained message that may come by topic, since the last SUBSCRIBE of a session that had no other.
    var retainedFloor: [String: Int] = [:]
    /// The retained messages that came in this session, by topic.
    var retained: [String: Int] = [:]

    /// A new session knows nothing of identifiers.
    mutating func forgetSession() {
        given = [:]
        settled = [:]
        retained = [:]
    }
}
