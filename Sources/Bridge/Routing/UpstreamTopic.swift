/// The alphabet that every broker a site may talk to carries unharmed: letters, digits, `-` and `_`, and `%` for what
/// is encoded. Others lose messages in silence on it: NATS disconnects on a space, RabbitMQ turns `.` into `/`.
enum UpstreamTopic {
    /// Slashes in a topic at most (AWS IoT Core).
    static let slashesMax = 7
    /// Bytes of a topic at most (AWS IoT Core).
    static let bytesMax = 256
    /// What an empty level becomes: U+0000 is in no topic, so this stands for nothing else.
    static let emptyLevel = "%00"

    /// One level, percent-encoded; a `/` in it is encoded too.
    static func encode(level: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in level {
            if isPlain(byte) {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return text.isEmpty ? emptyLevel : text
    }

    /// Whether the text needs no encoding.
    static func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { isPlain($0) } }

    /// Whether the topic may travel.
    static func isAcceptable(_ topic: String) -> Bool {
        let bytes = topic.utf8
        return !bytes.isEmpty && bytes.count <= bytesMax
            && bytes.lazy.filter { $0 == UInt8(ascii: "/") }.count <= slashesMax
            && bytes.allSatisfy { isPlain($0) || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "%") }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
