internal import Crypto
internal import Glibc

/// How far a chain of records has come: the last record's number and hash.
public struct AuditHead: Sendable, Hashable, CustomStringConvertible {
    /// The last record's number; 0 before the first.
    public var number: UInt64
    /// The last record's hash, in lower case hexadecimal.
    public var hash: String

    /// Before the first record.
    public static let start = AuditHead(number: 0, hash: String(repeating: "0", count: hashCharacters))

    /// Characters of a hash.
    static let hashCharacters = 64

    /// Makes a head.
    public init(number: UInt64, hash: String) {
        self.number = number
        self.hash = hash
    }

    /// Reads what ``description`` writes, such as `--head` is given.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = UInt64(parts[0]), Self.isHash(parts[1].utf8) else { return nil }
        self.init(number: number, hash: String(parts[1]))
    }

    /// `NUMBER:HASH`.
    public var description: String { "\(number):\(hash)" }

    static func isHash(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.count == hashCharacters
            && bytes.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// Hashes lines: SHA-256, or HMAC-SHA256 for whoever holds the key. Without the key nobody can make a chain that
/// verifies, not even one that is whole in itself.
struct AuditHasher: Sendable {
    private let key: SymmetricKey?

    init(key: [UInt8]?) { self.key = key.map { SymmetricKey(data: $0) } }

    /// What the head of a file calls it.
    var algorithm: String { key == nil ? "sha256" : "hmac-sha256" }

    /// The hash in lower case hexadecimal.
    func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        if let key {
            var code = HMAC<SHA256>(key: key)
            code.update(data: bytes)
            return code.finalize().withUnsafeBytes { AuditText.hexadecimal($0) }
        }
        var digest = SHA256()
        digest.update(bufferPointer: bytes)
        return digest.finalize().withUnsafeBytes { AuditText.hexadecimal($0) }
    }
}

/// A line of the log: one JSON object whose keys stand in one order, with nothing between them that could be otherwise.
///
///     {"n":7,"t":"2026-11-22T08:00:00.000Z","kind":"client.refused","client":"…","previous":"…","hash":"…"}
///
/// The hash covers every byte before `,"hash"`, the hash of the line before among them.
enum AuditLine {
    private static let start = Array("{\"n\":".utf8)
    private static let previousKey = Array(",\"previous\":\"".utf8)
    private static let hashKey = Array("\",\"hash\":\"".utf8)
    private static let end = Array("\"}\n".utf8)

    /// Appends the line of a record, and moves the head on.
    static func append(
        _ record: AuditRecord,
        to bytes: inout [UInt8],
        head: inout AuditHead,
        hasher: AuditHasher
    ) {
        let start = bytes.count
        let number = head.number &+ 1
        bytes += Array("{\"n\":\(number),\"t\":\"".utf8)
        AuditText.append(wallMilliseconds: record.wallMilliseconds, to: &bytes)
        bytes += Array("\",\"kind\":".utf8)
        AuditText.append(record.kind, to: &bytes)
        for field in record.fields {
            bytes.append(UInt8(ascii: ","))
            AuditText.append(field.name, to: &bytes)
            bytes.append(UInt8(ascii: ":"))
            AuditText.append(field.value, to: &bytes)
        }
        bytes += previousKey
        bytes += Array(head.hash.utf8)
        bytes.append(UInt8(ascii: "\""))
        let hash = bytes[start...].withUnsafeBytes { hasher.hash($0) }
        bytes += hashKey.dropFirst()
        bytes += hash
        bytes += end
        head = AuditHead(number: number, hash: String(decoding: hash, as: UTF8.self))
    }

    /// What a line says of its place in the chain, or nil if it does not have the form.
    struct Place {
        var number: UInt64
        var previous: UnsafeRawBufferPointer
        var hash: UnsafeRawBufferPointer
        /// What the hash covers.
        var covered: UnsafeRawBufferPointer
    }

    /// Takes a line apart, without its line feed.
    static func place(of line: UnsafeRawBufferPointer) -> Place? {
        let width = AuditHead.hashCharacters
        // From the end: `"}`, the hash, `","hash":"`, the hash before, `,"previous":"`.
        let hashEnd = line.count - 2
        let hashStart = hashEnd - width
        let previousEnd = hashStart - hashKey.count
        let previousStart = previousEnd - width
        let keyStart = previousStart - previousKey.count
        guard keyStart > 6, line[hashEnd] == UInt8(ascii: "\""), line[hashEnd + 1] == UInt8(ascii: "}"),
            line.holds(hashKey, at: previousEnd),
            line.holds(previousKey, at: keyStart),
            let number = number(of: line)
        else { return nil }
        return Place(
            number: number,
            previous: UnsafeRawBufferPointer(rebasing: line[previousStart..<previousEnd]),
            hash: UnsafeRawBufferPointer(rebasing: line[hashStart..<hashEnd]),
            covered: UnsafeRawBufferPointer(rebasing: line[0...previousEnd])
        )
    }

    private static func number(of line: UnsafeRawBufferPointer) -> UInt64? {
        guard line.holds(start, at: 0) else { return nil }
        var number: UInt64 = 0
        for index in start.count..<line.count {
            let byte = line[index]
            guard byte != UInt8(ascii: ",") else { return number }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            guard (0x30...0x39).contains(byte), !overflow else { return nil }
            number = product &+ UInt64(byte - 0x30)
        }
        return nil
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes stand at an offset.
    func holds(_ bytes: [UInt8], at offset: Int) -> Bool {
        guard let start = baseAddress, offset >= 0, offset + bytes.count <= count else { return false }
        return memcmp(start + offset, bytes, bytes.count) == 0
    }
}
