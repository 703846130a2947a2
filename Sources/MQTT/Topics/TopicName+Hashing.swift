internal import Glibc
internal import NIOCore

extension TopicName {
    /// Feeds one word, the keyed hash of the bytes, instead of the bytes one by one: names are hashed for each message.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(bytes.withUnsafeReadableBytes { Word.hash($0, seed: Word.seed) })
    }

    /// The hash of a name's bytes, for tables of names that are looked up by bytes alone. It differs from process to
    /// process.
    public static func hash(of bytes: UnsafeRawBufferPointer) -> UInt64 { Word.hash(bytes, seed: Word.seed) }

    /// Whether these are the name's bytes.
    public func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        bytes.withUnsafeReadableBytes { Bytes.areEqual($0, other) }
    }

    /// Compares the bytes, nothing else: no case folding and no Unicode normalisation [MQTT-4.7.3-4].
    public static func == (left: TopicName, right: TopicName) -> Bool {
        guard left.bytes.readableBytes == right.bytes.readableBytes else { return false }
        return left.bytes.withUnsafeReadableBytes { left in
            right.bytes.withUnsafeReadableBytes { right in Bytes.areEqual(left, right) }
        }
    }
}

/// Comparison of bytes.
enum Bytes {
    /// Whether both hold the same bytes.
    @inline(__always)
    static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let leftStart = left.baseAddress, let rightStart = right.baseAddress else { return true }
        return memcmp(leftStart, rightStart, left.count) == 0
    }
}
