/// The mistakes that more than one packet type knows.
extension MQTTError {
    static let truncated = MQTTError(.malformedPacket, "2.1.4", "A field reaches beyond the end of the packet")
    static let trailingBytes = MQTTError(.malformedPacket, "2.1.4", "There are bytes behind the last field")
    static let badVariableInteger = MQTTError(
        .malformedPacket,
        "MQTT-1.5.5-1",
        "A variable byte integer is longer than four bytes or than it needs to be"
    )
    static let badRemainingLength = MQTTError(
        .malformedPacket,
        "MQTT-1.5.5-1",
        "The remaining length is longer than four bytes or than it needs to be",
        mosquitto: .nothing
    )
    static let pingWithBody = MQTTError(.malformedPacket, "2.1.4", "A ping has a body", mosquitto: .nothing)
    static let badAuthFlags = MQTTError(
        .malformedPacket,
        "MQTT-2.1.3-1",
        "Reserved flags of an AUTH are set",
        mosquitto: .reason(.protocolError)
    )
    static let propertyOfAnotherPacket = MQTTError(
        .malformedPacket,
        "2.2.2.2",
        "The packet holds a property that its type does not have",
        mosquitto: .reason(.protocolError)
    )
    static let repeatedProperty = MQTTError(.protocolError, "2.2.2.2", "A property that may come once comes twice")
    static let badFlags = MQTTError(.malformedPacket, "MQTT-2.1.3-1", "Reserved flags of the fixed header are wrong")
    static let textIsNotUTF8 = MQTTError(
        .malformedPacket,
        "MQTT-1.5.4-1",
        "A string is not well-formed UTF-8 or holds U+0000"
    )
    static let topicIsEmpty = MQTTError(
        .protocolError,
        "MQTT-4.7.3-1",
        "The topic name is empty",
        mosquitto: .reason(.malformedPacket)
    )
    static let packetIDIsZero = MQTTError(.protocolError, "MQTT-2.2.1-3", "The packet identifier is 0")
}
