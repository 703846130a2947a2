import MQTT
import NIOCore

/// The client that published a message, and where it came in.
struct MessageSource: Hashable, Sendable {
    let identity: Identity
    let listener: String?
}

/// A message on its way through the core, shared by all its receivers.
///
/// What it says never changes. It also remembers its encodings, one for each layout, so that a fan-out encodes once.
///
/// SAFETY: `@unchecked Sendable` because the cached encodings are mutable. They are touched only by the loop that owns
/// the core; a snapshot that is encoded elsewhere reads the constants alone.
final class Message: @unchecked Sendable {
    let topic: TopicName
    let payload: ByteBuffer
    let properties: Properties
    let qos: QoS
    let retain: Bool
    let receivedMilliseconds: Int64
    /// When it expires on the monotonic clock; `.max` if it does not.
    let expiresNanoseconds: UInt64
    let origin: MessageOrigin
    let publisher: String
    /// Who published it, where that is asked again when it is given out: retained messages of clients.
    let source: MessageSource?

    /// When it was retained, counted in retained messages; 0 for one that a restart found.
    var keptOrder: UInt64 = 0

    private var encodings: (v3QoS0: ByteBuffer?, v3: ByteBuffer?, v5QoS0: ByteBuffer?, v5: ByteBuffer?)

    init(
        topic: TopicName,
        payload: ByteBuffer,
        properties: Properties,
        qos: QoS,
        retain: Bool,
        receivedMilliseconds: Int64,
        expiresNanoseconds: UInt64,
        origin: MessageOrigin,
        publisher: String,
        source: MessageSource? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.properties = properties
        self.qos = qos
        self.retain = retain
        self.receivedMilliseconds = receivedMilliseconds
        self.expiresNanoseconds = expiresNanoseconds
        self.origin = origin
        self.publisher = publisher
        self.source = source
    }

    /// Bytes that it costs to keep.
    var byteCount: Int { topic.bytes.readableBytes &+ payload.readableBytes &+ 64 }

    var expires: Bool { expiresNanoseconds != .max }

    /// Whether it has been written to one receiver, without keeping the encoding: most messages have no second one.
    private var isWritten = false

    /// Whether this is the first receiver, for whom it is encoded where it is wanted.
    func isFirstWrite() -> Bool {
        defer { isWritten = true }
        return !isWritten
    }

    /// The encoded PUBLISH of the layout, with retain, DUP and packet identifier all zero.
    func encoding(isV5: Bool, withPacketID: Bool) -> ByteBuffer {
        switch (isV5, withPacketID) {
        case (false, false):
            if let known = encodings.v3QoS0 { return known }
            let made = encode(version: .v3_1_1, qos: .atMostOnce)
            encodings.v3QoS0 = made
            return made
        case (false, true):
            if let known = encodings.v3 { return known }
            let made = encode(version: .v3_1_1, qos: .atLeastOnce)
            encodings.v3 = made
            return made
        case (true, false):
            if let known = encodings.v5QoS0 { return known }
            let made = encode(version: .v5, qos: .atMostOnce)
            encodings.v5QoS0 = made
            return made
        case (true, true):
            if let known = encodings.v5 { return known }
            let made = encode(version: .v5, qos: .atLeastOnce)
            encodings.v5 = made
            return made
        }
    }

    private func encode(version: ProtocolVersion, qos: QoS) -> ByteBuffer {
        // Topic, payload, fixed header, packet identifier; properties may make it grow once.
        var buffer = ByteBufferAllocator().buffer(capacity: topic.bytes.readableBytes &+ payload.readableBytes &+ 16)
        PacketEncoder.encodePublish(
            topic: topic,
            payload: payload,
            qos: qos,
            retain: false,
            duplicate: false,
            packetID: 0,
            properties: version == .v5 ? properties : [],
            version: version,
            into: &buffer
        )
        return buffer
    }
}
