/// Eight bytes in one integer: the arithmetic that reads text a word at a time, and its hash.
///
/// Loads are little-endian on every machine, so that padding and masks mean the same everywhere.
enum Word {
    static let highBits: UInt64 = 0x8080_8080_8080_8080

    /// The byte in all eight places.
    @inline(__always)
    static func all(_ byte: UInt8) -> UInt64 { UInt64(byte) &* 0x0101_0101_0101_0101 }

    /// The high bit of each byte that is zero; exact for all bytes.
    @inline(__always)
    static func zeros(_ word: UInt64) -> UInt64 {
        let low = all(0x7F)
        return ~(((word & low) &+ low) | word | low)
    }

    /// The high bit of each byte that is a `/`; exact for all bytes.
    @inline(__always)
    static func separators(_ word: UInt64) -> UInt64 { zeros(word ^ all(UInt8(ascii: "/"))) }

    /// High bits, of which some are set if there is a `+` or a `#`, which differ in one bit only. Which byte it was is
    /// not to be read from them, nor are the other bits.
    @inline(__always)
    static func wildcards(_ word: UInt64) -> UInt64 {
        let same = (word | all(0x08)) ^ all(UInt8(ascii: "+"))
        return (same &- all(0x01)) & ~same
    }

    /// High bits, of which some are set if an ASCII word has a byte below 0x20 or DEL. Which byte it was is not to be
    /// read from them, nor are the other bits: a borrow runs on, but only ever from such a byte.
    @inline(__always)
    static func controls(ascii word: UInt64) -> UInt64 {
        let deleted = word ^ all(0x7F)
        return (word &- all(0x20)) & ~word | (deleted &- all(0x01)) & ~deleted
    }

    /// How many bytes of a mask have their high bit set, if no other bits are.
    @inline(__always)
    static func count(_ mask: UInt64) -> Int { Int(truncatingIfNeeded: ((mask &>> 7) &* all(0x01)) &>> 56) }

    /// The eight bytes at `offset`, which the caller has checked.
    @inline(__always)
    static func load(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The last `length` (1 to 7) bytes, padded with the letter a, which is nothing special to anyone.
    ///
    /// A few loads that may overlap, instead of a loop over the bytes: most topic levels are shorter than a word.
    @inline(__always)
    static func loadTail(_ bytes: UnsafeRawBufferPointer, _ length: Int) -> UInt64 {
        let pad = all(0x61) &<< UInt64(truncatingIfNeeded: length &* 8)
        let count = bytes.count
        if count >= 8 {
            return load(bytes, count &- 8) &>> UInt64(truncatingIfNeeded: 64 &- length &* 8) | pad
        }
        if length >= 4 {
            let low = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
            let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: length &- 4, as: UInt32.self))
            return UInt64(low) | UInt64(high) &<< UInt64(truncatingIfNeeded: (length &- 4) &* 8) | pad
        }
        let middle = length &>> 1
        let last = length &- 1
        return UInt64(bytes[0]) | UInt64(bytes[middle]) &<< UInt64(truncatingIfNeeded: middle &* 8)
            | UInt64(bytes[last]) &<< UInt64(truncatingIfNeeded: last &* 8) | pad
    }

    /// A seed that differs from process to process, so that nobody can choose topics that collide. It comes from the
    /// standard library's hasher, and is therefore the same each time under `SWIFT_DETERMINISTIC_HASHING`.
    static let seed = UInt64(bitPattern: Int64(Hasher().finalize())) | 1

    /// Both halves of a 128-bit product, folded.
    @inline(__always)
    static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    /// A keyed hash of the bytes, a word at a time.
    @inline(__always)
    static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        var state = seed ^ 0xA076_1D64_78BD_642F
        var offset = 0
        let count = bytes.count
        while count &- offset >= 8 {
            state = fold(state ^ load(bytes, offset), 0xE703_7ED1_A0B4_28DB)
            offset &+= 8
        }
        if offset < count {
            state = fold(state ^ loadTail(bytes, count &- offset), 0x8EBC_6AF0_9C88_C6E3)
        }
        return fold(state ^ UInt64(truncatingIfNeeded: count), seed ^ 0x5899_65CC_7537_4CC3)
    }
}
