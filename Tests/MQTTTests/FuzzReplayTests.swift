import MQTT
import NIOCore
import Repeatable
import Testing

@Suite("Fuzzing")
struct FuzzReplayTests {
    @Test("Packet inputs that once failed pass", arguments: try FuzzCase.all("packets"))
    func packets(_ input: FuzzCase) {
        #expect(FuzzBody.packets(input.bytes) == nil)
    }

    @Test("Topic inputs that once failed pass", arguments: try FuzzCase.all("topics"))
    func topics(_ input: FuzzCase) {
        #expect(FuzzBody.topics(input.bytes) == nil)
    }

    @Test("Random packets with random damage never trap and never lose their meaning")
    func damagedPackets() {
        let seed = UInt64.random(in: 0 ... .max)
        print("damaged packets: seed \(seed)")
        var generator = SeededRandom(seed: seed)
        for _ in 0..<3_000 {
            let side = generator.int(0...(FuzzBody.sides.count - 1))
            var source = RandomPacket(
                version: FuzzBody.sides[side].version ?? generator.pick(ProtocolVersion.allCases),
                role: FuzzBody.sides[side].role,
                generator: generator
            )
            var stream = ByteBuffer()
            if FuzzBody.sides[side].version == nil {
                PacketEncoder.encode(.connect(source.connect()), version: source.version, into: &stream)
            }
            for _ in 0..<source.generator.int(1...2) {
                PacketEncoder.encode(source.next(), version: source.version, into: &stream)
            }
            generator = source.generator
            var bytes = Array(stream.readableBytesView.prefix(600))
            for _ in 0..<generator.int(0...4) { damage(&bytes, &generator) }
            let input = [UInt8(side), UInt8.random(in: 0 ... .max, using: &generator)] + bytes
            #expect(FuzzBody.packets(input) == nil, "seed \(seed), input \(Hex.text(input))")
        }
    }

    @Test("Random topics and filters never trap and always match as they should")
    func randomTopics() {
        let seed = UInt64.random(in: 0 ... .max)
        print("random topics: seed \(seed)")
        var generator = SeededRandom(seed: seed)
        let pieces = ["a", "b", "/", "/", "/", "+", "#", "$", "$share/", "g", "\0", "\0", "é", "\n"].map {
            Array($0.utf8)
        }
        for _ in 0..<3_000 {
            var input: [UInt8] = []
            for _ in 0..<generator.int(1...24) { input += generator.pick(pieces) }
            if generator.oneIn(8) { damage(&input, &generator) }
            #expect(FuzzBody.topics(input) == nil, "seed \(seed), input \(Hex.text(input))")
        }
    }

    /// Damages bytes in one of the ways that find most.
    private func damage(_ bytes: inout [UInt8], _ generator: inout SeededRandom) {
        guard !bytes.isEmpty else { return }
        let index = generator.int(0...(bytes.count - 1))
        switch generator.int(0...6) {
        case 0: bytes[index] ^= 1 << UInt8(generator.int(0...7))
        case 1: bytes[index] = generator.pick([0, 1, 0x7F, 0x80, 0xFF])
        case 2: bytes[index] = .random(in: 0 ... .max, using: &generator)
        case 3: bytes.insert(.random(in: 0 ... .max, using: &generator), at: index)
        case 4: bytes.remove(at: index)
        case 5: bytes.removeSubrange(index..<min(bytes.count, index + generator.int(1...20)))
        default: bytes.insert(contentsOf: bytes[index..<min(bytes.count, index + generator.int(1...20))], at: index)
        }
    }
}
