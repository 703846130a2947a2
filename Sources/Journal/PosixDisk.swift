#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The machine's own file system.
public struct PosixDisk: Disk {
    private let isReadOnly: Bool

    /// Makes it.
    public init() { self.init(isReadOnly: false) }

    /// With `isReadOnly`, files are opened for reading only: for others' folders, and file systems that allow no more.
    init(isReadOnly: Bool) { self.isReadOnly = isReadOnly }

    /// Makes the directory and those above it, and their names durable: else a power cut after the first start could
    /// take the whole journal with it.
    public func createDirectory(_ path: String) throws(DiskError) {
        var trimmed = path[...]
        while trimmed.count > 1, trimmed.last == "/" { trimmed.removeLast() }
        let path = String(trimmed)
        var parent = "."
        if let slash = path.lastIndex(of: "/") { parent = slash == path.startIndex ? "/" : String(path[..<slash]) }
        if mkdir(path, 0o700) != 0 {
            let code = errno
            if code == EEXIST { return }
            guard code == ENOENT, parent != ".", parent != "/" else {
                throw DiskError(operation: "mkdir", code: code, path: path)
            }
            try createDirectory(parent)
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw DiskError(operation: "mkdir", code: errno, path: path)
            }
        }
        try syncDirectory(parent)
    }

    /// The names in a directory, without `.` and `..`.
    public func list(_ directory: String) throws(DiskError) -> [String] {
        guard let stream = opendir(directory) else {
            throw DiskError(operation: "opendir", code: errno, path: directory)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw DiskError(operation: "readdir", code: errno, path: directory) }
                return names
            }
            let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    /// Opens a file.
    public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        let access = isReadOnly ? O_RDONLY : O_RDWR
        let descriptor = try Self.descriptor(path, access | O_CLOEXEC | (create ? O_CREAT : 0))
        return PosixFile(descriptor: descriptor, path: path)
    }

    /// Renames a file.
    public func rename(_ from: String, to: String) throws(DiskError) {
        #if canImport(Glibc)
        let result = Glibc.rename(from, to)
        #else
        let result = Musl.rename(from, to)
        #endif
        guard result == 0 else { throw DiskError(operation: "rename", code: errno, path: from) }
    }

    /// Removes a file.
    public func remove(_ path: String) throws(DiskError) {
        guard unlink(path) == 0 else { throw DiskError(operation: "unlink", code: errno, path: path) }
    }

    /// Syncs a directory.
    public func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = try Self.descriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw DiskError(operation: "fsync", code: errno, path: path) }
    }

    /// Takes the lock, with `flock`: the kernel frees it with the process, however that ends.
    public func lock(_ path: String) throws(DiskError) -> any DiskLock {
        let descriptor = try Self.descriptor(path, O_RDWR | O_CREAT | O_CLOEXEC)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            throw DiskError(operation: "flock", code: code, path: path)
        }
        return PosixLock(descriptor: descriptor)
    }

    /// Takes a lock that others may share; ``lock(_:)`` is refused as long as anybody has it. Waits for one that is
    /// taken, which is for moments only.
    static func share(_ path: String) throws(DiskError) -> any DiskLock {
        let descriptor = try descriptor(path, O_RDWR | O_CREAT | O_CLOEXEC)
        while flock(descriptor, LOCK_SH) != 0 {
            let code = errno
            if code == EINTR { continue }
            close(descriptor)
            throw DiskError(operation: "flock", code: code, path: path)
        }
        return PosixLock(descriptor: descriptor)
    }

    /// Whether another process, or another journal of this one, holds the lock. Takes nothing for longer than the call.
    static func isLocked(_ path: String) -> Bool {
        guard let descriptor = try? descriptor(path, O_RDONLY | O_CLOEXEC) else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    private static func descriptor(_ path: String, _ flags: Int32) throws(DiskError) -> Int32 {
        while true {
            #if canImport(Glibc)
            let descriptor = Glibc.open(path, flags, 0o600)
            #else
            let descriptor = Musl.open(path, flags, 0o600)
            #endif
            if descriptor >= 0 { return descriptor }
            if errno != EINTR { throw DiskError(operation: "open", code: errno, path: path) }
        }
    }
}

/// A file descriptor and the name it was opened by.
final class PosixFile: DiskFile {
    private let descriptor: Int32
    private let path: String

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    func size() throws(DiskError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failed("fstat", errno) }
        return Int(status.st_size)
    }

    func allocate(_ bytes: Int) throws(DiskError) {
        // The C library writes into every block itself where the file system cannot reserve.
        var code = posix_fallocate(descriptor, 0, off_t(bytes))
        while code == EINTR { code = posix_fallocate(descriptor, 0, off_t(bytes)) }
        guard code == 0 else { throw failed("fallocate", code) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        while true {
            let count = pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
            if count > 0 || (count == 0 && bytes.isEmpty) { return count }
            if count == 0 { throw failed("pwrite", EIO) }
            if errno != EINTR { throw failed("pwrite", errno) }
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count == 0 { break }
            if count > 0 { done += count } else if errno != EINTR { throw failed("pread", errno) }
        }
        return done
    }

    func sync() throws(DiskError) {
        // Only an interrupted call is made again. After any other error the kernel may have dropped the dirty pages
        // and would call the next sync a success: the caller must not come back.
        while fdatasync(descriptor) != 0 {
            if errno != EINTR { throw failed("fdatasync", errno) }
        }
    }

    private func failed(_ operation: String, _ code: Int32) -> DiskError {
        DiskError(operation: operation, code: code, path: path)
    }
}

/// Holds the descriptor that carries an `flock`.
final class PosixLock: DiskLock {
    private let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}
