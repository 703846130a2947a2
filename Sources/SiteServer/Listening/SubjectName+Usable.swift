/// The subject of a certificate as one line, as Mosquitto's `use_subject_as_username` has it: OpenSSL's
/// `XN_FLAG_RFC2253`.
enum SubjectName {
    /// The most bytes of a user name of MQTT.
    static let bytesMax = 65_535

    /// The name, if it can be a user name: not empty, not too long, and without control characters, among them U+0000,
    /// which no user name of MQTT holds and on which other programs would end it.
    static func usable(_ name: String) -> String? {
        guard !name.isEmpty, name.utf8.count <= bytesMax else { return nil }
        return name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } ? name : nil
    }
}
