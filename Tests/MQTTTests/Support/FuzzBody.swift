import MQTT
import NIOCore

/// What is checked of any bytes at all, by the fuzzers under `Tests/Fuzz` and by the replay in `swift test`.
///
/// Each body returns what is wrong, or nil. That nothing traps is checked by running it.
enum FuzzBody {
    /// The sides a decoder can stand on, in the order that the first byte of an input picks them.
    static let sides: [(version: ProtocolVersion?, role: PacketDecoder.Role)] = [
        (nil, .server), (.v3_1, .server), (.v3_1, .client), (.v3_1_1, .server), (.v3_1_1, .client), (.v5, .server),
        (.v5, .client),
    ]

    private struct Outcome: Equatable {
        var packets: [Packet] = []
        var error: MQTTError?
        var left = 0
    }

    /// The first byte picks the side, the second how the stream is cut; the rest is the stream.
    static func packets(_ input: [UInt8]) -> String? {
        guard input.count > 2 else { return nil }
        let side = sides[Int(input[0]) % sides.count]
        let stream = input[2...]
        let whole = decode(stream, chunkBytes: stream.count, side)
        let cut = decode(stream, chunkBytes: Int(input[1]) + 1, side)
        // What is left over differs where an error came before all chunks did.
        guard whole.packets == cut.packets, whole.error == cut.error, whole.error != nil || whole.left == cut.left
        else {
            return "the stream decodes otherwise when it is cut"
        }
        var version = side.version
        for packet in whole.packets {
            if case .connect(let connect) = packet { version = connect.version }
            if let mistake = roundTrip(packet, version: version ?? .v5, side.role) { return mistake }
        }
        return nil
    }

    private static func decode(
        _ stream: ArraySlice<UInt8>,
        chunkBytes: Int,
        _ side: (version: ProtocolVersion?, role: PacketDecoder.Role)
    ) -> Outcome {
        var decoder = PacketDecoder(version: side.version, role: side.role)
        var outcome = Outcome()
        var buffer = ByteBuffer()
        var rest = stream
        while !rest.isEmpty {
            buffer.writeBytes(rest.prefix(chunkBytes))
            rest = rest.dropFirst(chunkBytes)
            do {
                while let packet = try decoder.next(&buffer) { outcome.packets.append(packet) }
            } catch {
                outcome.error = error
                break
            }
        }
        outcome.left = buffer.readableBytes
        return outcome
    }

    private static func roundTrip(
        _ packet: Packet,
        version: ProtocolVersion,
        _ role: PacketDecoder.Role
    ) -> String? {
        var buffer = ByteBuffer()
        guard PacketEncoder.encode(packet, version: version, into: &buffer) else { return "not encoded: \(packet)" }
        var isConnect = false
        if case .connect = packet { isConnect = true }
        var decoder = PacketDecoder(version: isConnect ? nil : version, role: role)
        do {
            guard try decoder.next(&buffer) == packet, buffer.readableBytes == 0 else {
                return "encoding changes the packet: \(packet)"
            }
        } catch {
            return "the encoding is refused: \(error), \(packet)"
        }
        return nil
    }

    /// Texts separated by zero bytes: the first is a topic name, the others are filters.
    static func topics(_ input: [UInt8]) -> String? {
        let texts = input.split(separator: 0, omittingEmptySubsequences: false).map { Array($0) }
        guard let first = texts.first else { return nil }
        var filters: [TopicFilter] = []
        for text in texts.dropFirst() {
            if let filter = try? TopicFilter(bytes: text) { filters.append(filter) }
        }
        let bytes = ByteBuffer(bytes: first)
        guard (try? TopicName.validate(bytes)) != nil else { return nil }
        let topic = TopicName(uncheckedBytes: bytes)
        var tree = SubscriptionTree<Int, Int>()
        for (index, filter) in filters.enumerated() { tree.insert(filter, subscriber: index, value: index) }
        var found: [Int] = []
        tree.forEachMatch(topic) { subscriber, _ in found.append(subscriber) }
        let levels = first.split(separator: 0x2F, omittingEmptySubsequences: false)
        let expected = filters.indices.filter { plainMatch(filters[$0], levels) }
        guard found.sorted() == expected else { return "the tree disagrees with a plain match" }
        var retained = RetainedIndex<Int>()
        retained.set(topic, 1)
        for (index, filter) in filters.enumerated() {
            guard filter.matches(topic) == expected.contains(index) else { return "the filter disagrees: \(filter)" }
            var count = 0
            retained.forEachMatch(filter) { _, _ in count += 1 }
            guard count == (expected.contains(index) ? 1 : 0) else { return "the index disagrees: \(filter)" }
        }
        for (index, filter) in filters.enumerated() {
            guard tree.remove(filter, subscriber: index) == index else { return "not removed: \(filter)" }
        }
        return tree.count == 0 ? nil : "the tree is not empty"
    }

    /// Matching level by level on arrays, as section 4.7 puts it.
    private static func plainMatch(_ filter: TopicFilter, _ topic: [ArraySlice<UInt8>]) -> Bool {
        let filter = Array(filter.unshared.string.utf8).split(separator: 0x2F, omittingEmptySubsequences: false)
        let (plus, multi) = ([UInt8(ascii: "+")][...], [UInt8(ascii: "#")][...])
        if topic[0].first == UInt8(ascii: "$"), filter[0] == plus || filter[0] == multi { return false }
        for (index, level) in filter.enumerated() {
            // A # stands for the parent level as well, so it may come one level behind the topic.
            if level == multi { return true }
            guard index < topic.count else { return false }
            guard level == plus || level == topic[index] else { return false }
        }
        return filter.count == topic.count
    }
}
