/// What a run of bytes turned out to be, after one pass over it.
///
/// The ASCII fast path looks at eight bytes at a time; only a word that holds something else is read byte by byte.
struct UTF8Check {
    /// Whether the bytes are well-formed UTF-8 without U+0000: no overlong form, no surrogate, nothing above U+10FFFF
    /// [MQTT-1.5.4-1] [MQTT-1.5.4-2].
    var isValid = true
    /// Whether there are control characters (U+0001 to U+001F, U+007F to U+009F) or Unicode non-characters, which a
    /// receiver may refuse (section 1.5.4).
    var hasControls = false
    /// Whether there is a `+` or a `#`.
    var hasWildcards = false
    /// How many `/` there are.
    var separators = 0

    /// Looks at all of `bytes`.
    init(_ bytes: UnsafeRawBufferPointer) {
        // What the words have in common is gathered in registers and judged at the end: no branches on good text.
        var controls: UInt64 = 0
        var wildcards: UInt64 = 0
        var separators = 0
        var offset = 0
        let count = bytes.count
        while offset < count {
            let length = min(8, count &- offset)
            let word = length == 8 ? Word.load(bytes, offset) : Word.loadTail(bytes, length)
            guard word & Word.highBits == 0 else {
                offset = seeCharacters(bytes, from: offset, atLeast: length)
                guard isValid else { return }
                continue
            }
            controls |= Word.controls(ascii: word)
            wildcards |= Word.wildcards(word)
            separators &+= Word.count(Word.separators(word))
            offset &+= length
        }
        self.separators &+= separators
        if wildcards & Word.highBits != 0 { hasWildcards = true }
        if controls & Word.highBits != 0 {
            hasControls = true
            if bytes.contains(0) { isValid = false }
        }
    }

    /// Whole characters from `start`, until at least `length` bytes are seen. Returns where it stopped.
    private mutating func seeCharacters(_ bytes: UnsafeRawBufferPointer, from start: Int, atLeast length: Int) -> Int {
        var offset = start
        while offset < start + length {
            let first = bytes[offset]
            if first < 0x80 {
                see(ascii: first)
                offset += 1
            } else {
                let width = seeCharacter(bytes, at: offset, first: first)
                guard width > 0 else {
                    isValid = false
                    return offset
                }
                offset += width
            }
        }
        return offset
    }

    private mutating func see(ascii byte: UInt8) {
        if byte < 0x20 || byte == 0x7F { hasControls = true }
        if byte == 0 { isValid = false }
        if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") { hasWildcards = true }
        if byte == UInt8(ascii: "/") { separators += 1 }
    }

    /// One character of two to four bytes. Returns its width, or 0 if it is not well formed.
    private mutating func seeCharacter(_ bytes: UnsafeRawBufferPointer, at offset: Int, first: UInt8) -> Int {
        let width = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
        guard first >= 0xC2, first <= 0xF4, bytes.count - offset >= width else { return 0 }
        var scalar = UInt32(first) & (0x7F >> UInt32(width))
        for index in 1..<width {
            let next = bytes[offset + index]
            guard next & 0xC0 == 0x80 else { return 0 }
            scalar = scalar << 6 | UInt32(next & 0x3F)
        }
        let smallest: UInt32 = width == 2 ? 0x80 : width == 3 ? 0x800 : 0x1_0000
        guard scalar >= smallest, scalar <= 0x10_FFFF, !(0xD800...0xDFFF).contains(scalar) else { return 0 }
        if scalar < 0xA0 || scalar & 0xFFFE == 0xFFFE || (0xFDD0...0xFDEF).contains(scalar) { hasControls = true }
        return width
    }
}
