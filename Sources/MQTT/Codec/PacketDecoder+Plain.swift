/// Where things are in the plainest PUBLISH there is: QoS 0 or 1, not retained, not sent again, without properties.
///
/// Offsets count from the first of the bytes that were looked at. Nothing is copied and nothing is held on to.
public struct PlainPublish: Sendable {
    /// The packet's first byte.
    public let start: Int
    /// Behind the packet's last byte.
    public let end: Int
    /// Whether the topic is, byte by byte, that of the packet before it.
    public let hasSameTopic: Bool
    /// The topic's bytes.
    public let topic: Range<Int>
    /// The payload's first byte; it ends with the packet.
    public let payloadStart: Int
    /// Quality of service, 0 or 1.
    public let qos: QoS
    /// The packet identifier; 0 with QoS 0, never 0 otherwise.
    public let packetID: UInt16

    /// Bytes of the packet.
    @inlinable public var byteCount: Int { end &- start }
    /// Bytes of the payload.
    @inlinable public var payloadBytes: Int { end &- payloadStart }
}

/// A packet that can be judged without being taken apart.
public enum PlainPacket: Sendable {
    /// See ``PlainPublish``.
    case publish(PlainPublish)
    /// A PUBACK that says success and nothing else; its four bytes begin at `start`.
    case puback(packetID: UInt16, start: Int)
}

extension PacketDecoder {
    /// The packet at `offset`, if it is whole, valid and one of the kinds of ``PlainPacket``; nil for all others, which
    /// ``next(_:)`` then judges. What is taken here is a part of what is taken there, and means the same.
    ///
    /// - Parameters:
    ///   - bytes: What has come.
    ///   - offset: Where the packet begins, at most `bytes.count`.
    ///   - previous: The topic of a plain PUBLISH that was found before in the same bytes: one that is the same is
    ///     valid.
    public func plainPacket(
        in bytes: UnsafeRawBufferPointer,
        at offset: Int,
        previous: Range<Int>? = nil
    ) -> PlainPacket? {
        // SAFETY: release builds do not check subscripts of raw buffers. Every read below lies before `bytes.count`:
        // the first two bytes by this guard, each further byte of the length by the guard before it, and the body
        // because `end` is at most `bytes.count` and each field is checked against `end` before it is read.
        guard offset >= 0, bytes.count &- offset >= 4, mayBePlain else { return nil }
        let first = bytes[offset]
        guard first == 0x30 || first == 0x32 else {
            return first == 0x40 ? plainPuback(in: bytes, at: offset) : nil
        }
        var bodyBytes = Int(bytes[offset &+ 1])
        var position = offset &+ 2
        if bodyBytes >= 0x80 {
            bodyBytes &= 0x7F
            var shift = 7
            while true {
                guard position < bytes.count, shift <= 21 else { return nil }
                let byte = bytes[position]
                bodyBytes |= Int(byte & 0x7F) &<< shift
                position &+= 1
                shift &+= 7
                if byte < 0x80 {
                    guard byte != 0 else { return nil }
                    break
                }
            }
        }
        let end = position &+ bodyBytes
        guard end <= bytes.count, end &- offset <= limits.maxPacketBytes, bodyBytes >= 2 else { return nil }
        let topicStart = position &+ 2
        let topicBytes = Int(bytes[position]) &<< 8 | Int(bytes[position &+ 1])
        position = topicStart &+ topicBytes
        guard topicBytes > 0, position <= end, topicBytes <= limits.maxTopicBytes else { return nil }
        let topic = UnsafeRawBufferPointer(rebasing: bytes[topicStart..<position])
        var hasSameTopic = false
        if let previous, previous.lowerBound >= 0, previous.upperBound <= offset, previous.count == topicBytes {
            hasSameTopic = Bytes.areEqual(topic, UnsafeRawBufferPointer(rebasing: bytes[previous]))
        }
        guard hasSameTopic || TopicName.isValid(topic, maxLevels: limits.maxTopicLevels) else { return nil }
        var packetID: UInt16 = 0
        if first == 0x32 {
            guard end &- position >= 2 else { return nil }
            packetID = UInt16(bytes[position]) &<< 8 | UInt16(bytes[position &+ 1])
            position &+= 2
            guard packetID != 0 else { return nil }
        }
        if version == .v5 {
            guard position < end, bytes[position] == 0 else { return nil }
            position &+= 1
        }
        return .publish(
            PlainPublish(
                start: offset,
                end: end,
                hasSameTopic: hasSameTopic,
                topic: topicStart..<(topicStart &+ topicBytes),
                payloadStart: position,
                qos: first == 0x30 ? .atMostOnce : .atLeastOnce,
                packetID: packetID
            )
        )
    }

    /// The caller has seen that four bytes are there.
    @inline(__always)
    private func plainPuback(in bytes: UnsafeRawBufferPointer, at offset: Int) -> PlainPacket? {
        guard bytes[offset &+ 1] == 2 else { return nil }
        let packetID = UInt16(bytes[offset &+ 2]) &<< 8 | UInt16(bytes[offset &+ 3])
        return packetID == 0 ? nil : .puback(packetID: packetID, start: offset)
    }
}
