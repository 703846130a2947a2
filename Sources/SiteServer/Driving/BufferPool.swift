internal import NIOCore

/// Outbound buffers between two uses. A buffer comes back only if the channel has let go of it, so hot connections
/// write into warm memory, and idle ones hold none.
struct BufferPool {
    /// Buffers kept at most.
    private static let buffersMax = 64
    /// A buffer that has grown beyond this is let go.
    private static let bytesMax = 1 << 20
    /// What a new buffer starts with.
    private static let initialBytes = 4 << 10

    private var spare: ContiguousArray<ByteBuffer> = []

    /// An empty buffer.
    mutating func take() -> ByteBuffer {
        spare.popLast() ?? ByteBufferAllocator().buffer(capacity: Self.initialBytes)
    }

    /// Takes a buffer back if nobody else holds it.
    mutating func recycle(_ buffer: consuming ByteBuffer) {
        guard spare.count < Self.buffersMax, buffer.capacity <= Self.bytesMax else { return }
        guard buffer.modifyIfUniquelyOwned({ $0.clear() }) != nil else { return }
        spare.append(buffer)
    }
}
