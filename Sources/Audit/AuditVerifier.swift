/// What a verification found.
public struct AuditVerification: Sendable, Hashable {
    /// Files looked at.
    public var files: Int
    /// Lines looked at.
    public var records: Int
    /// The first record's number.
    public var first: UInt64?
    /// The last record.
    public var head: AuditHead?
    /// What is wrong, in the order of the log; at most 100.
    public var findings: [AuditFinding]

    /// Whether nothing is wrong.
    public var isIntact: Bool { findings.isEmpty }
}

/// Finds out whether a log is as it was written.
public struct AuditVerifier: Sendable {
    private let key: [UInt8]?
    private let expected: AuditHead?

    /// Makes a verifier.
    ///
    /// - Parameters:
    ///   - key: The key of the log, if it has one.
    ///   - head: A record that the log is known to have had, from outside: the log must still hold it.
    public init(key: [UInt8]? = nil, head: AuditHead? = nil) {
        self.key = key
        expected = head
    }

    /// Verifies a log's directory with its anchor, or one file by itself.
    public func verify(_ path: String) throws(AuditError) -> AuditVerification {
        var run = AuditChainRun(key: key)
        if let expected { run.await(expected, source: "the given head") }
        guard AuditFiles.isDirectory(path) else {
            let name = AuditFiles.lastComponent(path)
            let bytes = try AuditFiles.read(path)
            bytes.withUnsafeBytes { run.take($0, file: name) }
            run.finish(file: name, isWhole: false)
            return AuditVerification(run, files: 1)
        }
        try awaitAnchor(path, &run)
        let names = try AuditFiles.list(path)
        for name in names {
            let bytes = try AuditFiles.read(path + "/" + name)
            bytes.withUnsafeBytes { run.take($0, file: name) }
        }
        run.finish(file: names.last ?? path, isWhole: true)
        return AuditVerification(run, files: names.count)
    }

    /// The anchor's record must be there.
    func awaitAnchor(_ directory: String, _ run: inout AuditChainRun) throws(AuditError) {
        let path = directory + "/" + AuditFiles.anchor
        guard AuditFiles.exists(path) else {
            run.note(AuditFiles.anchor, 0, nil, "the anchor is missing: whether the end was cut cannot be told")
            return
        }
        // Who holds the key asks for an anchor that was made with it.
        let hashers = [AuditHasher(key: key)]
        guard let anchor = AuditAnchor(try AuditFiles.read(path), hashers: hashers) else {
            let hint =
                key == nil ? "it was changed, or made with a key (--key)" : "it was changed, or made without the key"
            run.note(AuditFiles.anchor, 1, nil, "the anchor cannot be trusted: \(hint)")
            return
        }
        run.await(anchor.head, source: "the anchor")
    }
}

extension AuditVerification {
    init(_ run: AuditChainRun, files: Int) {
        self.init(files: files, records: run.records, first: run.first, head: run.head, findings: run.findings)
    }
}
