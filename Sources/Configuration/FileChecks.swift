internal import Glibc

/// Looks whether the files a configuration names are there, readable, and, where they hold secrets, closed to others.
///
/// The second step of `causeway check`, apart from reading the configuration: the same text may be right while the
/// machine it is checked on lacks the files.
public enum FileChecks {
    /// The largest certificate, key or password file that is looked into.
    public static let bytesMax = 16 << 20

    /// Checks every file. Blocks on the disk.
    ///
    /// - Parameters:
    ///   - references: `fileReferences` of a configuration.
    ///   - file: The configuration file, for the messages.
    /// - Returns: What is wrong, in the order of the file.
    public static func check(_ references: [FileReference], file: String) -> [ConfigurationProblem] {
        let sorted = references.sorted { $0.position < $1.position }
        return sorted.flatMap { reference in
            findings(reference).map { finding in
                ConfigurationProblem(
                    severity: finding.severity,
                    file: file,
                    position: reference.position,
                    path: reference.setting,
                    message: finding.message,
                    hint: finding.hint,
                    purpose: reference.purpose
                )
            }
        }
    }

    private struct Finding {
        var severity = ConfigurationProblem.Severity.error
        var message: String
        var hint: String?
    }

    private static func findings(_ reference: FileReference) -> [Finding] {
        switch reference.purpose {
        case .folder: folder(reference.path)
        case .database: folder(parent(of: reference.path))
        case .readable: readable(reference.path)
        case .certificates: readable(reference.path) + certificates(reference.path)
        case .privateKey:
            readable(reference.path) + holds("PRIVATE KEY-----", in: reference.path) + closed(reference.path)
        case .secret: readable(reference.path) + closed(reference.path)
        }
    }

    private static func readable(_ path: String) -> [Finding] {
        guard let status = status(of: path) else {
            return [
                Finding(
                    message: "\(path): \(reason(errno))",
                    hint: "relative paths count from the configuration file's folder"
                )
            ]
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            return [Finding(message: "\(path) is not a file")]
        }
        guard access(path, R_OK) == 0 else {
            return [Finding(message: "\(path): \(reason(errno))", hint: "let the user that runs causeway read it")]
        }
        guard status.st_size > 0 else { return [Finding(message: "\(path) is empty")] }
        return []
    }

    /// Others who can read a secret may be meant (a group of administrators), others who can write it never are.
    private static func closed(_ path: String) -> [Finding] {
        guard let status = status(of: path), status.st_mode & S_IFMT == S_IFREG else { return [] }
        let mode = status.st_mode & 0o777
        let octal = String(mode, radix: 8)
        if mode & 0o007 != 0 {
            return [Finding(message: "\(path) is open to everybody (mode \(octal))", hint: "chmod 600 \(path)")]
        }
        if mode & 0o020 != 0 {
            return [Finding(message: "\(path) can be changed by its group (mode \(octal))", hint: "chmod 600 \(path)")]
        }
        return []
    }

    private static func certificates(_ path: String) -> [Finding] {
        guard let content = content(of: path), !content.isEmpty else { return [] }
        return CertificateText.problem(in: content).map { problem in
            [Finding(message: "\(path) \(problem.message)", hint: problem.hint)]
        } ?? []
    }

    private static func holds(_ marker: String, in path: String) -> [Finding] {
        guard let content = content(of: path), !content.isEmpty else { return [] }
        guard String(decoding: content, as: UTF8.self).contains(marker) else {
            return [
                Finding(message: "\(path) holds no private key in PEM", hint: "it should have a line with \(marker)")
            ]
        }
        return []
    }

    private static func folder(_ path: String) -> [Finding] {
        guard let status = status(of: path) else {
            guard errno == ENOENT else { return [Finding(message: "\(path): \(reason(errno))")] }
            // It will be made: what matters is the nearest folder that is there.
            var above = parent(of: path)
            while !exists(above), above != "/", above != "." { above = parent(of: above) }
            guard access(above, W_OK) == 0 else {
                return [Finding(message: "\(path) cannot be made in \(above): \(reason(errno))")]
            }
            return []
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return [Finding(message: "\(path) is not a folder")] }
        guard access(path, W_OK | X_OK) == 0 else {
            return [Finding(message: "\(path): \(reason(errno))", hint: "let the user that runs causeway write there")]
        }
        return []
    }

    private static func parent(of path: String) -> String {
        var path = path[...]
        while path.count > 1, path.last == "/" { path = path.dropLast() }
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func status(of path: String) -> stat? {
        var status = stat()
        return stat(path, &status) == 0 ? status : nil
    }

    private static func content(of path: String) -> [UInt8]? {
        guard let status = status(of: path), status.st_mode & S_IFMT == S_IFREG, status.st_size <= bytesMax else {
            return nil
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= bytesMax {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk.prefix(count)
        }
        return bytes
    }

    private static func reason(_ code: Int32) -> String {
        switch code {
        case ENOENT: "there is no such file"
        case EACCES: "it may not be read by this user"
        default: String(cString: strerror(code))
        }
    }
}
