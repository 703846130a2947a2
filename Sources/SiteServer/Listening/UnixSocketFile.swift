internal import Foundation
internal import Glibc

/// A Unix socket in the file system: bound with its permissions from the first moment on, and removed if it is still
/// ours.
struct UnixSocketFile: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let path: String
    /// The bound socket.
    let descriptor: CInt
    private let number: FileNumber

    /// Binds it. A file that nobody listens on is replaced. Blocks on the disk: never on a loop.
    init(_ socket: SiteServerConfiguration.UnixSocket) throws(Failure) {
        path = socket.path
        guard !path.isEmpty, path.utf8.count <= SiteServerConfiguration.UnixSocket.pathBytesMax, !path.utf8.contains(0)
        else {
            throw Failure(
                description: "the path has no or more than \(SiteServerConfiguration.UnixSocket.pathBytesMax) bytes"
            )
        }
        try Self.removeStale(path)
        let made = Glibc.socket(AF_UNIX, Self.kind, 0)
        guard made >= 0 else { throw Self.failure("a socket") }
        // Linux gives the file the socket's own permissions, so that there is no moment at which others may connect.
        let mode = mode_t(socket.mode & 0o777)
        guard fchmod(made, mode) == 0, Self.call(path, { Glibc.bind(made, $0, $1) }) == 0, chmod(path, mode) == 0 else {
            let error = Self.failure(path)
            Glibc.close(made)
            throw error
        }
        guard let number = FileNumber(path) else {
            Glibc.close(made)
            throw Failure(description: "\(path) is gone as soon as it is made")
        }
        descriptor = made
        self.number = number
    }

    /// Removes the file, unless somebody has put another one in its place.
    func remove() {
        if FileNumber(path) == number { unlink(path) }
    }

    /// Which file lies at a path.
    private struct FileNumber: Sendable, Equatable {
        let device: Int
        let number: Int

        /// Nil if there is none.
        init?(_ path: String) {
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
                let device = attributes[.systemNumber] as? Int, let number = attributes[.systemFileNumber] as? Int
            else { return nil }
            self.device = device
            self.number = number
        }
    }

    // MARK: -

    private static let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)

    private static func removeStale(_ path: String) throws(Failure) {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return }
        guard attributes[.type] as? FileAttributeType == .typeSocket else {
            throw Failure(description: "there is a file at \(path) that is no socket")
        }
        let probe = Glibc.socket(AF_UNIX, kind, 0)
        guard probe >= 0 else { throw failure("a socket") }
        defer { Glibc.close(probe) }
        guard call(path, { Glibc.connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED else {
            throw Failure(description: "somebody listens on \(path)")
        }
        guard unlink(path) == 0 else { throw failure(path) }
    }

    private static func call(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func failure(_ what: String) -> Failure {
        Failure(description: "\(what): \(String(cString: strerror(errno)))")
    }
}
