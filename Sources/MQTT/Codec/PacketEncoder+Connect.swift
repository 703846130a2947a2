internal import NIOCore

extension PacketEncoder {
    /// CONNECT in the version that it asks for (section 3.1).
    static func encode(_ connect: Connect, into buffer: inout ByteBuffer) -> Bool {
        let version = connect.version
        let name = version == .v3_1 ? "MQIsdp" : "MQTT"
        let level = version.rawValue | (connect.isBridge && version != .v5 ? 0x80 : 0)
        var bodyBytes = FieldSize.field(name) + 1 + 1 + 2
        bodyBytes += connect.properties.wireBytes(version)
        bodyBytes += FieldSize.field(connect.clientID)
        if let will = connect.will {
            bodyBytes += will.properties.wireBytes(version)
            bodyBytes += FieldSize.field(will.topic.bytes) + FieldSize.field(will.payload)
        }
        if let username = connect.username { bodyBytes += FieldSize.field(username) }
        if let password = connect.password { bodyBytes += FieldSize.field(password) }
        return write(.connect, bodyBytes: bodyBytes, into: &buffer) { writer in
            writer.writeField(name)
            writer.write(level)
            writer.write(flags(of: connect).rawValue)
            writer.write(connect.keepAliveSeconds)
            connect.properties.write(version, to: &writer)
            writer.writeField(connect.clientID)
            if let will = connect.will {
                will.properties.write(version, to: &writer)
                writer.writeField(will.topic.bytes)
                writer.writeField(will.payload)
            }
            if let username = connect.username { writer.writeField(username) }
            if let password = connect.password { writer.writeField(password) }
        }
    }

    private static func flags(of connect: Connect) -> ConnectFlags {
        var flags: ConnectFlags = connect.cleanStart ? .cleanStart : []
        if let will = connect.will {
            flags.formUnion([.will, ConnectFlags(rawValue: will.qos.rawValue << 3)])
            if will.retain { flags.insert(.willRetain) }
        }
        if connect.username != nil { flags.insert(.username) }
        if connect.password != nil { flags.insert(.password) }
        return flags
    }

    /// CONNACK (section 3.2). 3.1 has no session present flag.
    static func encode(_ connack: Connack, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        let bodyBytes = 2 + connack.properties.wireBytes(version)
        return write(.connack, bodyBytes: bodyBytes, into: &buffer) { writer in
            writer.write(connack.sessionPresent && version != .v3_1 ? UInt8(1) : 0)
            writer.write(version == .v5 ? connack.reason.rawValue : connack.reason.connectReturnCode)
            connack.properties.write(version, to: &writer)
        }
    }
}
