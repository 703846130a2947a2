import ArgumentParser
import MosquittoClient

/// The properties of `-D`.
struct PropertyOptions {
    var publish = MosquittoPublishProperties()
    var sessionExpirySeconds: UInt32?
    var receiveMaximum: UInt16?
    var maximumPacketBytes: UInt32?

    init(words: [String]) throws {
        var rest = words[...]
        while let command = rest.popFirst() {
            guard let name = rest.popFirst(), let value = rest.popFirst() else {
                throw ValidationError("-D needs a command, a property and a value: -D PUBLISH content-type text/plain")
            }
            switch (command.uppercased(), name.lowercased()) {
            case ("PUBLISH", "user-property"):
                guard let second = rest.popFirst() else {
                    throw ValidationError("a user-property needs a name and a value")
                }
                publish.userProperties.append(MosquittoUserProperty(value, second))
            case ("PUBLISH", "content-type"): publish.contentType = value
            case ("PUBLISH", "response-topic"): publish.responseTopic = value
            case ("PUBLISH", "correlation-data"): publish.correlationData = Array(value.utf8)
            case ("PUBLISH", "message-expiry-interval"):
                publish.messageExpirySeconds = try Self.number(value, name, max: UInt32.max)
            case ("CONNECT", "session-expiry-interval"):
                sessionExpirySeconds = try Self.number(value, name, max: UInt32.max)
            case ("CONNECT", "receive-maximum"): receiveMaximum = try Self.number(value, name, max: UInt16.max)
            case ("CONNECT", "maximum-packet-size"):
                maximumPacketBytes = try Self.number(value, name, max: UInt32.max)
            default:
                throw ValidationError("-D \(command) \(name) is not supported here; --help names what is")
            }
        }
    }

    private static func number<Number: FixedWidthInteger>(
        _ text: String,
        _ name: String,
        max: Number
    ) throws -> Number {
        guard let number = Number(text) else { throw ValidationError("\(name) is a number up to \(max)") }
        return number
    }
}
