import Crypto
import Foundation

/// SHA-256 of files.
enum Digest {
    private static let chunkBytes = 1 << 20

    /// The hash of a file's content, hexadecimal, and its size.
    static func file(_ path: String) throws -> (sha256: String, bytes: Int) {
        guard let handle = FileHandle(forReadingAtPath: path) else { throw StartFailure("\(path) cannot be read") }
        defer { try? handle.close() }
        var hash = SHA256()
        var bytes = 0
        while let chunk = try handle.read(upToCount: chunkBytes), !chunk.isEmpty {
            hash.update(data: chunk)
            bytes += chunk.count
        }
        return (text(hash.finalize()), bytes)
    }

    /// The hash of bytes, hexadecimal.
    static func data(_ data: Data) -> String { text(SHA256.hash(data: data)) }

    private static func text(_ digest: SHA256.Digest) -> String {
        digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
