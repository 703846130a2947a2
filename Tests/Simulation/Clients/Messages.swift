import MQTT
import NIOCore

/// One message of the world.
struct SimulatedMessage {
    /// What became of its publication, as its publisher knows.
    enum Fate {
        /// Nothing is known yet.
        case open
        /// It was acknowledged: the broker answers for it.
        case acknowledged
        /// It was refused, or given up with a session: it may have been taken all the same.
        case unknown
        /// It must never come anywhere: it was not allowed, or not decided.
        case void
    }

    let number: Int
    let publisher: String
    let topic: String
    let qos: QoS
    let retain: Bool
    /// Whether it takes the retained message away, having no payload.
    let clears: Bool
    var fate = Fate.open
    /// Whether its publisher sent it more than once, so that at QoS 1 it may rightly come more than once.
    var isRepeated = false

    /// Its bytes, which follow from its number.
    var payload: ByteBuffer {
        guard !clears else { return ByteBuffer() }
        return Self.payload(of: number)
    }

    static func payload(of number: Int) -> ByteBuffer {
        var buffer = ByteBuffer(string: "\(number):")
        // Mostly small, some larger than a sector, few larger than a segment's first block.
        let length = number % 31 == 0 ? 3000 : number % 7 == 0 ? 700 : number % 60
        for place in 0..<length { buffer.writeInteger(UInt8(truncatingIfNeeded: number &* 31 &+ place)) }
        return buffer
    }

    /// The number at the beginning of a payload.
    static func number(in payload: ByteBuffer) -> Int? {
        var number = 0
        for (place, byte) in payload.readableBytesView.enumerated() {
            if byte == UInt8(ascii: ":") { return place > 0 ? number : nil }
            guard (0x30...0x39).contains(byte), place < 12 else { return nil }
            number = number * 10 + Int(byte - 0x30)
        }
        return nil
    }
}

/// Whether a topic is one of a filter's: written anew, so that the broker's own matching is checked too.
func matches(_ topic: String, _ filter: String) -> Bool {
    let levels = topic.split(separator: "/", omittingEmptySubsequences: false)
    let wanted = filter.split(separator: "/", omittingEmptySubsequences: false)
    for (place, level) in wanted.enumerated() {
        if level == "#" { return true }
        guard place < levels.count, level == "+" || level == levels[place] else { return false }
    }
    return levels.count == wanted.count
}
