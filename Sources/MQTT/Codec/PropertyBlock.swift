public import NIOCore

// Properties by themselves, as a message keeps them on disk: the layout of the wire, with their length in front.
extension PacketEncoder {
    /// Appends the properties of one message: their length and entries as in section 2.2.2.
    public static func encodeProperties(_ properties: Properties, into buffer: inout ByteBuffer) {
        let total = properties.wireBytes(.v5)
        _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: total) { bytes in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: bytes[..<total]))
            properties.write(.v5, to: &writer)
            return writer.offset
        }
    }
}

extension PacketDecoder {
    /// Reads what ``PacketEncoder/encodeProperties(_:into:)`` has written: the properties of one message.
    ///
    /// - Throws: What is wrong with the bytes.
    public static func decodeProperties(_ buffer: inout ByteBuffer) throws(MQTTError) -> Properties {
        let whole = buffer
        let properties = try whole.withUnsafeReadableBytes { bytes throws(MQTTError) in
            var cursor = ByteCursor(bytes, of: whole, from: 0, to: bytes.count)
            var decoder = PropertyDecoder(
                allowed: .publish,
                maxCount: .max,
                allowsManySubscriptionIdentifiers: true
            )
            let found = try decoder.read(&cursor)
            try cursor.expectEnd()
            return found
        }
        buffer.moveReaderIndex(to: buffer.writerIndex)
        return properties
    }
}
