import Bridge
import Broker
import Foundation
import Journal

/// Makes a backup of a data folder, also while a site runs there: a point of the main journal that holds everything
/// acknowledged before the backup was begun, and outboxes that have come at least that far.
struct Backup {
    /// How long a bridge may take to come as far as the main journal's copy.
    static let outboxWaitSeconds = 10.0

    /// The data folder.
    let source: String
    /// Where the files go; it must not exist, or be empty.
    let target: String
    /// The site's name, for the manifest.
    let site: String?
    /// The keys of an encrypted site. Without them the copy is checked by its checksums alone.
    let keys: KeyRing?

    /// Makes it, reads everything again to be sure, and returns what it holds.
    func make() throws -> BackupManifest {
        let parts = try DataFolder(source).parts
        guard let main = parts.first(where: { $0.kind == .main }) else {
            throw StartFailure("\(source) is not a data folder: it has no main journal")
        }
        try Folder.make(target)
        var last: [String: UInt64] = [:]
        let copied = try JournalCopy(from: main.directory, to: path(main.directory))
        last[main.directory] = copied.lastSequence
        for part in parts where part.kind != .main {
            waitForOutbox(part, copied.lastSequence)
            // The state before the journal: so it speaks of no record that is not there.
            try copyFile("\(part.outboxFolder)/\(OutboxInspection.stateFile)", isOptional: true)
            last[part.directory] = try JournalCopy(from: part.directory, to: path(part.directory)).lastSequence
        }
        for file in try otherFiles(parts) { try copyFile(file, isOptional: true) }
        let journals = try parts.map { part in
            let expected = last[part.directory] ?? 0
            return try verified(part, through: expected)
        }
        let manifest = BackupManifest(
            site: site,
            made: SizeText.moment(Int64(Date().timeIntervalSince1970 * 1_000)),
            journals: journals,
            files: try Self.files(below: target).map { name in
                let digest = try Digest.file("\(target)/\(name)")
                return BackupManifest.File(path: name, bytes: digest.bytes, sha256: digest.sha256)
            }
        )
        let file = URL(fileURLWithPath: "\(target)/\(BackupManifest.fileName)")
        try manifest.encode().write(to: file, options: .withoutOverwriting)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
        return manifest
    }

    /// The regular files below a folder, sorted, as paths from there.
    static func files(below folder: String) throws -> [String] {
        guard let walk = FileManager.default.enumerator(atPath: folder) else {
            throw StartFailure("\(folder) cannot be read")
        }
        var found: [String] = []
        while let name = walk.nextObject() as? String {
            if walk.fileAttributes?[.type] as? FileAttributeType == .typeRegular { found.append(name) }
        }
        return found.sorted()
    }

    // MARK: - Pieces

    /// A path of the source as one of the target.
    private func path(_ original: String) -> String { target + original.dropFirst(source.count) }

    /// A bridge is behind the journal by moments; what it has not taken over yet would be sent under other numbers.
    private func waitForOutbox(_ part: DataFolder.Part, _ sequence: UInt64) {
        let deadline = Date() + Self.outboxWaitSeconds
        let isOpen = (try? JournalInspection(directory: part.directory))?.isOpen ?? false
        guard isOpen else { return }
        while Date() < deadline {
            guard let outbox = try? OutboxView(part, keys), outbox.source.record < sequence else { return }
            Thread.sleep(forTimeInterval: 0.1)
        }
    }

    /// What stands in the data folder beside journals and outboxes' states: dead letters, an audit log, users.
    private func otherFiles(_ parts: [DataFolder.Part]) throws -> [String] {
        let journals = parts.map { String($0.directory.dropFirst(source.count + 1)) + "/" }
        let states = parts.filter { $0.kind != .main }.map {
            String($0.outboxFolder.dropFirst(source.count + 1)) + "/" + OutboxInspection.stateFile
        }
        let names = try Self.files(below: source).filter { name in
            !journals.contains { name.hasPrefix($0) } && !states.contains(name) && !name.hasSuffix(".tmp")
        }
        // An audit log's anchor before its lines: so it speaks of no record that is not there.
        let anchors = names.filter { $0.hasSuffix(".anchor") }
        return (anchors + names.filter { !$0.hasSuffix(".anchor") }).map { "\(source)/\($0)" }
    }

    private func copyFile(_ file: String, isOptional: Bool) throws {
        guard let data = FileManager.default.contents(atPath: file) else {
            // It may have gone since the folder was listed.
            if isOptional, !FileManager.default.fileExists(atPath: file) { return }
            throw StartFailure("\(file) cannot be read")
        }
        var content = data
        // A log that is being written ends with a whole line.
        if file.hasSuffix(".jsonl"), let end = data.lastIndex(of: UInt8(ascii: "\n")) { content = data[...end] }
        let copy = path(file)
        try Folder.make(forFile: copy)
        guard
            FileManager.default.createFile(atPath: copy, contents: content, attributes: [.posixPermissions: 0o600])
        else { throw StartFailure("\(copy) cannot be written") }
    }

    /// Opens the copy as a restart would, and compares.
    private func verified(_ part: DataFolder.Part, through last: UInt64) throws -> BackupManifest.Journal {
        let copy = path(part.directory)
        let found = try JournalInspection(directory: copy, keys: keys)
        let original = String(part.directory.dropFirst(source.count + 1))
        guard found.lastSequence == last else {
            throw StartFailure("the copy of \(original) ends at \(found.lastSequence) instead of \(last); try again")
        }
        var journal = BackupManifest.Journal(
            path: original,
            first: found.recovery.firstSequence,
            last: last,
            damage: JournalFinding.all(found).map(\.description)
        )
        if case .outbox(let bridge) = part.kind {
            journal.bridge = bridge
            let folder = (copy as NSString).deletingLastPathComponent
            journal.epoch = try OutboxInspection.state(of: folder)?.epoch
        }
        return journal
    }
}
