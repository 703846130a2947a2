import MQTT
import NIOCore

/// Copies out of a read buffer what is kept for longer than the turn, so that a small message does not hold a large
/// buffer.
enum ByteBufferCopy {
    static func of(_ buffer: ByteBuffer) -> ByteBuffer {
        guard buffer.readableBytes > 0 else { return ByteBuffer() }
        var copy = ByteBuffer()
        copy.reserveCapacity(buffer.readableBytes)
        buffer.withUnsafeReadableBytes { _ = copy.writeBytes($0) }
        return copy
    }
}

extension TopicName {
    /// Whether it is a topic of the server's own, such as `$SYS`, that no client may publish to.
    var isReserved: Bool { bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == UInt8(ascii: "$") }
}
