/// Small files that are there whole or not at all.
enum AtomicFile {
    static func write(
        _ bytes: [UInt8],
        named name: String,
        _ configuration: Journal.Configuration,
        _ disk: any Disk
    ) throws(DiskError) {
        let temporary = configuration.path(name + FileName.temporarySuffix)
        do throws(DiskError) {
            let file = try disk.open(temporary, create: true)
            try file.writeAll(bytes, at: 0)
            try file.sync()
            try disk.rename(temporary, to: configuration.path(name))
            try disk.syncDirectory(configuration.directory)
        } catch {
            try? disk.remove(temporary)
            throw error
        }
    }
}
