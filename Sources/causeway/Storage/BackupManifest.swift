import Foundation

/// What a backup holds: the first file of it, `manifest.json`.
struct BackupManifest: Codable, Equatable {
    /// The name of the file.
    static let fileName = "manifest.json"
    /// The version this program writes, and the newest it reads.
    static let currentVersion = 1
    /// Larger manifests are none of ours.
    static let bytesMax = 64 << 20

    /// A file of the backup.
    struct File: Codable, Equatable {
        /// Its path below the data folder.
        var path: String
        /// Its size.
        var bytes: Int
        /// SHA-256 of its content, hexadecimal.
        var sha256: String
    }

    /// A journal of the backup: what has to come out when it is opened.
    struct Journal: Codable, Equatable {
        /// Its folder below the data folder.
        var path: String
        /// The bridge, of an outbox.
        var bridge: String?
        /// The oldest record.
        var first: UInt64
        /// The last record.
        var last: UInt64
        /// The epoch of an outbox.
        var epoch: UInt64?
        /// What was damaged in it when the backup was made.
        var damage: [String]
    }

    /// The format's version.
    var version = Self.currentVersion
    /// The site, where a configuration was given.
    var site: String?
    /// When it was made, ISO 8601.
    var made: String
    /// The journals, the main one first.
    var journals: [Journal]
    /// Every file, in order of path.
    var files: [File]

    /// The bytes of the file.
    func encode() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return try encoder.encode(self)
    }

    /// Reads a manifest.
    init(decoding data: Data) throws {
        do {
            self = try JSONDecoder().decode(BackupManifest.self, from: data)
        } catch {
            throw StartFailure("the backup's manifest cannot be read: it is not as it was written")
        }
        guard version <= Self.currentVersion else {
            throw StartFailure("the backup is of version \(version); this program reads up to \(Self.currentVersion)")
        }
        let isInside =
            files.allSatisfy { BackupPath.isInside($0.path) } && journals.allSatisfy { BackupPath.isInside($0.path) }
        guard isInside else { throw StartFailure("the backup's manifest names files outside of the data folder") }
    }

    init(site: String?, made: String, journals: [Journal], files: [File]) {
        self.site = site
        self.made = made
        self.journals = journals
        self.files = files
    }
}

/// Paths within a backup.
enum BackupPath {
    /// Whether a path stays below the folder that it counts from.
    static func isInside(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return !path.hasPrefix("/") && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }
}
