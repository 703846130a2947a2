import ArgumentParser
import CausewayConfiguration
import Foundation
import Journal

/// The keys that journals are encrypted with, as a configuration names them.
enum EncryptionKeys {
    /// The ring of a configuration; nil if its journal is not encrypted.
    static func ring(_ journal: JournalConfiguration) throws -> KeyRing? {
        guard let encryption = journal.encryption else { return nil }
        let (primary, retired) = try read(encryption)
        return KeyRing(primary: primary, retired: retired)
    }

    /// Reads the files, or the environment.
    static func read(_ encryption: EncryptionConfiguration) throws -> (primary: JournalKey, retired: [JournalKey]) {
        let primary: JournalKey
        switch encryption.source {
        case .file(let path): primary = try key(path)
        case .environment(let name):
            let text = ProcessInfo.processInfo.environment[name] ?? ""
            guard let key = JournalKey(Array(text.utf8)) else {
                throw StartFailure("the environment variable \(name) holds no key of \(form)")
            }
            primary = key
        }
        return (primary, try encryption.retiredKeyFiles.map { try key($0) })
    }

    /// Reads one file.
    static func key(_ path: String) throws -> JournalKey {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw StartFailure("\(path) cannot be read")
        }
        guard let key = JournalKey(Array(data)) else { throw StartFailure("\(path) holds no key of \(form)") }
        return key
    }

    private static let form = "\(JournalKey.byteCount) bytes, as they are or in hexadecimal or base 64"
}

/// Where a command finds the keys of an encrypted journal.
struct KeyOptions: ParsableArguments {
    @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration, for the keys of its journal.")
    var configuration: String?

    @Option(
        name: .customLong("keyfile"),
        help: ArgumentHelp("A file with a key; may be given several times.", valueName: "file")
    )
    var files: [String] = []

    /// The keys; nil if none were given.
    func ring() throws -> KeyRing? {
        var keys = try files.map { try EncryptionKeys.key($0) }
        if let configuration {
            let encryption =
                switch ConfigurationFile.kind(configuration) {
                case .site: try ConfigurationFile.site(configuration).journal.encryption
                case .cloud: try ConfigurationFile.cloud(configuration).journal.encryption
                }
            if let encryption {
                let (primary, retired) = try EncryptionKeys.read(encryption)
                keys += [primary] + retired
            }
        }
        return keys.first.map { KeyRing(primary: $0, retired: Array(keys.dropFirst())) }
    }
}
