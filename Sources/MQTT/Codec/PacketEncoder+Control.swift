internal import NIOCore

extension PacketEncoder {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7), as short as the version allows.
    static func encode(
        _ answer: Acknowledgement,
        _ type: PacketType,
        version: ProtocolVersion,
        into buffer: inout ByteBuffer
    ) -> Bool {
        let tail = ReasonTail(answer.reason, answer.properties, version)
        return write(type, bodyBytes: 2 + tail.byteCount, into: &buffer) { writer in
            writer.write(answer.packetID)
            tail.write(to: &writer)
        }
    }

    /// SUBSCRIBE (section 3.8).
    static func encode(_ subscribe: Subscribe, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        var bodyBytes = 2 + subscribe.properties.wireBytes(version)
        for request in subscribe.requests { bodyBytes += FieldSize.field(request.filter) + 1 }
        return write(.subscribe, bodyBytes: bodyBytes, into: &buffer) { writer in
            writer.write(subscribe.packetID)
            subscribe.properties.write(version, to: &writer)
            for request in subscribe.requests {
                writer.writeField(request.filter)
                writer.write(byte(of: request.options, version))
            }
        }
    }

    private static func byte(of options: SubscriptionOptions, _ version: ProtocolVersion) -> UInt8 {
        guard version == .v5 else { return options.qos.rawValue }
        return options.qos.rawValue
            | (options.noLocal ? 0b0100 : 0)
            | (options.retainAsPublished ? 0b1000 : 0)
            | options.retainHandling.rawValue << 4
    }

    /// SUBACK (section 3.9).
    static func encode(_ suback: Suback, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        let bodyBytes = 2 + suback.properties.wireBytes(version) + suback.reasons.count
        return write(.suback, bodyBytes: bodyBytes, into: &buffer) { writer in
            writer.write(suback.packetID)
            suback.properties.write(version, to: &writer)
            for reason in suback.reasons {
                writer.write(version == .v5 ? reason.rawValue : reason.subscribeReturnCode)
            }
        }
    }

    /// UNSUBSCRIBE (section 3.10).
    static func encode(_ unsubscribe: Unsubscribe, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        var bodyBytes = 2 + unsubscribe.properties.wireBytes(version)
        for filter in unsubscribe.filters { bodyBytes += FieldSize.field(filter) }
        return write(.unsubscribe, bodyBytes: bodyBytes, into: &buffer) { writer in
            writer.write(unsubscribe.packetID)
            unsubscribe.properties.write(version, to: &writer)
            for filter in unsubscribe.filters { writer.writeField(filter) }
        }
    }

    /// UNSUBACK (section 3.11). Before 5.0 it has no reason codes.
    static func encode(_ unsuback: Unsuback, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        let reasons = version == .v5 ? unsuback.reasons : []
        let bodyBytes = 2 + unsuback.properties.wireBytes(version) + reasons.count
        return write(.unsuback, bodyBytes: bodyBytes, into: &buffer) { writer in
            writer.write(unsuback.packetID)
            unsuback.properties.write(version, to: &writer)
            for reason in reasons { writer.write(reason.rawValue) }
        }
    }

    /// DISCONNECT (section 3.14).
    static func encode(_ disconnect: Disconnect, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        let tail = ReasonTail(disconnect.reason, disconnect.properties, version)
        return write(.disconnect, bodyBytes: tail.byteCount, into: &buffer) { tail.write(to: &$0) }
    }

    /// AUTH (section 3.15), which there is on 5.0 only.
    static func encode(_ auth: Auth, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        guard version == .v5 else { return false }
        // An AUTH with a reason code says its property length too: only the wholly empty form is short.
        let isShort = auth.reason == .success && auth.properties.isEmpty
        let bodyBytes = isShort ? 0 : 1 + auth.properties.wireBytes(version)
        return write(.auth, bodyBytes: bodyBytes, into: &buffer) { writer in
            guard !isShort else { return }
            writer.write(auth.reason.rawValue)
            auth.properties.write(version, to: &writer)
        }
    }
}

/// A reason code and properties at the end of a packet: nothing before 5.0, nothing for success without properties, the
/// code alone without properties.
private struct ReasonTail {
    let reason: ReasonCode
    let properties: Properties
    let version: ProtocolVersion
    let byteCount: Int

    init(_ reason: ReasonCode, _ properties: Properties, _ version: ProtocolVersion) {
        self.reason = reason
        self.properties = properties
        self.version = version
        if version != .v5 || (reason == .success && properties.isEmpty) {
            byteCount = 0
        } else {
            byteCount = properties.isEmpty ? 1 : 1 + properties.wireBytes(version)
        }
    }

    func write(to writer: inout ByteWriter) {
        if byteCount > 0 { writer.write(reason.rawValue) }
        if byteCount > 1 { properties.write(version, to: &writer) }
    }
}
