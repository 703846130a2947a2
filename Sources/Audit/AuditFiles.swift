internal import Glibc

/// Files of a log, by their names.
enum AuditFiles {
    static let prefix = "audit-"
    static let suffix = ".jsonl"
    static let anchor = "audit.anchor"
    /// The largest file that is read whole, for a verification or at start.
    static let readBytesMax = 4 << 30

    /// The name of the file whose first record has this number: names in order are files in order.
    static func name(first number: UInt64) -> String {
        let digits = String(number)
        return prefix + String(repeating: "0", count: max(0, 16 - digits.count)) + digits + suffix
    }

    /// The first record's number that a name speaks of.
    static func first(of name: String) -> UInt64? {
        guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return nil }
        return UInt64(name.dropFirst(prefix.count).dropLast(suffix.count))
    }

    static func isDirectory(_ path: String) -> Bool { mode(path).map { $0 & S_IFMT == S_IFDIR } ?? false }

    static func exists(_ path: String) -> Bool { mode(path) != nil }

    private static func mode(_ path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode : nil
    }

    static func lastComponent(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// When a file was last written to, in seconds since 1970.
    static func changedSeconds(_ path: String) -> Int64? {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_mtim.tv_sec) : nil
    }

    /// The record before a file's first.
    static func headBefore(_ path: String) throws(AuditError) -> AuditHead? {
        let bytes = try read(path)
        return bytes.prefix { $0 != 0x0A }.withUnsafeBytes { line in
            guard let place = AuditLine.place(of: line), place.number > 0 else { return nil }
            let previous = String(decoding: place.previous, as: UTF8.self)
            return AuditHead(number: place.number - 1, hash: previous)
        }
    }

    /// The names of a log's files, in their order.
    static func list(_ directory: String) throws(AuditError) -> [String] {
        guard let stream = opendir(directory) else { throw AuditError("opendir", directory, code: errno) }
        defer { closedir(stream) }
        var names: [(UInt64, String)] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let first = first(of: name) { names.append((first, name)) }
        }
        return names.sorted { $0 < $1 }.map(\.1)
    }

    /// Reads a whole file.
    static func read(_ path: String) throws(AuditError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AuditError("open", path, code: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw AuditError("stat", path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw AuditError("not a file", path, code: 0) }
        guard status.st_size <= readBytesMax else { throw AuditError("read", path, code: EFBIG) }
        let size = Int(status.st_size)
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size, let start = buffer.baseAddress {
                let read = Glibc.read(descriptor, start + count, size - count)
                if read < 0, errno == EINTR { continue }
                if read < 0 { failure = errno }
                if read <= 0 { break }
                count += read
            }
        }
        guard failure == 0 else { throw AuditError("read", path, code: failure) }
        return bytes
    }

    /// Writes a small file that is there whole or not at all, readable by its owner alone.
    static func replace(_ path: String, with bytes: [UInt8], disk: any AuditDisk) throws(AuditError) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw AuditError("open", temporary, code: errno) }
        var code = bytes.withUnsafeBytes { disk.write($0, to: descriptor, at: 0) }
        if code == 0 { code = disk.sync(descriptor) }
        close(descriptor)
        guard code == 0 else { throw AuditError("write", temporary, code: code) }
        guard rename(temporary, path) == 0 else { throw AuditError("rename", path, code: errno) }
    }

    /// Makes names in a directory durable.
    static func syncDirectory(_ directory: String) throws(AuditError) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AuditError("open", directory, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw AuditError("fsync", directory, code: errno) }
    }
}
