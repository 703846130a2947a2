/// A disk that stays as it is: what would change it does nothing and calls itself done. Recovery runs on it as on the
/// disk below and so tells what it would do, without doing it.
struct ReadOnlyDisk: Disk {
    /// Where reading goes to.
    let base: any Disk

    func createDirectory(_ path: String) throws(DiskError) {}
    func list(_ directory: String) throws(DiskError) -> [String] { try base.list(directory) }
    func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        // Who makes a file means to write it.
        create ? ReadOnlyFile(base: nil) : ReadOnlyFile(base: try base.open(path, create: false))
    }
    func rename(_ from: String, to: String) throws(DiskError) {}
    func remove(_ path: String) throws(DiskError) {}
    func syncDirectory(_ path: String) throws(DiskError) {}
    func lock(_ path: String) throws(DiskError) -> any DiskLock { NoLock() }

    private final class NoLock: DiskLock {}
}

/// A file of a ``ReadOnlyDisk``; one without a base is empty.
private final class ReadOnlyFile: DiskFile {
    private let base: (any DiskFile)?

    init(base: (any DiskFile)?) { self.base = base }

    func size() throws(DiskError) -> Int { try base?.size() ?? 0 }
    func allocate(_ bytes: Int) throws(DiskError) {}
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) -> Int { bytes.count }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try base?.read(into: buffer, at: offset) ?? 0
    }
    func sync() throws(DiskError) {}
}
