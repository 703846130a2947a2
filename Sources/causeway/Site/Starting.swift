import CausewayConfiguration
import Foundation
import MosquittoClient

/// Why a node could not start, in words for its operator.
struct StartFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Random values that live as long as the process.
enum Secret {
    static func make() -> String { hexadecimal(bytes: 32) }

    /// Tells this run of the process from others, in client identifiers that the broker assigns.
    static func makeInstanceID() -> String { hexadecimal(bytes: 8) }

    private static func hexadecimal(bytes: Int) -> String {
        var random = SystemRandomNumberGenerator()
        return (0..<bytes).map { _ in
            let byte = UInt8.random(in: .min ... .max, using: &random)
            return (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}

/// Folders that a node makes for its own files.
enum Folder {
    static func make(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw StartFailure("\(path) cannot be made: \(error.localizedDescription). May this user write there?")
        }
    }

    static func make(forFile path: String) throws {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
        try make(String(path[..<slash]))
    }
}

extension MosquittoConfiguration {
    /// A connection to a broker of the configuration.
    static func make(_ broker: AttachedBrokerConfiguration, clientID: String) throws -> MosquittoConfiguration {
        var configuration = MosquittoConfiguration(
            host: broker.address.host,
            port: UInt16(clamping: broker.address.port),
            clientID: clientID
        )
        configuration.username = broker.username
        configuration.password = try broker.passwordFile.map { try SecretFile.read($0) }
        if broker.address.usesTLS {
            configuration.tls = try MosquittoTLSContext(
                options: MosquittoTLSOptions(broker.tls),
                host: broker.address.host
            )
        }
        return configuration
    }
}

extension MosquittoTLSOptions {
    init(_ tls: ClientTLS?) {
        self.init(cafile: tls?.authorityFile, certfile: tls?.certificateFile, keyfile: tls?.keyFile)
        insecure = tls?.skipsHostNameCheck ?? false
    }
}

/// A file that holds one secret: a password, a key. White space around it does not count.
enum SecretFile {
    static func read(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path), let text = String(data: data, encoding: .utf8)
        else { throw StartFailure("\(path) cannot be read") }
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !secret.isEmpty else { throw StartFailure("\(path) is empty") }
        return secret
    }
}
