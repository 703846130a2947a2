internal import Broker
internal import MosquittoClient

/// One message that waits to leave. Everything in it has been redacted: this is what stands on the disk.
struct OutboxRecord: Sendable, Hashable {
    /// What it is.
    enum Kind: UInt8, Sendable, Hashable {
        /// A message.
        case message = 0
        /// A ``BridgeGap`` in the payload.
        case gap = 1
    }

    /// What it is.
    var kind = Kind.message
    /// Where it came from in the main journal: the lane's position once this record is committed.
    var source: MessageReference
    /// Its class.
    var trafficClass = TrafficClass.telemetry
    /// Whether the other side is asked to retain it.
    var retain = false
    /// The topic on the other side.
    var topic: String
    /// The payload.
    var payload: [UInt8]
    /// When the site received it, milliseconds since 1970-01-01 UTC.
    var receivedMilliseconds: Int64
    /// When it was queued here, the same.
    var queuedMilliseconds: Int64
    /// Content type.
    var contentType: String?
    /// Seconds after `receivedMilliseconds` at which it is no longer of use; only honoured with `confirm: puback`.
    var expirySeconds: UInt32?
    /// The publisher's user properties, where the route keeps them.
    var userProperties: [MosquittoUserProperty] = []

    /// Bytes that count against the outbox's limit.
    var byteCount: Int { payload.count + topic.utf8.count + 64 }
}

/// A record with its sequence.
struct QueuedRecord: Sendable, Hashable {
    var sequence: UInt64
    var record: OutboxRecord
}

// The format: little-endian; never given another meaning, a change takes a new version.
//   version u8 = 1, kind u8, class u8, flags u8 (1 retain, 2 content type, 4 expiry), source record u64, index u16,
//   received i64, queued i64, topic (u16 length), [content type (u16 length)], [expiry u32],
//   count u8 of user properties, each name and value (u16 lengths), then the payload to the end.
extension OutboxRecord {
    /// The current format.
    static let version: UInt8 = 1

    /// Appends the record to a buffer.
    func encode(into bytes: inout [UInt8]) {
        bytes.append(Self.version)
        bytes.append(kind.rawValue)
        bytes.append(trafficClass.code)
        bytes.append((retain ? 1 : 0) | (contentType == nil ? 0 : 2) | (expirySeconds == nil ? 0 : 4))
        bytes.append(integer: source.record)
        bytes.append(integer: source.index)
        bytes.append(integer: receivedMilliseconds)
        bytes.append(integer: queuedMilliseconds)
        bytes.append(text: topic)
        if let contentType { bytes.append(text: contentType) }
        if let expirySeconds { bytes.append(integer: expirySeconds) }
        let properties = userProperties.prefix(255)
        bytes.append(UInt8(properties.count))
        for property in properties {
            bytes.append(text: property.name)
            bytes.append(text: property.value)
        }
        bytes.append(contentsOf: payload)
    }

    /// Reads a record; nil if it is of a version that is not known or damaged.
    init?(decoding bytes: UnsafeRawBufferPointer) {
        var reader = ByteReader(bytes: bytes)
        guard reader.integer(UInt8.self) == Self.version,
            let kind = reader.integer(UInt8.self).flatMap(Kind.init(rawValue:)),
            let trafficClass = reader.integer(UInt8.self).flatMap(TrafficClass.init(code:)),
            let flags = reader.integer(UInt8.self), let record = reader.integer(UInt64.self),
            let index = reader.integer(UInt16.self), let received = reader.integer(Int64.self),
            let queued = reader.integer(Int64.self), let topic = reader.text()
        else { return nil }
        self.init(
            kind: kind,
            source: MessageReference(record: record, index: index),
            trafficClass: trafficClass,
            retain: flags & 1 != 0,
            topic: topic,
            payload: [],
            receivedMilliseconds: received,
            queuedMilliseconds: queued
        )
        if flags & 2 != 0 {
            guard let type = reader.text() else { return nil }
            contentType = type
        }
        if flags & 4 != 0 {
            guard let seconds = reader.integer(UInt32.self) else { return nil }
            expirySeconds = seconds
        }
        guard let count = reader.integer(UInt8.self) else { return nil }
        for _ in 0..<count {
            guard let name = reader.text(), let value = reader.text() else { return nil }
            userProperties.append(MosquittoUserProperty(name, value))
        }
        payload = reader.rest()
    }
}

extension [UInt8] {
    fileprivate mutating func append<Number: FixedWidthInteger>(integer: Number) {
        Swift.withUnsafeBytes(of: integer.littleEndian) { append(contentsOf: $0) }
    }

    /// At most 65,535 bytes, cut between characters.
    fileprivate mutating func append(text: String) {
        var utf8 = Array(text.utf8.prefix(65_535))
        while utf8.count < text.utf8.count, String(validating: utf8, as: UTF8.self) == nil { utf8.removeLast() }
        append(integer: UInt16(utf8.count))
        append(contentsOf: utf8)
    }
}

/// Reads fields of a record without ever trapping.
private struct ByteReader {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
        let size = MemoryLayout<Number>.size
        guard bytes.count - position >= size else { return nil }
        defer { position += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Number.self))
    }

    mutating func text() -> String? {
        guard let count = integer(UInt16.self), bytes.count - position >= Int(count) else { return nil }
        defer { position += Int(count) }
        return String(validating: bytes[position..<(position + Int(count))], as: UTF8.self)
    }

    func rest() -> [UInt8] { Array(bytes[position...]) }
}
