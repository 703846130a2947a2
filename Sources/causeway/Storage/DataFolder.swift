import Bridge
import Foundation

/// The journals below a node's data folder (`journal.path`): the main one, and one for each bridge's outbox.
struct DataFolder {
    /// One of its journals.
    struct Part {
        /// What it is for.
        enum Kind: Equatable {
            case main
            /// The outbox of the bridge with this name.
            case outbox(String)
        }

        let kind: Kind
        /// The journal's own directory.
        let directory: String

        /// The folder around an outbox's journal.
        var outboxFolder: String { (directory as NSString).deletingLastPathComponent }
    }

    /// The folder of the main journal within the data folder.
    static let journal = "journal"
    /// The folder of the outboxes, each named for its bridge.
    static let outboxes = "outbox"

    /// The main journal first.
    let parts: [Part]

    /// Finds them. A journal's own directory is taken too, and is then the only part.
    init(_ path: String) throws {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard Self.isDirectory(path) else { throw StartFailure("\(path) is not a folder") }
        var found: [Part] = []
        if Self.isDirectory("\(path)/\(Self.journal)") {
            let main = "\(path)/\(Self.journal)"
            if Self.isDirectory("\(path)/\(Self.outboxes)") || !Self.holdsState(path) {
                found.append(Part(kind: .main, directory: main))
            } else {
                found.append(Part(kind: .outbox(Self.name(path)), directory: main))
            }
            let bridges = (try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\(Self.outboxes)")) ?? []
            for name in bridges.sorted() {
                let directory = "\(path)/\(Self.outboxes)/\(name)/\(OutboxInspection.journalFolder)"
                if Self.isDirectory(directory) { found.append(Part(kind: .outbox(name), directory: directory)) }
            }
        } else {
            let parent = (path as NSString).deletingLastPathComponent
            let kind: Part.Kind = Self.holdsState(parent) ? .outbox(Self.name(parent)) : .main
            found.append(Part(kind: kind, directory: path))
        }
        parts = found
    }

    private static func name(_ path: String) -> String { (path as NSString).lastPathComponent }

    private static func holdsState(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(path)/\(OutboxInspection.stateFile)")
    }

    private static func isDirectory(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }
}
