import CCRC32C
import Testing

@Suite("CRC-32C")
struct ChecksumTests {
    private func crc(_ bytes: [UInt8], from start: UInt32 = 0) -> UInt32 {
        bytes.withUnsafeBytes { ccrc32c_update(start, $0.baseAddress, $0.count) }
    }

    private func portable(_ bytes: [UInt8], from start: UInt32 = 0) -> UInt32 {
        bytes.withUnsafeBytes { ccrc32c_update_portable(start, $0.baseAddress, $0.count) }
    }

    @Test("gives the values of RFC 3720, appendix B.4")
    func knownValues() {
        let vectors: [([UInt8], UInt32)] = [
            ([], 0),
            (Array("123456789".utf8), 0xe306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            ([UInt8](0..<32), 0x46dd_794e),
            ((0..<32).map { 31 - $0 }, 0x113f_db5c),
        ]
        for (bytes, expected) in vectors {
            #expect(crc(bytes) == expected)
            #expect(portable(bytes) == expected)
        }
    }

    @Test("by the processor and by tables is the same for every length, alignment and split")
    func implementationsAgree() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 7) }
        for start in 0..<9 {
            for length in 0..<200 {
                let piece = Array(bytes[start..<start + length])
                #expect(crc(piece) == portable(piece))
                let split = length / 3
                #expect(crc(Array(piece[split...]), from: crc(Array(piece[..<split]))) == crc(piece))
            }
        }
        let name = String(cString: ccrc32c_implementation())
        #expect(["sse4.2", "armv8-crc", "tables"].contains(name))
    }

    @Test("zero prefixes are counted exactly")
    func zeroPrefix() {
        for length in 0..<100 {
            var bytes = [UInt8](repeating: 0, count: length)
            #expect(bytes.withUnsafeBytes { ccrc32c_zero_prefix($0.baseAddress, $0.count) } == length)
            guard length > 0 else { continue }
            bytes[length / 2] = 1
            #expect(bytes.withUnsafeBytes { ccrc32c_zero_prefix($0.baseAddress, $0.count) } == length / 2)
        }
    }
}
