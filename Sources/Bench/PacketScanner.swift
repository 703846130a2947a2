import MQTT
import NIOCore

/// What a client that only counts looks at in a packet.
struct ScannedPacket {
    /// The first byte: type and flags.
    let head: UInt8
    /// The body, valid during the call.
    let body: UnsafeRawBufferPointer

    var type: UInt8 { head >> 4 }

    /// The two bytes at the front, big-endian: the packet identifier of an acknowledgement.
    var number: UInt16 { body.count >= 2 ? UInt16(body[0]) << 8 | UInt16(body[1]) : 0 }
}

/// Finds the packets in a stream of bytes and looks no further: the decoder of the product would do the work of a
/// receiver that reads its messages, and the generator has to count more than any broker passes on.
struct PacketScanner {
    /// The front of a packet whose rest has not come.
    private var rest = ByteBuffer()

    /// Calls `body` with each whole packet, in order.
    ///
    /// - Throws: ``BenchError/badPacket`` for bytes that are no packet, and what `body` throws.
    mutating func scan(_ input: ByteBuffer, _ body: (ScannedPacket) throws(BenchError) -> Void) throws(BenchError) {
        if rest.readableBytes == 0 {
            var left = input
            left.moveReaderIndex(forwardBy: try Self.packets(in: input, body))
            // A copy, so that the memory of the read is free for the next one.
            rest.clear()
            rest.writeBuffer(&left)
            return
        }
        rest.writeImmutableBuffer(input)
        rest.moveReaderIndex(forwardBy: try Self.packets(in: rest, body))
        if rest.readableBytes == 0 { rest.clear() } else { rest.discardReadBytes() }
    }

    /// Returns how many bytes whole packets took.
    private static func packets(
        in buffer: ByteBuffer,
        _ body: (ScannedPacket) throws(BenchError) -> Void
    ) throws(BenchError) -> Int {
        try buffer.withUnsafeReadableBytes { bytes throws(BenchError) -> Int in
            var offset = 0
            while bytes.count - offset >= 2 {
                var length = 0
                var header = offset + 1
                var shift = 0
                while true {
                    guard header < bytes.count else { return offset }
                    let byte = bytes[header]
                    header += 1
                    length |= Int(byte & 0x7F) << shift
                    if byte < 0x80 { break }
                    shift += 7
                    guard shift < 28 else { throw .badPacket }
                }
                guard header + length <= bytes.count else { break }
                try body(
                    ScannedPacket(
                        head: bytes[offset],
                        body: UnsafeRawBufferPointer(rebasing: bytes[header..<header + length])
                    )
                )
                offset = header + length
            }
            return offset
        }
    }
}
