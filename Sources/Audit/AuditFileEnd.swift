/// How a file ends: its last whole record, and what a crash left behind it.
struct AuditFileEnd {
    var head: AuditHead
    /// Whether the last record's hash fits.
    var fits: Bool
    /// Whether records that are made now may follow in the same file: they are hashed in the same way.
    var isContinuable: Bool
    /// Bytes up to the end of the last whole record.
    var byteCount: Int
    var records: UInt64
    var begunMilliseconds: Int64
    /// What follows it.
    var torn: [UInt8]

    /// Nil if the file holds no whole record.
    static func find(_ path: String, key: [UInt8]?) throws(AuditError) -> AuditFileEnd? {
        let bytes = try AuditFiles.read(path)
        let lineFeed = UInt8(ascii: "\n")
        guard let last = bytes.lastIndex(of: lineFeed) else { return nil }
        let start = bytes[..<last].lastIndex(of: lineFeed).map { $0 + 1 } ?? 0
        let firstEnd = bytes.firstIndex(of: lineFeed) ?? last
        let opening = AuditEntry(line: Array(bytes[..<firstEnd]))
        let algorithm = opening?["algorithm"]
        let isKeyed = algorithm == AuditHasher(key: []).algorithm
        return bytes[start..<last].withUnsafeBytes { line in
            guard let place = AuditLine.place(of: line) else { return nil }
            let hasher = AuditHasher(key: isKeyed ? key : nil)
            // Without the key it cannot be told; a verification with the key will.
            let fits = isKeyed && key == nil || hasher.hash(place.covered).elementsEqual(place.hash)
            return AuditFileEnd(
                head: AuditHead(number: place.number, hash: String(decoding: place.hash, as: UTF8.self)),
                fits: fits,
                isContinuable: isKeyed == (key != nil),
                byteCount: last + 1,
                records: UInt64(bytes[...last].count { $0 == lineFeed }),
                begunMilliseconds: opening.flatMap { AuditText.wallMilliseconds(of: $0.time) } ?? 0,
                torn: Array(bytes[(last + 1)...])
            )
        }
    }
}
