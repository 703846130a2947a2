import MQTT
import NIOCore

/// One PUBLISH as a publisher sends it over and over: encoded once, then copied, with its packet identifier and its
/// time patched.
struct PublishTemplate {
    private let bytes: [UInt8]
    private let packetIDOffset: Int?
    private let payloadOffset: Int

    /// Nil if the packet is too large for MQTT.
    init?(topic: String, payloadBytes: Int, qos: QoS, version: ProtocolVersion) {
        let isPossible = PacketEncoder.publishLayout(
            topicBytes: topic.utf8.count,
            payloadBytes: payloadBytes,
            qos: qos,
            version: version
        )
        guard isPossible != nil else { return nil }
        var buffer = ByteBuffer()
        let layout = PacketEncoder.encodePublish(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: topic)),
            payload: ByteBuffer(repeating: UInt8(ascii: "x"), count: payloadBytes),
            qos: qos,
            retain: false,
            packetID: 1,
            version: version,
            into: &buffer
        )
        guard let layout else { return nil }
        bytes = Array(buffer.readableBytesView)
        packetIDOffset = layout.packetIDOffset
        payloadOffset = layout.byteCount - payloadBytes
    }

    var byteCount: Int { bytes.count }

    /// Appends `count` packets with the identifiers that follow `packetID`, which moves on; 0 is left out.
    func append(_ count: Int, to buffer: inout ByteBuffer, packetID: inout UInt16) {
        let size = bytes.count
        var identifier = packetID
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count * size) { target in
            bytes.withUnsafeBytes { source in
                guard let from = source.baseAddress, var to = target.baseAddress else { return }
                for _ in 0..<count {
                    to.copyMemory(from: from, byteCount: size)
                    if let packetIDOffset {
                        identifier = identifier == .max ? 1 : identifier + 1
                        to.storeBytes(of: identifier.bigEndian, toByteOffset: packetIDOffset, as: UInt16.self)
                    }
                    to += size
                }
            }
            return count * size
        }
        packetID = identifier
    }

    /// Appends one packet whose payload begins with a time. The payload has at least 8 bytes.
    func append(stampedWith nanoseconds: UInt64, to buffer: inout ByteBuffer, packetID: inout UInt16) {
        let start = buffer.writerIndex
        append(1, to: &buffer, packetID: &packetID)
        buffer.setInteger(nanoseconds, at: start + payloadOffset)
    }
}
