public import NIOCore

/// A topic name as the bytes of the wire: UTF-8 that the decoder has checked, without wildcards.
///
/// Two names are equal if their bytes are [MQTT-4.7.3-4]. A name that came from the decoder is a slice of the read
/// buffer; whoever keeps it for long takes a `copied()` one.
public struct TopicName: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The bytes.
    public var bytes: ByteBuffer

    /// Takes bytes that are known to be a valid topic name.
    @inlinable
    public init(uncheckedBytes bytes: ByteBuffer) { self.bytes = bytes }

    /// Takes text that is known to be a valid topic name, such as a literal.
    public init(stringLiteral text: String) { self.bytes = ByteBuffer(string: text) }

    /// The name as text.
    public var string: String { String(buffer: bytes) }

    /// The name as text.
    public var description: String { string }

    /// Whether it has no bytes, as a PUBLISH that uses a topic alias may.
    @inlinable
    public var isEmpty: Bool { bytes.readableBytes == 0 }
}
