internal import Broker
internal import Glibc
internal import MosquittoClient

/// A small file that is replaced whole: written beside, synced, renamed, and its directory synced.
struct StateFile: Sendable {
    /// Where it is.
    let path: String
    /// Larger files are none of ours.
    private static let bytesMax = 1 << 20

    /// Replaces the content.
    func write(_ bytes: [UInt8], mode: mode_t = 0o600) throws(BridgeError) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure("open", temporary) }
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            guard written > 0 else {
                if written < 0, errno == EINTR { continue }
                let error = failure("write", temporary)
                close(descriptor)
                throw error
            }
            offset += written
        }
        guard fsync(descriptor) == 0 else {
            let error = failure("sync", temporary)
            close(descriptor)
            throw error
        }
        close(descriptor)
        guard rename(temporary, path) == 0 else { throw failure("rename", temporary) }
        let directory = open(Self.parent(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failure("open the directory of", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw failure("sync the directory of", path) }
    }

    /// The content, or nil if there is no file.
    func read() throws(BridgeError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("open", path)
        }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while content.count <= Self.bytesMax {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("read", path) }
            if count == 0 { return content }
            content.append(contentsOf: chunk.prefix(count))
        }
        throw BridgeError(.outbox, "\(path) is too large to be a state file")
    }

    /// Takes the file away, if it is there.
    func remove() { _ = unlink(path) }

    /// Makes a directory and those above it, for the owner only.
    static func makeDirectory(_ path: String) throws(BridgeError) {
        var status = stat()
        if stat(path, &status) == 0 { return }
        let parent = parent(of: path)
        if parent != path, parent != "/" { try makeDirectory(parent) }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw StateFile(path: path).failure("make the directory", path)
        }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private func failure(_ what: String, _ path: String) -> BridgeError {
        BridgeError(.outbox, "cannot \(what) \(path): \(String(cString: strerror(errno)))")
    }
}

/// What an outbox knows besides its records: a text file of `name value` lines with a checksum at the end.
struct OutboxState: Sendable, Hashable {
    /// The epoch of the sequences.
    var epoch: UInt64
    /// Everything up to it is confirmed by the other side.
    var confirmed: UInt64 = 0
    /// The last sequence that was committed here when this was written: sequences up to it may have been used.
    var used: UInt64 = 0
    /// The lane's position in the main journal.
    var source = MessageReference.zero
    /// What was taken over from another box, until it is known how far that one came.
    var takeover: Takeover?
    /// Sequences up to it were taken over and are stored under the epoch before; they are not sent again.
    var floor: UInt64 = 0

    /// The outbox of another box, restored from its backup.
    struct Takeover: Sendable, Hashable {
        /// The epoch of that box.
        var epoch: UInt64
        /// The last record of the restored outbox; those behind it are this box's own.
        var last: UInt64
        /// The last record of the restored main journal.
        var mainLast: UInt64
    }

    /// The file's text.
    func encode() -> [UInt8] {
        var body =
            "outbox 1\nepoch \(epoch)\nconfirmed \(confirmed)\nused \(used)\nsource \(source.record) \(source.index)\n"
        if let takeover { body += "takeover \(takeover.epoch) \(takeover.last) \(takeover.mainLast)\n" }
        if floor > 0 { body += "floor \(floor)\n" }
        return Array((body + "check \(Self.checksum(body))\n").utf8)
    }

    /// Reads the file; nil if it is damaged.
    init?(decoding bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let mark = text.range(of: "check ") else { return nil }
        let body = String(text[..<mark.lowerBound])
        guard
            text[mark.upperBound...].drop(while: { $0 == " " }).prefix(while: { $0 != "\n" })
                == "\(Self.checksum(body))"
        else { return nil }
        var values: [Substring: [UInt64]] = [:]
        for line in body.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let name = words.first else { continue }
            values[name] = words.dropFirst().compactMap { UInt64($0) }
        }
        guard values["outbox"] == [1], let epoch = values["epoch"]?.first, let confirmed = values["confirmed"]?.first,
            let used = values["used"]?.first, let source = values["source"], source.count == 2,
            let index = UInt16(exactly: source[1])
        else { return nil }
        self.init(epoch: epoch)
        self.confirmed = confirmed
        self.used = used
        self.source = MessageReference(record: source[0], index: index)
        floor = values["floor"]?.first ?? 0
        if let numbers = values["takeover"] {
            guard numbers.count == 3 else { return nil }
            takeover = Takeover(epoch: numbers[0], last: numbers[1], mainLast: numbers[2])
        }
    }

    init(epoch: UInt64) { self.epoch = epoch }

    private static func checksum(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}

extension String {
    /// Where a text stands for the first time, without Foundation.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
