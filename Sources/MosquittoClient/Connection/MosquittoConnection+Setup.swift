internal import CMosquitto
internal import Glibc

extension MosquittoConnection {
    /// Makes the library's object with every option that does not need the network.
    static func makeHandle(_ configuration: MosquittoConfiguration) throws(MosquittoError) -> OpaquePointer {
        try validate(configuration)
        let identifier = configuration.clientID.isEmpty ? nil : configuration.clientID
        guard let pointer = mosquitto_new(identifier, configuration.cleanStart, nil) else {
            throw MosquittoError(.invalidArgument, "the library refused the client identifier")
        }
        do {
            try setOptions(pointer, configuration)
        } catch {
            mosquitto_destroy(pointer)
            throw error
        }
        return pointer
    }

    private static func validate(_ configuration: MosquittoConfiguration) throws(MosquittoError) {
        if configuration.clientID.isEmpty, !configuration.cleanStart {
            throw MosquittoError(.invalidArgument, "a session that is kept needs a client identifier")
        }
        if (1...4).contains(configuration.keepAliveSeconds) {
            throw MosquittoError(.invalidArgument, "keep alive is 0 or at least 5 seconds")
        }
        if configuration.receiveMaximum == 0 || configuration.sendMaximum == 0 {
            throw MosquittoError(.invalidArgument, "a window of 0 messages moves nothing")
        }
        if let tls = configuration.tls, tls.host != configuration.host {
            throw MosquittoError(.invalidArgument, "the TLS context was made for another host")
        }
    }

    private static func setOptions(
        _ pointer: OpaquePointer,
        _ configuration: MosquittoConfiguration
    ) throws(MosquittoError) {
        func check(_ rc: Int32) throws(MosquittoError) {
            guard rc == 0 else { throw .library(rc) }
        }
        // Among threads the library queues packets instead of writing them from whoever calls: see the class.
        try check(mosquitto_threaded_set(pointer, true))
        let version = configuration.protocolVersion == .v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311
        try check(mosquitto_int_option(pointer, MOSQ_OPT_PROTOCOL_VERSION, version))
        try check(mosquitto_int_option(pointer, MOSQ_OPT_TCP_NODELAY, 1))
        try check(mosquitto_int_option(pointer, MOSQ_OPT_SEND_MAXIMUM, Int32(configuration.sendMaximum)))
        try check(mosquitto_int_option(pointer, MOSQ_OPT_RECEIVE_MAXIMUM, Int32(configuration.receiveMaximum)))
        if let username = configuration.username {
            try check(mosquitto_username_pw_set(pointer, username, configuration.password))
        }
        if let will = configuration.will {
            guard let count = Int32(exactly: will.payload.count) else {
                throw MosquittoError(.tooLarge, "the will is larger than MQTT allows")
            }
            try check(mosquitto_will_set(pointer, will.topic, count, will.payload, Int32(will.qos), will.retain))
        }
        if let tls = configuration.tls {
            // The library takes a reference of its own.
            try check(mosquitto_void_option(pointer, MOSQ_OPT_SSL_CTX, UnsafeMutableRawPointer(tls.pointer)))
            try check(mosquitto_int_option(pointer, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0))
        }
    }

    /// The properties of CONNECT. A topic alias maximum is never sent, which means 0: version 2.0.11 has no aliases.
    func connectProperties() throws(MosquittoError) -> PropertyList {
        var list = PropertyList()
        guard configuration.protocolVersion == .v5 else { return list }
        if let seconds = configuration.sessionExpirySeconds {
            try list.add(MQTT_PROP_SESSION_EXPIRY_INTERVAL, uint32: seconds)
        }
        if let bytes = configuration.maximumPacketBytes, bytes > 0 {
            try list.add(MQTT_PROP_MAXIMUM_PACKET_SIZE, uint32: bytes)
        }
        return list
    }

    /// Lends C strings for the time of a call.
    static func withCStrings(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Int32
    ) -> Int32 {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        guard copies.allSatisfy({ $0 != nil }) else { return MOSQ_ERR_NOMEM.rawValue }
        return copies.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map(body) ?? MOSQ_ERR_INVAL.rawValue
        }
    }
}
