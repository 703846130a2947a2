public import NIOCore

/// Turns packets into bytes, in the layout of each version.
///
/// Encoding is total: any packet value can be given. Properties and reason codes that a version does not have are left
/// out, text and binary fields beyond 65,535 bytes are cut, and a packet whose remaining length would be beyond
/// 268,435,455 bytes writes nothing. Whether a packet makes sense is the caller's business.
public enum PacketEncoder {
    /// Appends the packet to `buffer`.
    ///
    /// - Returns: Whether it was written: false for a packet that is too large for MQTT, and for AUTH before 5.0.
    @discardableResult
    public static func encode(_ packet: Packet, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        switch packet {
        case .connect(let connect): encode(connect, into: &buffer)
        case .connack(let connack): encode(connack, version: version, into: &buffer)
        case .publish(let publish): encode(publish, version: version, into: &buffer)
        case .puback(let answer): encode(answer, .puback, version: version, into: &buffer)
        case .pubrec(let answer): encode(answer, .pubrec, version: version, into: &buffer)
        case .pubrel(let answer): encode(answer, .pubrel, version: version, into: &buffer)
        case .pubcomp(let answer): encode(answer, .pubcomp, version: version, into: &buffer)
        case .subscribe(let subscribe): encode(subscribe, version: version, into: &buffer)
        case .suback(let suback): encode(suback, version: version, into: &buffer)
        case .unsubscribe(let unsubscribe): encode(unsubscribe, version: version, into: &buffer)
        case .unsuback(let unsuback): encode(unsuback, version: version, into: &buffer)
        case .pingreq: write(.pingreq, bodyBytes: 0, into: &buffer) { _ in }
        case .pingresp: write(.pingresp, bodyBytes: 0, into: &buffer) { _ in }
        case .disconnect(let disconnect): encode(disconnect, version: version, into: &buffer)
        case .auth(let auth): encode(auth, version: version, into: &buffer)
        }
    }

    /// Writes a fixed header and a body of exactly `bodyBytes` bytes.
    @inline(__always)
    static func write(
        _ type: PacketType,
        bodyBytes: Int,
        into buffer: inout ByteBuffer,
        _ writeBody: (inout ByteWriter) -> Void
    ) -> Bool {
        write(firstByte: type.firstByte, bodyBytes: bodyBytes, into: &buffer, writeBody)
    }

    /// Writes a first byte, the remaining length and a body of exactly `bodyBytes` bytes.
    @inline(__always)
    static func write(
        firstByte: UInt8,
        bodyBytes: Int,
        into buffer: inout ByteBuffer,
        _ writeBody: (inout ByteWriter) -> Void
    ) -> Bool {
        guard bodyBytes <= FieldSize.variableIntegerMax else { return false }
        let total = 1 + FieldSize.variableInteger(bodyBytes) + bodyBytes
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: total) { bytes in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: bytes[..<total]))
            writer.write(firstByte)
            writer.writeVariableInteger(bodyBytes)
            writeBody(&writer)
            assert(writer.offset == total, "a packet's size was computed wrong")
            return writer.offset
        }
        return true
    }
}
