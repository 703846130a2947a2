import Bridge
import Foundation
import Journal

/// Restores a backup into a data folder that is empty, and makes it this box's own.
struct Restore {
    /// The backup: a folder or an archive.
    let source: String
    /// The data folder; it must not exist, or be empty.
    let target: String
    /// What the manifest's hash must be, if somebody kept it.
    let expectedHash: String?
    /// The keys of an encrypted site. Without them the copy is checked by its checksums alone.
    let keys: KeyRing?

    /// What was done to an outbox.
    struct Epoch {
        var bridge: String
        var former: UInt64
        var epoch: UInt64
    }

    /// Restores and verifies everything beside the target, and puts it there at the end: there is nothing before, or
    /// all of it.
    func run() throws -> (manifest: BackupManifest, epochs: [Epoch]) {
        try checkTarget()
        let staging = target + ".restoring"
        guard !FileManager.default.fileExists(atPath: staging) else {
            throw StartFailure("\(staging) is there: another restore is under way, or was cut off; remove it then")
        }
        do {
            try Folder.make(staging)
            try extract(to: staging)
            let manifest = try verify(staging)
            let epochs = try takeOver(staging, manifest)
            try? FileManager.default.removeItem(atPath: "\(staging)/\(BackupManifest.fileName)")
            try syncAll(staging)
            // An empty folder is in the way of a rename.
            if FileManager.default.fileExists(atPath: target) { try FileManager.default.removeItem(atPath: target) }
            try FileManager.default.moveItem(atPath: staging, toPath: target)
            try sync((target as NSString).deletingLastPathComponent)
            return (manifest, epochs)
        } catch {
            try? FileManager.default.removeItem(atPath: staging)
            throw error
        }
    }

    private func checkTarget() throws {
        guard FileManager.default.fileExists(atPath: target) else {
            return try Folder.make((target as NSString).deletingLastPathComponent)
        }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: target) else {
            throw StartFailure("\(target) is not a folder that can be read")
        }
        guard names.isEmpty else {
            throw StartFailure("\(target) is not empty: what is there would be lost. Move it away first")
        }
    }

    // MARK: - Files

    private func extract(to staging: String) throws {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory) else {
            throw StartFailure("there is no backup at \(source)")
        }
        if isDirectory.boolValue {
            for name in try Backup.files(below: source) {
                let file = "\(staging)/\(name)"
                try Folder.make(forFile: file)
                try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: file)
            }
            return
        }
        var open: (name: String, handle: FileHandle)?
        defer { try? open?.handle.close() }
        try TarArchive.read(source) { name, piece in
            if open?.name != name {
                try open?.handle.close()
                let file = "\(staging)/\(name)"
                try Folder.make(forFile: file)
                guard
                    FileManager.default.createFile(atPath: file, contents: nil, attributes: [.posixPermissions: 0o600]),
                    let handle = FileHandle(forWritingAtPath: file)
                else { throw StartFailure("\(file) cannot be written") }
                open = (name, handle)
            }
            try open?.handle.write(contentsOf: piece)
        }
    }

    // MARK: - Verification

    /// Every file is as the manifest says, there is no other, and the journals open with what they must hold.
    private func verify(_ staging: String) throws -> BackupManifest {
        guard let data = FileManager.default.contents(atPath: "\(staging)/\(BackupManifest.fileName)"),
            data.count <= BackupManifest.bytesMax
        else { throw StartFailure("\(source) has no manifest: it is no backup, or not a whole one") }
        if let expectedHash, Digest.data(data) != expectedHash.lowercased() {
            throw StartFailure("the backup's manifest is another one than the hash that was given speaks of")
        }
        let manifest = try BackupManifest(decoding: data)
        let names = try Backup.files(below: staging).filter { $0 != BackupManifest.fileName }
        let expected = Dictionary(manifest.files.map { ($0.path, $0) }) { first, _ in first }
        if let extra = names.first(where: { expected[$0] == nil }) {
            throw StartFailure("\(extra) stands in the backup and not in its manifest")
        }
        for file in manifest.files {
            guard names.contains(file.path) else { throw StartFailure("\(file.path) is missing from the backup") }
            let found = try Digest.file("\(staging)/\(file.path)")
            guard found.bytes == file.bytes, found.sha256 == file.sha256 else {
                throw StartFailure("\(file.path) is not as it was backed up: its hash is another one")
            }
        }
        for journal in manifest.journals {
            let found = try JournalInspection(directory: "\(staging)/\(journal.path)", keys: keys)
            guard found.recovery.firstSequence == journal.first, found.lastSequence == journal.last,
                JournalFinding.all(found).map(\.description) == journal.damage
            else { throw StartFailure("\(journal.path) does not hold what the manifest says") }
        }
        return manifest
    }

    // MARK: - Taking over

    private func takeOver(_ staging: String, _ manifest: BackupManifest) throws -> [Epoch] {
        guard let main = manifest.journals.first(where: { $0.bridge == nil }) else {
            throw StartFailure("the backup has no main journal")
        }
        return try manifest.journals.compactMap { journal in
            guard let bridge = journal.bridge else { return nil }
            let folder = ("\(staging)/\(journal.path)" as NSString).deletingLastPathComponent
            let epochs = try OutboxInspection.takeOver(folder, last: journal.last, mainLast: main.last)
            return epochs.map { Epoch(bridge: bridge, former: $0.former, epoch: $0.epoch) }
        }
    }

    // MARK: - Durability

    private func syncAll(_ folder: String) throws {
        for name in try Backup.files(below: folder) { try sync("\(folder)/\(name)") }
        guard let walk = FileManager.default.enumerator(atPath: folder) else { return }
        while let name = walk.nextObject() as? String {
            if walk.fileAttributes?[.type] as? FileAttributeType == .typeDirectory { try sync("\(folder)/\(name)") }
        }
        try sync(folder)
    }

    private func sync(_ path: String) throws {
        let descriptor = open(path.isEmpty ? "." : path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StartFailure("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw StartFailure("\(path): \(String(cString: strerror(errno)))") }
    }
}
