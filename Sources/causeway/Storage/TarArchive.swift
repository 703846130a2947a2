import Foundation

/// Archives in the format of POSIX tar (ustar), as far as backups need it: regular files below one folder.
enum TarArchive {
    private static let blockBytes = 512
    private static let chunkBytes = 1 << 20
    /// The longest path: a prefix of 155 bytes, a slash, a name of 100.
    static let pathBytesMax = 256
    /// The largest file that eleven octal digits can say.
    static let fileBytesMax = 0o77777777777

    // MARK: - Writing

    /// Writes files of a folder into an archive that does not exist yet, readable for its owner only, and syncs it.
    static func write(_ files: [String], of folder: String, to path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]),
            let archive = FileHandle(forWritingAtPath: path)
        else { throw StartFailure("\(path) cannot be written") }
        defer { try? archive.close() }
        for name in files {
            let (_, bytes) = try copy("\(folder)/\(name)") { chunk, size in
                if let size { try archive.write(contentsOf: header(name, size)) }
                try archive.write(contentsOf: chunk)
            }
            try archive.write(contentsOf: Data(count: padding(bytes)))
        }
        try archive.write(contentsOf: Data(count: 2 * blockBytes))
        try archive.synchronize()
    }

    /// Reads a file in chunks; the first call says how large it is.
    private static func copy(_ path: String, _ body: (Data, Int?) throws -> Void) throws -> (Bool, Int) {
        guard let handle = FileHandle(forReadingAtPath: path) else { throw StartFailure("\(path) cannot be read") }
        defer { try? handle.close() }
        let size = Int(try handle.seekToEnd())
        try handle.seek(toOffset: 0)
        try body(Data(), size)
        var done = 0
        while done < size {
            guard let chunk = try handle.read(upToCount: min(chunkBytes, size - done)), !chunk.isEmpty else {
                throw StartFailure("\(path) became shorter while it was read")
            }
            try body(chunk, nil)
            done += chunk.count
        }
        return (true, size)
    }

    private static func header(_ name: String, _ bytes: Int) throws -> Data {
        guard name.utf8.count <= pathBytesMax, bytes <= fileBytesMax, let parts = split(name) else {
            throw StartFailure("\(name) does not fit into an archive; make the backup in a folder")
        }
        var block = Data(count: blockBytes)
        func put(_ text: String, _ offset: Int) {
            for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
        }
        func octal(_ number: Int, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(parts.name, 0)
        put(octal(0o600, 7), 100)
        put(octal(0, 7), 108)
        put(octal(0, 7), 116)
        put(octal(bytes, 11), 124)
        put(octal(Int(Date().timeIntervalSince1970), 11), 136)
        put("        ", 148)
        put("0", 156)
        put("ustar", 257)
        put("00", 263)
        put(parts.prefix, 345)
        put(octal(block.reduce(0) { $0 + Int($1) }, 6) + "\0 ", 148)
        return block
    }

    /// A path as prefix and name; nil if no slash is at the right place.
    private static func split(_ path: String) -> (prefix: String, name: String)? {
        if path.utf8.count <= 100 { return ("", path) }
        let bytes = Array(path.utf8)
        for index in bytes.indices where bytes[index] == UInt8(ascii: "/") && index <= 155 {
            if bytes.count - index - 1 <= 100 {
                return (
                    String(decoding: bytes[..<index], as: UTF8.self),
                    String(decoding: bytes[(index + 1)...], as: UTF8.self)
                )
            }
        }
        return nil
    }

    private static func padding(_ bytes: Int) -> Int { (blockBytes - bytes % blockBytes) % blockBytes }

    // MARK: - Reading

    /// Gives the files of an archive one after the other, each with its content in pieces: the first piece is empty.
    ///
    /// - Throws: What the body throws, and a ``StartFailure`` if the archive is not whole.
    static func read(_ path: String, _ body: (_ name: String, _ piece: Data) throws -> Void) throws {
        guard let archive = FileHandle(forReadingAtPath: path) else { throw StartFailure("\(path) cannot be read") }
        defer { try? archive.close() }
        let torn = StartFailure("\(path) is not a whole archive")
        while true {
            guard let block = try archive.read(upToCount: blockBytes), block.count == blockBytes else { throw torn }
            if block.allSatisfy({ $0 == 0 }) { return }
            guard let entry = Entry(block) else { throw torn }
            guard entry.isFile, BackupPath.isInside(entry.name) else {
                throw StartFailure("\(path) holds something that no backup does: \(entry.name)")
            }
            try body(entry.name, Data())
            var left = entry.bytes
            while left > 0 {
                guard let piece = try archive.read(upToCount: min(chunkBytes, left)), !piece.isEmpty else { throw torn }
                try body(entry.name, piece)
                left -= piece.count
            }
            let rest = padding(entry.bytes)
            let filler = rest == 0 ? Data() : try archive.read(upToCount: rest)
            guard filler?.count == rest, filler?.allSatisfy({ $0 == 0 }) == true else { throw torn }
        }
    }

    /// The header of a file.
    private struct Entry {
        var name: String
        var bytes: Int
        var isFile: Bool

        init?(_ data: Data) {
            let block = Array(data)
            func text(_ range: Range<Int>) -> String {
                String(decoding: block[range].prefix { $0 != 0 }, as: UTF8.self)
            }
            func octal(_ range: Range<Int>) -> Int? {
                Int(text(range).trimmingCharacters(in: .whitespaces), radix: 8)
            }
            var sum = block.reduce(0) { $0 + Int($1) }
            sum += block[148..<156].reduce(0) { $0 + 0x20 - Int($1) }
            guard octal(148..<156) == sum, let bytes = octal(124..<136), bytes >= 0 else { return nil }
            let prefix = text(345..<500)
            name = prefix.isEmpty ? text(0..<100) : "\(prefix)/\(text(0..<100))"
            self.bytes = bytes
            isFile = block[156] == UInt8(ascii: "0") || block[156] == 0
        }
    }
}
