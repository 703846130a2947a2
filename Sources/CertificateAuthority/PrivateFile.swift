internal import Glibc

/// Writing a file that others must not see, at once or not at all.
enum PrivateFile {
    /// The largest PEM file that is read.
    static let bytesMax = 1 << 20

    /// Fails if one of the files is there and may not be replaced, before anything is written.
    static func refuseExisting(_ paths: [String], replacing: Bool) throws(CertificateAuthorityError) {
        guard !replacing else { return }
        for path in paths where access(path, F_OK) == 0 {
            throw CertificateAuthorityError(.alreadyExists, "\(path) is there already")
        }
    }

    /// Writes a file beside its place, with the mode it will have, and moves it there.
    static func write(
        _ text: String,
        to path: String,
        mode: mode_t,
        replacing: Bool
    ) throws(CertificateAuthorityError) {
        let folder = parent(of: path)
        try makeFolder(folder)
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0...UInt32.max)).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw failure("\(temporary) cannot be made") }
        var isPlaced = false
        defer { if !isPlaced { unlink(temporary) } }
        do throws(CertificateAuthorityError) {
            // The mode of `open` is narrowed by the umask only; this makes it exact.
            guard fchmod(descriptor, mode) == 0 else { throw failure("\(temporary): its mode cannot be set") }
            try writeAll(Array(text.utf8), to: descriptor, path: temporary)
            guard fsync(descriptor) == 0 else { throw failure("\(temporary) cannot be written to the disk") }
        } catch {
            close(descriptor)
            throw error
        }
        guard close(descriptor) == 0 else { throw failure("\(temporary) cannot be closed") }
        if replacing {
            guard rename(temporary, path) == 0 else { throw failure("\(path) cannot be replaced") }
            isPlaced = true
        } else {
            // A hard link never replaces what is there, even if it came there a moment ago.
            guard link(temporary, path) == 0 else {
                if errno == EEXIST { throw CertificateAuthorityError(.alreadyExists, "\(path) is there already") }
                throw failure("\(path) cannot be made")
            }
        }
        syncFolder(folder)
    }

    /// Reads a PEM file.
    static func read(_ path: String) throws(CertificateAuthorityError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("\(path) cannot be read", .unreadable) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count >= 0 else { throw failure("\(path) cannot be read", .unreadable) }
            guard count > 0 else { break }
            bytes += chunk.prefix(count)
            guard bytes.count <= bytesMax else {
                throw CertificateAuthorityError(.unreadable, "\(path) is larger than \(bytesMax >> 20) MiB")
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func writeAll(
        _ bytes: [UInt8],
        to descriptor: Int32,
        path: String
    ) throws(CertificateAuthorityError) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { throw failure("\(path) cannot be written") }
            offset += count
        }
    }

    private static func makeFolder(_ path: String) throws(CertificateAuthorityError) {
        guard access(path, F_OK) != 0 else { return }
        try makeFolder(parent(of: path))
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw failure("the folder \(path) cannot be made") }
    }

    private static func syncFolder(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        // Some file systems cannot sync a folder; the file itself is on the disk by now.
        fsync(descriptor)
        close(descriptor)
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func failure(
        _ message: String,
        _ code: CertificateAuthorityError.Code = .disk
    ) -> CertificateAuthorityError {
        CertificateAuthorityError(code, message, cause: String(cString: strerror(errno)))
    }
}
