internal import Glibc

/// Reads a log's lines, for whoever shows them. Nothing is verified.
public enum AuditReader {
    /// Calls `body` with each line of a log's directory, or of one of its files, in order and without its line feed.
    public static func read(_ path: String, _ body: ([UInt8]) throws -> Void) throws {
        guard AuditFiles.isDirectory(path) else { return try lines(try AuditFiles.read(path), body) }
        for name in try AuditFiles.list(path) { try lines(try AuditFiles.read(path + "/" + name), body) }
    }

    private static func lines(_ bytes: [UInt8], _ body: ([UInt8]) throws -> Void) rethrows {
        for line in bytes.split(separator: 0x0A) { try body(Array(line)) }
    }
}

extension AuditText {
    /// A value as a JSON string: in quotes, with everything escaped that does more than show itself.
    public static func quoted(_ value: String) -> String {
        var bytes: [UInt8] = []
        append(value, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
