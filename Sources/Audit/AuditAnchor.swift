/// The log's last record, kept beside it: without it, a log whose end was cut off would look whole.
///
/// It is replaced after each batch that is on the disk, so the log is never behind it unless somebody cut it. Whoever
/// can write the directory can write the anchor too; against them the head is published, and `--head` compares.
struct AuditAnchor {
    var head: AuditHead
    private static let key = "{\"head\":\""
    private static let codeKey = "\",\"code\":\""
    private static let end = "\"}\n"

    func bytes(_ hasher: AuditHasher) -> [UInt8] {
        let text = Self.key + head.description
        let code = Array(text.utf8).withUnsafeBytes { hasher.hash($0) }
        return Array((text + Self.codeKey).utf8) + code + Array(Self.end.utf8)
    }

    init(head: AuditHead) { self.head = head }

    /// Nil if the bytes are not an anchor that this hasher made.
    init?(_ bytes: [UInt8], hashers: [AuditHasher]) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.hasPrefix(Self.key), let middle = text.firstRange(of: Self.codeKey) else { return nil }
        let covered = text[..<middle.lowerBound]
        guard let head = AuditHead(covered.dropFirst(Self.key.count)) else { return nil }
        self.head = head
        let expected = hashers.map { Array((covered + Self.codeKey).utf8) + code(covered, $0) + Array(Self.end.utf8) }
        guard expected.contains(bytes) else { return nil }
    }

    private func code(_ text: Substring, _ hasher: AuditHasher) -> [UInt8] {
        Array(text.utf8).withUnsafeBytes { hasher.hash($0) }
    }
}
