extension TopicFilter {
    static let sharePrefix = Array("$share/".utf8)

    /// Checks a filter and finds where it begins behind its share group.
    static func validate(
        _ bytes: [UInt8],
        maxLevels: Int
    ) throws(MQTTError) -> (start: Int, hasWildcards: Bool) {
        guard !bytes.isEmpty else { throw invalid("MQTT-4.7.3-1", "The topic filter is empty") }
        guard bytes.count <= TopicLimits.bytesMax else {
            throw invalid("MQTT-4.7.3-3", "The topic filter is longer than 65,535 bytes")
        }
        let check = bytes.withUnsafeBytes { UTF8Check($0) }
        guard check.isValid else { throw invalid("MQTT-1.5.4-1", "The topic filter is not well-formed UTF-8") }
        guard !check.hasControls else { throw invalid("1.5.4", "The topic filter holds a control character") }
        let start = try shareEnd(of: bytes)
        guard start < bytes.count else {
            throw unshareable("MQTT-4.7.3-1", "There is no filter behind the share name")
        }
        let prefixSeparators = start > 0 ? 2 : 0
        guard check.separators - prefixSeparators < min(maxLevels, TopicLimits.levelsMax) else {
            throw invalid("4.7.3", "The topic filter has too many levels")
        }
        if check.hasWildcards { try validateWildcards(bytes, from: start) }
        return (start, check.hasWildcards)
    }

    /// The offset behind `$share/group/`, or 0 for a filter that is not shared.
    private static func shareEnd(of bytes: [UInt8]) throws(MQTTError) -> Int {
        guard bytes.starts(with: sharePrefix.dropLast()) else { return 0 }
        // `$share` alone, or `$shared/…`, is an ordinary filter only if another level name goes on.
        guard bytes.count > sharePrefix.count - 1 else {
            throw unshareable("MQTT-4.8.2-1", "A shared subscription has no share name")
        }
        guard bytes[sharePrefix.count - 1] == Self.separator else { return 0 }
        var offset = sharePrefix.count
        while offset < bytes.count, bytes[offset] != Self.separator {
            guard bytes[offset] != Self.multi else { throw invalid("MQTT-4.8.2-2", "A share name holds a wildcard") }
            guard bytes[offset] != Self.plus else {
                throw unshareable("MQTT-4.8.2-2", "A share name holds a wildcard")
            }
            offset += 1
        }
        guard offset > sharePrefix.count else { throw unshareable("MQTT-4.8.2-1", "The share name is empty") }
        guard offset < bytes.count else {
            throw unshareable("MQTT-4.8.2-2", "The share name is not followed by / and a topic filter")
        }
        return offset + 1
    }

    /// `#` stands alone in the last level [MQTT-4.7.1-1], `+` alone in its level [MQTT-4.7.1-2].
    private static func validateWildcards(_ bytes: [UInt8], from start: Int) throws(MQTTError) {
        for offset in start..<bytes.count {
            let byte = bytes[offset]
            guard byte == plus || byte == multi else { continue }
            let beginsLevel = offset == start || bytes[offset - 1] == separator
            if byte == multi {
                guard beginsLevel, offset == bytes.count - 1 else {
                    throw invalid("MQTT-4.7.1-1", "A # does not stand alone in the last level")
                }
            } else {
                guard beginsLevel, offset == bytes.count - 1 || bytes[offset + 1] == separator else {
                    throw invalid("MQTT-4.7.1-2", "A + does not stand alone in its level")
                }
            }
        }
    }

    private static func invalid(_ statement: String, _ message: String) -> MQTTError {
        MQTTError(.topicFilterInvalid, statement, message, mosquitto: .reason(.malformedPacket))
    }

    private static func unshareable(_ statement: String, _ message: String) -> MQTTError {
        MQTTError(.topicFilterInvalid, statement, message, mosquitto: .reason(.protocolError))
    }

    static let separator = UInt8(ascii: "/")
    static let plus = UInt8(ascii: "+")
    static let multi = UInt8(ascii: "#")
    static let dollar = UInt8(ascii: "$")
}
