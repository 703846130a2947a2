import ArgumentParser
import Foundation

/// A broker and topic as `mqtt(s)://[user[:password]@]host[:port]/topic`.
struct BrokerURL {
    var usesTLS: Bool
    var host: String
    var port: UInt16
    var username: String?
    var password: String?
    var topic: String?

    init(_ text: String) throws {
        guard let components = URLComponents(string: text), let host = components.host, !host.isEmpty,
            let scheme = components.scheme, ["mqtt", "mqtts"].contains(scheme),
            let port = UInt16(exactly: components.port ?? (scheme == "mqtts" ? 8_883 : 1_883))
        else { throw ValidationError("-L is mqtt(s)://[user[:password]@]host[:port]/topic") }
        usesTLS = scheme == "mqtts"
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        self.port = port
        username = components.user
        password = components.password
        let path = components.path.dropFirst()
        topic = path.isEmpty ? nil : String(path)
    }
}
