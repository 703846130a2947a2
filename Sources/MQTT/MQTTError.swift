/// What a peer did wrong: the reason code to answer with, the normative statement it broke, and a sentence for the log.
///
/// It never holds payloads, credentials or identifiers, so it may be logged as it is.
public struct MQTTError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The reason code that answers it on MQTT 5.0.
    public let reason: ReasonCode
    /// The normative statement of the standard, such as `MQTT-3.3.1-4`, or a section where there is no statement.
    public let statement: String
    /// What was wrong, in one sentence.
    public let message: String

    /// Makes an error.
    public init(_ reason: ReasonCode, _ statement: String, _ message: String) {
        self.reason = reason
        self.statement = statement
        self.message = message
    }

    /// The sentence, the statement and the reason code.
    public var description: String {
        "\(message) [\(statement), reason 0x\(String(reason.rawValue, radix: 16))]"
    }
}
