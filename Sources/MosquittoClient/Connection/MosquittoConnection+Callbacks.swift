internal import CMosquitto
internal import COpenSSL

extension MosquittoConnection {
    static func installCallbacks(_ pointer: OpaquePointer) {
        mosquitto_connect_v5_callback_set(pointer, onConnect)
        mosquitto_disconnect_v5_callback_set(pointer, onDisconnect)
        mosquitto_publish_v5_callback_set(pointer, onPublish)
        mosquitto_message_v5_callback_set(pointer, onMessage)
        mosquitto_subscribe_v5_callback_set(pointer, onSubscribe)
        mosquitto_unsubscribe_v5_callback_set(pointer, onUnsubscribe)
        mosquitto_log_callback_set(pointer, onLog)
    }

    fileprivate func deliver(_ event: MosquittoEvent) {
        guard !progress.isFinished, !isAbandoned else { return }
        handler(event)
    }

    fileprivate func connected(_ pointer: OpaquePointer, flags: Int32, properties: OpaquePointer?) {
        progress.isConnected = true
        // The library formats every line for a log callback, also those nobody wants.
        mosquitto_log_callback_set(pointer, nil)
        var server = MosquittoServer(sessionPresent: flags & 1 != 0)
        server.receiveMaximum = PropertyReader.uint16(properties, MQTT_PROP_RECEIVE_MAXIMUM) ?? 65535
        server.maximumPacketBytes = PropertyReader.uint32(properties, MQTT_PROP_MAXIMUM_PACKET_SIZE)
        server.maximumQoS = PropertyReader.byte(properties, MQTT_PROP_MAXIMUM_QOS) ?? 2
        server.retainAvailable = PropertyReader.byte(properties, MQTT_PROP_RETAIN_AVAILABLE) != 0
        server.sharedSubscriptionsAvailable = PropertyReader.byte(properties, MQTT_PROP_SHARED_SUB_AVAILABLE) != 0
        server.keepAliveSeconds = PropertyReader.uint16(properties, MQTT_PROP_SERVER_KEEP_ALIVE)
        server.assignedClientID = PropertyReader.string(properties, MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER)
        server.sessionExpirySeconds = PropertyReader.uint32(properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL)
        server.tls = mosquitto_ssl_get(pointer).map { Self.details(OpaquePointer($0)) }
        deliver(.connected(server))
    }

    private static func details(_ ssl: OpaquePointer) -> MosquittoTLSDetails {
        let cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { String(cString: $0) }
        return MosquittoTLSDetails(
            version: SSL_get_version(ssl).map { String(cString: $0) } ?? "unknown",
            cipher: cipher ?? "unknown",
            resumed: SSL_session_reused(ssl) == 1
        )
    }

    fileprivate func disconnected(code: Int32, properties: OpaquePointer?) {
        // A server's DISCONNECT carries its reason code, 0x80 and above (0x04 to 0x1F are none of a server's), where
        // the library's own errors are small numbers.
        guard progress.refusal == nil, code >= 0x80 else { return }
        let text = mosquitto_reason_string(code).map { String(cString: $0) } ?? "no reason"
        progress.refusal = MosquittoError(
            .closedByServer,
            reasonCode: UInt8(truncatingIfNeeded: code),
            "the server closed the connection: \(text)"
        )
    }

    fileprivate func received(_ raw: mosquitto_message, properties: OpaquePointer?) {
        progress.hasUnacknowledged = true
        let payload: [UInt8]
        if let bytes = raw.payload, raw.payloadlen > 0 {
            payload = Array(UnsafeRawBufferPointer(start: bytes, count: Int(raw.payloadlen)))
        } else {
            payload = []
        }
        var message = MosquittoMessage(
            topic: raw.topic.map { String(cString: $0) } ?? "",
            payload: payload,
            qos: UInt8(truncatingIfNeeded: raw.qos),
            retain: raw.retain
        )
        if properties != nil {
            message.userProperties = PropertyReader.userProperties(properties)
            message.contentType = PropertyReader.string(properties, MQTT_PROP_CONTENT_TYPE)
            message.messageExpirySeconds = PropertyReader.uint32(properties, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL)
            message.responseTopic = PropertyReader.string(properties, MQTT_PROP_RESPONSE_TOPIC)
            message.correlationData = PropertyReader.bytes(properties, MQTT_PROP_CORRELATION_DATA)
        }
        deliver(.message(message))
    }
}

private func connection(_ context: UnsafeMutableRawPointer?) -> MosquittoConnection? {
    context.map { Unmanaged<MosquittoConnection>.fromOpaque($0).takeUnretainedValue() }
}

private func onConnect(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ code: Int32,
    _ flags: Int32,
    _ properties: OpaquePointer?
) {
    guard let connection = connection(context), let pointer else { return }
    guard !connection.progress.isConnected else {
        // The library does not look whether this is the first. [MQTT-3.2.0-2]
        connection.progress.refusal = MosquittoError(.protocolViolation, "the server sent a second CONNACK")
        return
    }
    guard code == 0 else {
        connection.progress.refusal = .connack(code, version: connection.configuration.protocolVersion)
        return
    }
    connection.connected(pointer, flags: flags, properties: properties)
}

private func onDisconnect(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ code: Int32,
    _ properties: OpaquePointer?
) {
    connection(context)?.disconnected(code: code, properties: properties)
}

private func onPublish(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ token: Int32,
    _ reason: Int32,
    _ properties: OpaquePointer?
) {
    connection(context)?.deliver(.published(token, reasonCode: UInt8(truncatingIfNeeded: reason)))
}

private func onMessage(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ message: UnsafePointer<mosquitto_message>?,
    _ properties: OpaquePointer?
) {
    guard let connection = connection(context), let message else { return }
    connection.received(message.pointee, properties: properties)
}

private func onSubscribe(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ token: Int32,
    _ count: Int32,
    _ granted: UnsafePointer<Int32>?,
    _ properties: OpaquePointer?
) {
    let codes = UnsafeBufferPointer(start: granted, count: granted == nil ? 0 : max(0, Int(count)))
    connection(context)?.deliver(.subscribed(token, codes.map { UInt8(truncatingIfNeeded: $0) }))
}

private func onUnsubscribe(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ token: Int32,
    _ properties: OpaquePointer?
) {
    connection(context)?.deliver(.unsubscribed(token))
}

/// May be called on any thread that uses the handle.
private func onLog(
    _ pointer: OpaquePointer?,
    _ context: UnsafeMutableRawPointer?,
    _ level: Int32,
    _ text: UnsafePointer<CChar>?
) {
    guard level == MOSQ_LOG_ERR, let text, let connection = connection(context) else { return }
    // Some of the library's lines end with a line's end; a log line of ours must stay one line.
    connection.noteErrorLine(String(String(cString: text).map { $0.isNewline ? " " : $0 }).trimmingSuffixSpaces())
}

extension String {
    fileprivate func trimmingSuffixSpaces() -> String {
        var text = Substring(self)
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
