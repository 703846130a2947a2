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

    /// The reason code of the CONNACK that answers it, where it is a mistake of CONNECT that is answered.
    public var connackReason: ReasonCode?
    /// What Mosquitto does, where that is not to answer with ``reason``.
    public var mosquittoAnswer: MosquittoAnswer?

    /// How Mosquitto answers a mistake, where the standard leaves it open or says otherwise.
    public enum MosquittoAnswer: Hashable, Sendable {
        /// With this code.
        case reason(ReasonCode)
        /// It ends the connection without a word.
        case nothing
    }

    /// Makes an error.
    public init(
        _ reason: ReasonCode,
        _ statement: String,
        _ message: String,
        connackReason: ReasonCode? = nil,
        mosquitto: MosquittoAnswer? = nil
    ) {
        self.reason = reason
        self.statement = statement
        self.message = message
        self.connackReason = connackReason
        self.mosquittoAnswer = mosquitto
    }

    /// The code that Mosquitto gives it; nil for none.
    public var mosquittoReason: ReasonCode? {
        switch mosquittoAnswer {
        case nil: reason
        case .reason(let other): other
        case .nothing: nil
        }
    }

    /// The sentence, the statement and the reason code.
    public var description: String {
        "\(message) [\(statement), reason 0x\(String(reason.rawValue, radix: 16))]"
    }
}
