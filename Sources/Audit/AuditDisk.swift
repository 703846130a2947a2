internal import Glibc

/// The calls that write, so that a test can have a disk that refuses.
public protocol AuditDisk: Sendable {
    /// Writes all bytes at an offset.
    /// - Returns: 0, or the system's error number.
    func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int) -> Int32
    /// Forces what was written to the disk.
    /// - Returns: 0, or the system's error number.
    func sync(_ descriptor: Int32) -> Int32
}

/// The machine's own.
public struct PosixAuditDisk: AuditDisk {
    /// Makes it.
    public init() {}

    /// Writes all bytes at an offset.
    public func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int) -> Int32 {
        var done = 0
        while done < bytes.count {
            guard let start = bytes.baseAddress else { return 0 }
            let count = pwrite(descriptor, start + done, bytes.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            done += count
        }
        return 0
    }

    /// Forces what was written to the disk.
    public func sync(_ descriptor: Int32) -> Int32 { fdatasync(descriptor) == 0 ? 0 : errno }
}

extension AuditError {
    /// The call's name, the file and the system's words.
    public var description: String {
        code == 0 ? "\(path): \(operation)" : "\(path): \(operation): \(String(cString: strerror(code)))"
    }
}
