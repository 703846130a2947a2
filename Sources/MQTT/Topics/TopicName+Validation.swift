public import NIOCore

extension TopicName {
    /// Takes text as a topic name: not empty, no wildcards, no U+0000, no control characters, at most 65,535 bytes.
    ///
    /// - Parameters:
    ///   - text: The name.
    ///   - maxLevels: The most levels it may have; values above ``TopicLimits/levelsMax`` count as that.
    public init(validating text: String, maxLevels: Int = TopicLimits.levels) throws(MQTTError) {
        let bytes = ByteBuffer(string: text)
        try Self.validate(bytes, maxLevels: maxLevels)
        self.init(uncheckedBytes: bytes)
    }

    /// Throws if the readable bytes are not a valid topic name.
    public static func validate(_ bytes: ByteBuffer, maxLevels: Int = TopicLimits.levels) throws(MQTTError) {
        if let error = bytes.withUnsafeReadableBytes({ firstError(in: $0, maxLevels: maxLevels) }) { throw error }
    }

    /// Throws if the bytes are not a valid topic name.
    public static func validate(
        bytes: UnsafeRawBufferPointer,
        maxLevels: Int = TopicLimits.levels
    ) throws(MQTTError) {
        if let error = firstError(in: bytes, maxLevels: maxLevels) { throw error }
    }

    /// A name that holds on to nothing but its own bytes, for those who keep it longer than the read buffer.
    public func copied() -> TopicName {
        TopicName(uncheckedBytes: ByteBuffer(bytes: bytes.readableBytesView))
    }

    /// Whether ``firstError(in:maxLevels:)`` finds nothing, without making an error of what it finds.
    static func isValid(_ bytes: UnsafeRawBufferPointer, maxLevels: Int) -> Bool {
        let check = UTF8Check(bytes)
        return check.isValid && !check.hasWildcards && !check.hasControls && bytes.count > 0
            && bytes.count <= TopicLimits.bytesMax && check.separators < min(maxLevels, TopicLimits.levelsMax)
    }

    /// What is wrong with the bytes as a topic name.
    static func firstError(in bytes: UnsafeRawBufferPointer, maxLevels: Int) -> MQTTError? {
        let check = UTF8Check(bytes)
        guard check.isValid else { return .textIsNotUTF8 }
        guard bytes.count > 0 else { return .topicIsEmpty }
        guard bytes.count <= TopicLimits.bytesMax else {
            return MQTTError(.topicNameInvalid, "MQTT-4.7.3-3", "The topic name is longer than 65,535 bytes")
        }
        guard !check.hasWildcards else {
            return invalid("MQTT-3.3.2-2", "The topic name holds a wildcard")
        }
        guard !check.hasControls else {
            return invalid("1.5.4", "The topic name holds a control character")
        }
        guard check.separators < min(maxLevels, TopicLimits.levelsMax) else {
            return invalid("4.7.3", "The topic name has too many levels")
        }
        return nil
    }

    private static func invalid(_ statement: String, _ message: String) -> MQTTError {
        MQTTError(.topicNameInvalid, statement, message, mosquitto: .reason(.malformedPacket))
    }
}
