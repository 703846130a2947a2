internal import NIOCore

/// Writes the fields of a packet, big-endian, into memory that the caller has sized exactly.
///
/// Every write is checked against the end; what does not fit is left out, so that a wrong size can never reach beyond.
struct ByteWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    /// How many bytes are written.
    private(set) var offset = 0

    init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }

    @inline(__always)
    mutating func write(_ byte: UInt8) {
        guard offset < bytes.count else { return }
        bytes[offset] = byte
        offset += 1
    }

    @inline(__always)
    mutating func write(_ value: UInt16) {
        write(UInt8(truncatingIfNeeded: value >> 8))
        write(UInt8(truncatingIfNeeded: value))
    }

    mutating func write(_ value: UInt32) {
        write(UInt16(truncatingIfNeeded: value >> 16))
        write(UInt16(truncatingIfNeeded: value))
    }

    @inline(__always)
    mutating func writeVariableInteger(_ value: Int) {
        var rest = value
        while rest >= 0x80 {
            write(UInt8(truncatingIfNeeded: rest & 0x7F | 0x80))
            rest >>= 7
        }
        write(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func write(raw source: UnsafeRawBufferPointer) {
        let count = min(source.count, bytes.count - offset)
        guard count > 0 else { return }
        let target = UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
        offset += count
    }

    /// The bytes, without a length.
    @inline(__always)
    mutating func write(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { write(raw: $0) }
    }

    /// A two-byte length and the bytes.
    @inline(__always)
    mutating func writeField(_ buffer: ByteBuffer) {
        let count = FieldSize.clamped(buffer.readableBytes)
        write(UInt16(truncatingIfNeeded: count))
        buffer.withUnsafeReadableBytes { write(raw: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    /// A two-byte length and the text.
    mutating func writeField(_ text: String) {
        let count = FieldSize.clamped(text)
        write(UInt16(truncatingIfNeeded: count))
        var text = text
        text.withUTF8 { write(raw: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer($0)[..<count])) }
    }
}

/// How many bytes fields take on the wire.
enum FieldSize {
    /// The most bytes behind a two-byte length.
    static let max = 65_535

    /// Bytes of a binary field's content: what is too long is cut, as the wire has no way to say it.
    @inline(__always)
    static func clamped(_ count: Int) -> Int { min(count, max) }

    /// Bytes of a text field's content: what is too long is cut between two characters.
    static func clamped(_ text: String) -> Int {
        let utf8 = text.utf8
        guard utf8.count > max else { return utf8.count }
        var end = utf8.index(utf8.startIndex, offsetBy: max)
        // Step back over continuation bytes, so that the cut is no half character.
        while end > utf8.startIndex, utf8[end] & 0xC0 == 0x80 { utf8.formIndex(before: &end) }
        return utf8.distance(from: utf8.startIndex, to: end)
    }

    static func field(_ buffer: ByteBuffer) -> Int { 2 + clamped(buffer.readableBytes) }
    static func field(_ text: String) -> Int { 2 + clamped(text) }

    /// Bytes of a variable byte integer.
    @inline(__always)
    static func variableInteger(_ value: Int) -> Int {
        value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4
    }

    /// The largest variable byte integer, and so the largest remaining length.
    static let variableIntegerMax = 268_435_455
}
