internal import NIOCore

/// A checked cursor over one packet's bytes. Nothing it is given makes it trap: each read is checked against the end,
/// and offsets only grow up to it.
struct ByteCursor {
    /// The whole packet.
    let bytes: UnsafeRawBufferPointer
    /// The buffer that holds `bytes` as its readable bytes; slices are taken from it without copying.
    let buffer: ByteBuffer
    /// Where the next read begins.
    private(set) var offset: Int
    /// Where reading must stop; at most `bytes.count`.
    private(set) var end: Int

    /// A cursor over `bytes[offset..<end]`. The caller has checked the range.
    init(_ bytes: UnsafeRawBufferPointer, of buffer: ByteBuffer, from offset: Int, to end: Int) {
        self.bytes = bytes
        self.buffer = buffer
        self.offset = offset
        self.end = end
    }

    /// How many bytes are left.
    var remaining: Int { end - offset }
    /// Whether nothing is left.
    var isAtEnd: Bool { offset == end }

    mutating func readByte() throws(MQTTError) -> UInt8 {
        guard remaining >= 1 else { throw .truncated }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// Skips the next byte if it is this one.
    @inline(__always)
    mutating func skipByte(_ byte: UInt8) -> Bool {
        guard remaining >= 1, bytes[offset] == byte else { return false }
        offset += 1
        return true
    }

    mutating func readUInt16() throws(MQTTError) -> UInt16 {
        guard remaining >= 2 else { throw .truncated }
        defer { offset += 2 }
        return UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
    }

    mutating func readUInt32() throws(MQTTError) -> UInt32 {
        let high = try readUInt16()
        let low = try readUInt16()
        return UInt32(high) << 16 | UInt32(low)
    }

    /// A packet identifier, which is never 0 [MQTT-2.2.1-3].
    mutating func readPacketID() throws(MQTTError) -> UInt16 {
        let packetID = try readUInt16()
        guard packetID != 0 else { throw .packetIDIsZero }
        return packetID
    }

    /// A variable byte integer in its shortest form, at most four bytes (section 1.5.5).
    mutating func readVariableInteger() throws(MQTTError) -> UInt32 {
        var value: UInt32 = 0
        for index in 0..<4 {
            let byte = try readByte()
            value |= UInt32(byte & 0x7F) << UInt32(7 * index)
            if byte < 0x80 {
                guard byte != 0 || index == 0 else { throw .badVariableInteger }
                return value
            }
        }
        throw .badVariableInteger
    }

    /// The bytes behind a two-byte length, in place.
    mutating func readRawField() throws(MQTTError) -> UnsafeRawBufferPointer {
        let length = Int(try readUInt16())
        guard remaining >= length else { throw .truncated }
        defer { offset += length }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])
    }

    /// Binary data behind a two-byte length, as a slice (section 1.5.6).
    mutating func readBinary() throws(MQTTError) -> ByteBuffer {
        let length = Int(try readUInt16())
        return try readSlice(length)
    }

    /// All that is left, as a slice.
    mutating func readRest() throws(MQTTError) -> ByteBuffer { try readSlice(remaining) }

    /// A string whose UTF-8 is checked (section 1.5.4). An identifier may hold no control characters either.
    mutating func readString(identifier: Bool = false) throws(MQTTError) -> String {
        let raw = try readRawField()
        let check = UTF8Check(raw)
        guard check.isValid else { throw .textIsNotUTF8 }
        guard !identifier || !check.hasControls else {
            throw MQTTError(.malformedPacket, "1.5.4", "An identifier holds a control character")
        }
        return String(decoding: raw, as: UTF8.self)
    }

    /// A cursor over the next `length` bytes, which this one skips.
    mutating func readSection(_ length: Int) throws(MQTTError) -> ByteCursor {
        guard length >= 0, remaining >= length else { throw .truncated }
        defer { offset += length }
        return ByteCursor(bytes, of: buffer, from: offset, to: offset + length)
    }

    mutating func readSlice(_ length: Int) throws(MQTTError) -> ByteBuffer {
        guard length >= 0, remaining >= length,
            let slice = buffer.getSlice(at: buffer.readerIndex + offset, length: length)
        else { throw .truncated }
        offset += length
        return slice
    }

    /// Throws if something is left.
    func expectEnd() throws(MQTTError) {
        guard isAtEnd else { throw .trailingBytes }
    }
}
