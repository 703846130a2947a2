internal import Glibc

/// Writes records into files: one chain through all of them. Confined to the log's thread, or to whoever opens it.
final class AuditFileWriter {
    let configuration: AuditConfiguration
    let hasher: AuditHasher
    let disk: any AuditDisk
    /// Holds the lock that keeps a second process out.
    private var directoryDescriptor: Int32

    /// The last record that is on the disk.
    private(set) var head: AuditHead
    private var descriptor: Int32 = -1
    private var name = ""
    private var byteCount = 0
    private var recordsInFile: UInt64 = 0
    private var begunMilliseconds: Int64 = 0
    /// Before the current one.
    private var previousFile = ""
    private var previousRecords: UInt64 = 0
    /// What is to be recorded of the state in which the log was found.
    private(set) var found: [AuditRecord] = []
    private(set) var reports: [AuditReport] = []

    /// Opens the log's directory, and goes on where the last process ended.
    init(_ configuration: AuditConfiguration, disk: any AuditDisk) throws(AuditError) {
        self.configuration = configuration
        self.disk = disk
        hasher = AuditHasher(key: configuration.key)
        head = .start
        directoryDescriptor = try Self.openDirectory(configuration.directory)
        if let key = configuration.key, key.count < AuditConfiguration.keyBytesMin {
            throw AuditError(
                "the key has fewer than \(AuditConfiguration.keyBytesMin) bytes",
                configuration.directory,
                code: 0
            )
        }
        try resume()
    }

    deinit { end() }

    /// Closes the file and lets the directory go.
    func end() {
        if descriptor >= 0 { close(descriptor) }
        if directoryDescriptor >= 0 { close(directoryDescriptor) }
        descriptor = -1
        directoryDescriptor = -1
    }

