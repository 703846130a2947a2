internal import CMosquitto
internal import Glibc

/// An MQTT 5.0 property list of the library, freed with the object.
struct PropertyList: ~Copyable {
    private(set) var pointer: OpaquePointer?

    init() {}

    deinit {
        var list = pointer
        if list != nil { mosquitto_property_free_all(&list) }
    }

    mutating func add(_ identifier: mqtt5_property, byte value: UInt8) throws(MosquittoError) {
        try check(mosquitto_property_add_byte(&pointer, Int32(identifier.rawValue), value))
    }

    mutating func add(_ identifier: mqtt5_property, uint32 value: UInt32) throws(MosquittoError) {
        try check(mosquitto_property_add_int32(&pointer, Int32(identifier.rawValue), value))
    }

    mutating func add(_ identifier: mqtt5_property, string value: String) throws(MosquittoError) {
        try check(mosquitto_property_add_string(&pointer, Int32(identifier.rawValue), value))
    }

    mutating func add(_ identifier: mqtt5_property, bytes value: [UInt8]) throws(MosquittoError) {
        guard let count = UInt16(exactly: value.count) else {
            throw MosquittoError(.invalidArgument, "a binary property has at most 65535 bytes")
        }
        try check(mosquitto_property_add_binary(&pointer, Int32(identifier.rawValue), value, count))
    }

    mutating func add(userProperty property: MosquittoUserProperty) throws(MosquittoError) {
        try check(
            mosquitto_property_add_string_pair(
                &pointer,
                Int32(MQTT_PROP_USER_PROPERTY.rawValue),
                property.name,
                property.value
            )
        )
    }

    private func check(_ rc: Int32) throws(MosquittoError) {
        guard rc == 0 else { throw .library(rc) }
    }
}

extension PropertyList {
    /// The properties of a PUBLISH; no list for 3.1.1 or where there is nothing to say.
    init(_ properties: MosquittoPublishProperties, version: MosquittoProtocol) throws(MosquittoError) {
        self.init()
        guard version == .v5, !properties.isEmpty else { return }
        if let type = properties.contentType { try add(MQTT_PROP_CONTENT_TYPE, string: type) }
        if let seconds = properties.messageExpirySeconds {
            try add(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, uint32: seconds)
        }
        if let topic = properties.responseTopic { try add(MQTT_PROP_RESPONSE_TOPIC, string: topic) }
        if let data = properties.correlationData { try add(MQTT_PROP_CORRELATION_DATA, bytes: data) }
        for property in properties.userProperties { try add(userProperty: property) }
    }
}

/// Reads the library's property lists. Everything is copied.
enum PropertyReader {
    /// User properties read of one message at most; a hostile server is not given our memory.
    static let userPropertiesMax = 64

    static func byte(_ list: OpaquePointer?, _ identifier: mqtt5_property) -> UInt8? {
        var value: UInt8 = 0
        return mosquitto_property_read_byte(list, Int32(identifier.rawValue), &value, false) == nil ? nil : value
    }

    static func uint16(_ list: OpaquePointer?, _ identifier: mqtt5_property) -> UInt16? {
        var value: UInt16 = 0
        return mosquitto_property_read_int16(list, Int32(identifier.rawValue), &value, false) == nil ? nil : value
    }

    static func uint32(_ list: OpaquePointer?, _ identifier: mqtt5_property) -> UInt32? {
        var value: UInt32 = 0
        return mosquitto_property_read_int32(list, Int32(identifier.rawValue), &value, false) == nil ? nil : value
    }

    static func string(_ list: OpaquePointer?, _ identifier: mqtt5_property) -> String? {
        var value: UnsafeMutablePointer<CChar>?
        guard mosquitto_property_read_string(list, Int32(identifier.rawValue), &value, false) != nil else { return nil }
        defer { free(value) }
        return value.map { String(cString: $0) }
    }

    static func bytes(_ list: OpaquePointer?, _ identifier: mqtt5_property) -> [UInt8]? {
        var value: UnsafeMutableRawPointer?
        var count: UInt16 = 0
        guard mosquitto_property_read_binary(list, Int32(identifier.rawValue), &value, &count, false) != nil else {
            return nil
        }
        defer { free(value) }
        return value.map { Array(UnsafeRawBufferPointer(start: $0, count: Int(count))) } ?? []
    }

    static func userProperties(_ list: OpaquePointer?) -> [MosquittoUserProperty] {
        var found: [MosquittoUserProperty] = []
        var current = list
        var isLater = false
        while let place = current, found.count < userPropertiesMax {
            var name: UnsafeMutablePointer<CChar>?
            var value: UnsafeMutablePointer<CChar>?
            current = mosquitto_property_read_string_pair(
                place,
                Int32(MQTT_PROP_USER_PROPERTY.rawValue),
                &name,
                &value,
                isLater
            )
            isLater = true
            guard current != nil else { break }
            defer {
                free(name)
                free(value)
            }
            if let name, let value {
                found.append(MosquittoUserProperty(String(cString: name), String(cString: value)))
            }
        }
        return found
    }
}
