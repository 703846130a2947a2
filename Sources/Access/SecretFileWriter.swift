internal import Foundation

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Writing files that hold secrets.
public enum SecretFileWriter {
    /// Replaces a file at once and for good: whoever reads it, also after a crash, finds the old text or the new one.
    /// Nobody but the owner may read it.
    ///
    /// - Throws: ``AccessError``.
    public static func write(_ text: String, to path: String) throws {
        // Beside it: a rename does not cross file systems. A link is followed, or the rename would replace it.
        let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        let temporary = "\(target).\(getpid()).\(UInt32.random(in: 0...UInt32.max)).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot be made", temporary) }
        do {
            defer { close(descriptor) }
            var bytes = Array(text.utf8)[...]
            while !bytes.isEmpty {
                let count = bytes.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else {
                    unlink(temporary)
                    throw failure("cannot be written", temporary)
                }
                bytes = bytes.dropFirst(count)
            }
            guard fsync(descriptor) == 0 else {
                unlink(temporary)
                throw failure("cannot be written", temporary)
            }
        }
        guard rename(temporary, target) == 0 else {
            unlink(temporary)
            throw failure("cannot be replaced", target)
        }
        let folder = open(URL(fileURLWithPath: target).deletingLastPathComponent().path, O_RDONLY | O_CLOEXEC)
        guard folder >= 0 else { return }
        fsync(folder)
        close(folder)
    }

    private static func failure(_ what: String, _ path: String) -> AccessError {
        let number = errno
        return AccessError(.writing, "\(path) \(what): \(String(cString: strerror(number)))")
    }
}

/// The system call, which the enum's own function would hide.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}