    private static func openDirectory(_ path: String) throws(AuditError) -> Int32 {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw AuditError("mkdir", path, code: errno) }
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AuditError("open", path, code: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            throw AuditError(code == EWOULDBLOCK ? "in use by another process" : "lock", path, code: code)
        }
        return descriptor
    }

    // MARK: - Writing

    /// Writes records and forces them to the disk. What has been written when it fails is told by ``head``.
    ///
    /// - Returns: How many of the records are on the disk, and why not all.
    func write(_ records: ArraySlice<AuditRecord>) -> (count: Int, failure: AuditError?) {
        var done = records.startIndex
        while done < records.endIndex {
            do throws(AuditError) {
                if descriptor < 0 || isFull(records[done].wallMilliseconds) { try beginFile(records[done]) }
                done += try append(records[done...])
            } catch {
                return (done - records.startIndex, error)
            }
        }
        return (records.count, nil)
    }

    private func isFull(_ now: Int64) -> Bool {
        byteCount >= configuration.fileBytesMax
            || now - begunMilliseconds > Int64(configuration.fileSecondsMax) * 1_000
    }

    /// Writes as many records as the file takes. Nothing counts as written before all of it is on the disk; a second
    /// try writes over what a first one left.
    private func append(_ records: ArraySlice<AuditRecord>) throws(AuditError) -> Int {
        var bytes: [UInt8] = []
        var next = head
        var count = 0
        for record in records {
            AuditLine.append(record, to: &bytes, head: &next, hasher: hasher)
            count += 1
            if byteCount + bytes.count >= configuration.fileBytesMax { break }
        }
        try put(bytes)
        recordsInFile += UInt64(count)
        head = next
        try writeAnchor()
        return count
    }

    private func put(_ bytes: [UInt8]) throws(AuditError) {
        let path = configuration.directory + "/" + name
        var code = bytes.withUnsafeBytes { disk.write($0, to: descriptor, at: byteCount) }
        if code != 0 {
            // Half a line is better gone; if this fails too, the next try writes over it.
            _ = ftruncate(descriptor, off_t(byteCount))
            throw AuditError("write", path, code: code)
        }
        if configuration.sync == .always { code = disk.sync(descriptor) }
        guard code == 0 else { throw AuditError("fdatasync", path, code: code) }
        byteCount += bytes.count
    }

    private func writeAnchor() throws(AuditError) {
        let path = configuration.directory + "/" + AuditFiles.anchor
        try AuditFiles.replace(path, with: AuditAnchor(head: head).bytes(hasher), disk: disk)
    }

    // MARK: - Files

    /// Begins a file with a record that names the one before.
    private func beginFile(_ cause: AuditRecord) throws(AuditError) {
        if descriptor >= 0 {
            close(descriptor)
            descriptor = -1
            previousFile = name
            previousRecords = recordsInFile
        }
        let newName = AuditFiles.name(first: head.number + 1)
        let path = configuration.directory + "/" + newName
        // The file can only hold what an earlier try left: its name speaks of a record that is not written yet.
        let opened = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard opened >= 0 else { throw AuditError("open", path, code: errno) }
        descriptor = opened
        name = newName
        byteCount = 0
        recordsInFile = 0
        begunMilliseconds = cause.wallMilliseconds
        var fields = [AuditRecord.Field("algorithm", hasher.algorithm)]
        if !previousFile.isEmpty {
            fields.append(AuditRecord.Field("previous_file", previousFile))
            fields.append(AuditRecord.Field("previous_records", "\(previousRecords)"))
        }
        var next = head
        var bytes: [UInt8] = []
        AuditLine.append(
            AuditRecord(AuditKind.opened, fields, wallMilliseconds: cause.wallMilliseconds),
            to: &bytes,
            head: &next,
            hasher: hasher
        )
        do throws(AuditError) {
            try put(bytes)
            try AuditFiles.syncDirectory(configuration.directory)
        } catch {
            close(descriptor)
            descriptor = -1
            throw error
        }
        head = next
        recordsInFile = 1
        try retire(now: cause.wallMilliseconds)
    }

    /// Deletes files whose time is over, and says so in the chain first: a beginning that is missing otherwise was
    /// taken by somebody else.
    private func retire(now: Int64) throws(AuditError) {
        guard let keepSeconds = configuration.keepSeconds else { return }
        let names = try AuditFiles.list(configuration.directory)
        for (old, next) in zip(names, names.dropFirst()) where old != name {
            let path = configuration.directory + "/" + old
            guard let changed = AuditFiles.changedSeconds(path), now / 1_000 - changed > Int64(keepSeconds) else {
                break
            }
            guard let last = try AuditFiles.headBefore(configuration.directory + "/" + next) else { break }
            let fields = [AuditRecord.Field("file", old), AuditRecord.Field("head", last.description)]
            _ = try append([AuditRecord(AuditKind.retired, fields, wallMilliseconds: now)])
            guard unlink(path) == 0 else { throw AuditError("unlink", path, code: errno) }
        }
    }

    // MARK: - Going on

    /// Finds the end of the chain. A log that is not as it was left is no reason not to write: the records go on, and
    /// say what was found.
    private func resume() throws(AuditError) {
        let names = try AuditFiles.list(configuration.directory)
        let anchor = try readAnchor()
        for file in names.reversed() {
            guard let end = try AuditFileEnd.find(configuration.directory + "/" + file, key: configuration.key) else {
                continue
            }
            try setAside(end, file)
            resume(end, file, anchor)
            return
        }
        if let anchor {
            head = anchor
            broke("the anchor has record \(anchor.number), but there is no file")
        } else if !names.isEmpty {
            broke("no file holds a record")
        }
    }

    private func resume(_ end: AuditFileEnd, _ file: String, _ anchor: AuditHead?) {
        head = end.head
        previousFile = file
        previousRecords = end.records
        if !end.fits { broke("the last record of \(file) was changed") }
        if let anchor, anchor.number > head.number {
            broke("the anchor has record \(anchor.number), but \(file) ends with \(head.number)")
            head = anchor
        } else if end.fits, end.isContinuable {
            let path = configuration.directory + "/" + file
            let opened = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
            // If it cannot be opened, the next record begins a new one.
            guard opened >= 0 else { return }
            descriptor = opened
            name = file
            byteCount = end.byteCount
            recordsInFile = end.records
            begunMilliseconds = end.begunMilliseconds
        }
    }

    private func readAnchor() throws(AuditError) -> AuditHead? {
        let path = configuration.directory + "/" + AuditFiles.anchor
        guard AuditFiles.exists(path) else { return nil }
        let hashers = [hasher, AuditHasher(key: nil)]
        return AuditAnchor(try AuditFiles.read(path), hashers: hashers)?.head
    }

    /// Half a line, as a crash leaves it, goes into a file beside the log.
    private func setAside(_ end: AuditFileEnd, _ file: String) throws(AuditError) {
        guard !end.torn.isEmpty else { return }
        let path = configuration.directory + "/" + file
        try AuditFiles.replace("\(path).torn-\(end.head.number + 1)", with: end.torn, disk: disk)
        guard truncate(path, off_t(end.byteCount)) == 0 else { throw AuditError("truncate", path, code: errno) }
        reports.append(.setAside(file: file, bytes: end.torn.count))
        let fields = [AuditRecord.Field("file", file), AuditRecord.Field("bytes", "\(end.torn.count)")]
        found.append(AuditRecord(AuditKind.recovered, fields))
    }

    private func broke(_ message: String) {
        reports.append(.broken(message))
        found.append(AuditRecord(AuditKind.broken, [AuditRecord.Field("reason", message)]))
    }
}
