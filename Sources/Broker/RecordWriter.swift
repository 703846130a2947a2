import MQTT
import NIOCore

/// Appends journal entries to bytes. Integers are big-endian, lengths are LEB128 varints.
struct RecordWriter: Sendable {
    var bytes: [UInt8]

    init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    mutating func varint(_ value: Int) { varint(UInt64(truncatingIfNeeded: value)) }

    mutating func int64(_ value: Int64) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func buffer(_ value: ByteBuffer) {
        varint(value.readableBytes)
        value.withUnsafeReadableBytes { bytes.append(contentsOf: $0) }
    }

    mutating func string(_ value: String) {
        var value = value
        value.withUTF8 { text in
            varint(text.count)
            bytes.append(contentsOf: text)
        }
    }

    mutating func properties(_ value: Properties) {
        guard !value.isEmpty else {
            byte(0)
            return
        }
        var block = ByteBuffer()
        PacketEncoder.encodeProperties(value, into: &block)
        buffer(block)
    }

    mutating func reference(_ value: MessageReference) {
        varint(value.record)
        varint(UInt64(value.index))
    }
}

/// Why a journal record could not be understood. The journal's checksums hold damage off, so this means a format that
/// this version does not know, or a defect.
public struct BrokerRecoveryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was wrong, in one sentence.
    public let message: String
    /// The record, 0 for a checkpoint.
    public let sequence: UInt64

    /// One sentence for the operator.
    public var description: String {
        "journal record \(sequence): \(message). Was it written by a newer version of causeway?"
    }
}

/// Reads journal entries with every length checked.
struct RecordReader {
    private var bytes: ByteBuffer
    let sequence: UInt64

    init(_ bytes: ByteBuffer, sequence: UInt64) {
        self.bytes = bytes
        self.sequence = sequence
    }

    var isAtEnd: Bool { bytes.readableBytes == 0 }

    func failure(_ message: String) -> BrokerRecoveryError { BrokerRecoveryError(message: message, sequence: sequence) }

    mutating func byte() throws(BrokerRecoveryError) -> UInt8 {
        guard let value = bytes.readInteger(as: UInt8.self) else { throw failure("it ends in the middle of an entry") }
        return value
    }

    mutating func varint() throws(BrokerRecoveryError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            let next = try byte()
            value |= UInt64(next & 0x7F) << shift
            if next & 0x80 == 0 { return value }
        }
        throw failure("a number has more than ten bytes")
    }

    mutating func int64() throws(BrokerRecoveryError) -> Int64 {
        guard let value = bytes.readInteger(as: Int64.self) else { throw failure("it ends in the middle of an entry") }
        return value
    }

    mutating func buffer() throws(BrokerRecoveryError) -> ByteBuffer {
        guard let length = Int(exactly: try varint()), let slice = bytes.readSlice(length: length) else {
            throw failure("a length goes beyond its end")
        }
        return slice
    }

    mutating func string() throws(BrokerRecoveryError) -> String { String(buffer: try buffer()) }

    mutating func uint32() throws(BrokerRecoveryError) -> UInt32 {
        guard let value = UInt32(exactly: try varint()) else { throw failure("a number is too large") }
        return value
    }

    mutating func uint16() throws(BrokerRecoveryError) -> UInt16 {
        guard let value = UInt16(exactly: try varint()) else { throw failure("a number is too large") }
        return value
    }

    mutating func qos() throws(BrokerRecoveryError) -> QoS {
        guard let value = QoS(rawValue: try byte()) else { throw failure("a quality of service is not 0, 1 or 2") }
        return value
    }

    mutating func reference() throws(BrokerRecoveryError) -> MessageReference {
        MessageReference(record: try varint(), index: try uint16())
    }

    mutating func properties() throws(BrokerRecoveryError) -> Properties {
        var block = try buffer()
        guard block.readableBytes > 0 else { return [] }
        do {
            return try PacketDecoder.decodeProperties(&block)
        } catch {
            throw failure("properties of a message are malformed")
        }
    }
}
