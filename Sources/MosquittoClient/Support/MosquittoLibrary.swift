internal import CMosquitto
internal import CMosquittoGuard

/// The library's own state. `mosquitto_lib_init` is not thread-safe and is called once, before anything else of it.
enum MosquittoLibrary {
    private static let initialised: Int32 = mosquitto_lib_init()

    /// Makes sure that the library is ready. It is never cleaned up: connections may live until the process ends.
    static func prepare() throws(MosquittoError) {
        guard initialised == 0 else { throw .library(initialised) }
    }
}

extension MosquittoConnection {
    /// The version of libmosquitto at run time, such as "2.0.11".
    public static var libraryVersion: String {
        var major: Int32 = 0
        var minor: Int32 = 0
        var revision: Int32 = 0
        _ = mosquitto_lib_version(&major, &minor, &revision)
        return "\(major).\(minor).\(revision)"
    }

    /// Whether the library's one assertion that a server can make fail is answered in this process (ADR 0014).
    public static var isGuarded: Bool { cw_mosquitto_guard_stands() }

    /// How often that assertion was answered since the process began: packets of servers with properties that no MQTT
    /// knows, and messages that a server's own limit kept from it.
    public static var guardedAssertions: UInt64 { cw_mosquitto_guard_count() }
}
