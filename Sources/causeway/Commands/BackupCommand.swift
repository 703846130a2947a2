import ArgumentParser
import CausewayConfiguration
import Foundation
import Journal

/// `causeway backup`: a consistent copy of a data folder, also while the site runs.
struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy a site's data folder, also under load: journal, outboxes and what else stands there.",
        discussion: """
            The backup holds every message that was acknowledged before it was begun. It is read again before it counts, and \
            its manifest has the SHA-256 of every file. Configuration, certificates and keys are not in it. While it is made \
            the site lets no segment of its journal go, so the journal may grow meanwhile.

            --to is a folder that does not exist yet or, with a name that ends in .tar, an archive; while an archive is \
            made, there is room needed for a second copy beside it.
            """
    )

    @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration of the site.")
    var file: String?

    @Argument(help: "The data folder, instead of a configuration.")
    var directory: String?

    @Option(name: .customLong("to"), help: ArgumentHelp("Where the backup goes.", valueName: "folder or file.tar"))
    var target: String

    func validate() throws {
        guard (file == nil) != (directory == nil) else {
            throw ValidationError("Give either --config or a data folder.")
        }
    }

    func run() throws {
        try JournalCommand.attempt("backup") {
            let site = try file.map { try ConfigurationFile.site($0) }
            let source = Self.trimmed(directory ?? site?.journal.path ?? "")
            guard !FileManager.default.fileExists(atPath: target) else {
                throw StartFailure("\(target) is there already")
            }
            let keys = try site.flatMap { try EncryptionKeys.ring($0.journal) }
            let isArchive = target.hasSuffix(".tar")
            let folder = isArchive ? target + ".partial" : Self.trimmed(target)
            guard !FileManager.default.fileExists(atPath: folder) else {
                throw StartFailure("\(folder) is there: another backup is under way, or was cut off; remove it then")
            }
            let manifest: BackupManifest
            do {
                manifest = try Backup(source: source, target: folder, site: site?.site, keys: keys).make()
                if isArchive {
                    let names = [BackupManifest.fileName] + manifest.files.map(\.path)
                    try TarArchive.write(names, of: folder, to: folder + ".tar")
                    try FileManager.default.moveItem(atPath: folder + ".tar", toPath: target)
                    try FileManager.default.removeItem(atPath: folder)
                }
            } catch {
                try? FileManager.default.removeItem(atPath: folder)
                try? FileManager.default.removeItem(atPath: folder + ".tar")
                throw error
            }
            try report(manifest)
        }
    }

    private func report(_ manifest: BackupManifest) throws {
        let bytes = manifest.files.reduce(0) { $0 + $1.bytes }
        Output.line("\(target): \(SizeText.count(manifest.files.count, "file")), \(SizeText.bytes(bytes))")
        for journal in manifest.journals {
            let what = journal.bridge.map { "outbox of \($0)" } ?? "journal"
            let epoch = journal.epoch.map { ", epoch \($0)" } ?? ""
            Output.line("  \(what): records \(journal.first) to \(journal.last)\(epoch)")
        }
        Output.line("  manifest: \(Digest.data(try manifest.encode()))")
        let damage = manifest.journals.flatMap(\.damage)
        guard damage.isEmpty else {
            for line in damage { Output.problem(line) }
            Output.problem("\(target): the journal is damaged, and the backup holds what is left of it")
            throw ExitCode.failure
        }
    }

    static func trimmed(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }
}

/// `causeway restore`: puts a backup where a site can go on from it.
struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Restore a backup into an empty data folder, for a box that takes the place of another.",
        discussion: """
            Everything is verified before anything counts: the hash of every file, every checksum of the journals, and that \
            they hold what the manifest says. Then the epoch of each outbox grows: the cloud refuses the old box from the \
            moment the new one has connected, and the new one goes on where the old one had come.
            """
    )

    @Argument(help: "The backup: a folder or an archive.")
    var source: String

    @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration of the site to restore.")
    var file: String?

    @Option(name: .customLong("to"), help: "The data folder, instead of a configuration.")
    var target: String?

    @Option(
        name: .customLong("manifest"),
        help: ArgumentHelp("The manifest's hash, as the backup has printed it.", valueName: "sha-256")
    )
    var hash: String?

    func validate() throws {
        guard (file == nil) != (target == nil) else { throw ValidationError("Give either --config or --to.") }
    }

    func run() throws {
        try JournalCommand.attempt("restore") {
            let site = try file.map { try ConfigurationFile.site($0) }
            let folder = BackupCommand.trimmed(target ?? site?.journal.path ?? "")
            let restore = Restore(
                source: BackupCommand.trimmed(source),
                target: folder,
                expectedHash: hash,
                keys: try site.flatMap { try EncryptionKeys.ring($0.journal) }
            )
            let (manifest, epochs) = try restore.run()
            if let site, let name = manifest.site, name != site.site {
                Output.problem("mind: the backup is of site \(name), and the configuration is of \(site.site)")
            }
            Output.line("\(folder): as of \(manifest.made), every file and record verified")
            for journal in manifest.journals where journal.bridge == nil {
                Output.line("  journal: records \(journal.first) to \(journal.last)")
            }
            for epoch in epochs {
                Output.line("  outbox of \(epoch.bridge): epoch \(epoch.former) is now \(epoch.epoch)")
            }
        }
    }
}
