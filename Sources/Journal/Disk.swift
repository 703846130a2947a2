/// What the journal asks of a disk. ``PosixDisk`` is the machine's own; tests use one in memory that loses power.
///
/// Every call may block and may be made from any thread.
public protocol Disk: Sendable {
    /// Makes the directory and those above it, with mode 0700. One that exists is fine.
    func createDirectory(_ path: String) throws(DiskError)
    /// The names of the directory's entries, in no particular order.
    func list(_ directory: String) throws(DiskError) -> [String]
    /// Opens a file for reading and writing. With `create` it is made (mode 0600) where it does not exist yet.
    func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile
    /// Renames a file, replacing what has the new name. Durable only after ``syncDirectory(_:)``.
    func rename(_ from: String, to: String) throws(DiskError)
    /// Removes a file. Durable only after ``syncDirectory(_:)``. Who has it open may still read it.
    func remove(_ path: String) throws(DiskError)
    /// Makes creations, renames and removals in the directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
    /// Takes the lock that keeps a second process out, for as long as the value lives. Never waits: a lock that is
    /// taken is an error with the code `EWOULDBLOCK`.
    func lock(_ path: String) throws(DiskError) -> any DiskLock
}

/// An open file. It is closed when the last reference to it goes.
public protocol DiskFile: AnyObject, Sendable {
    /// How many bytes the file has.
    func size() throws(DiskError) -> Int
    /// Makes the file at least this long and reserves the space for it, so that writes inside cannot fail for want of
    /// space (on file systems that overwrite in place).
    func allocate(_ bytes: Int) throws(DiskError)
    /// Writes some of the bytes, at least one, and returns how many.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Reads into the buffer and returns how many bytes there were; fewer than asked for only at the file's end.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Makes what was written durable (`fdatasync`).
    func sync() throws(DiskError)
}

/// A lock that is held while this value lives.
public protocol DiskLock: AnyObject, Sendable {}

/// A failed call to a ``Disk``.
public struct DiskError: Error, Sendable, Hashable {
    /// The call that failed, as the system names it: `pwrite`, `fdatasync`, `fallocate` and so on.
    public let operation: String
    /// The raw `errno`.
    public let code: Int32
    /// The file or directory.
    public let path: String

    /// Makes an error.
    public init(operation: String, code: Int32, path: String) {
        self.operation = operation
        self.code = code
        self.path = path
    }
}

extension DiskFile {
    /// Writes all the bytes.
    func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        var written = 0
        while written < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
            written += try write(rest, at: offset + written)
        }
    }

    /// Writes all the bytes.
    func writeAll(_ bytes: [UInt8], at offset: Int) throws(DiskError) {
        var failure: DiskError?
        bytes.withUnsafeBytes { raw in
            do throws(DiskError) { try writeAll(raw, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Reads up to `count` bytes.
    func readBytes(_ count: Int, at offset: Int) throws(DiskError) -> [UInt8] {
        var failure: DiskError?
        let bytes = [UInt8](unsafeUninitializedCapacity: max(count, 0)) { buffer, initialized in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            do throws(DiskError) { initialized = try read(into: raw, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}
