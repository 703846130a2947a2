import Audit
import Foundation
import Glibc
import Synchronization
import Testing

/// A directory of a test's own.
final class Folder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "causeway-audit-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var log: String { path + "/audit" }

    /// The log's files, in their order.
    var files: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: log)) ?? []
        return names.filter { $0.hasPrefix("audit-") && $0.hasSuffix(".jsonl") }.sorted()
    }

    func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: log + "/" + name))) }

    func write(_ bytes: [UInt8], to name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: log + "/" + name))
    }

    func lines(_ name: String) throws -> [String] {
        String(decoding: try read(name), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// All records, in order.
    func entries() throws -> [AuditEntry] {
        try files.flatMap { try lines($0).map { try #require(AuditEntry(line: Array($0.utf8)), "\($0)") } }
    }
}

/// Reports in the order in which they came.
final class Reports: Sendable {
    private let list = Mutex<[AuditReport]>([])
    var all: [AuditReport] { list.withLock { $0 } }
    func add(_ report: AuditReport) { list.withLock { $0.append(report) } }
}

/// A disk that can be full, or stop in the middle of a write.
final class FullDisk: AuditDisk {
    private let state = Mutex((isFull: false, halfBytes: 0))
    private let real = PosixAuditDisk()

    func fill(afterBytes bytes: Int = 0) { state.withLock { $0 = (true, bytes) } }
    func empty() { state.withLock { $0 = (false, 0) } }

    func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int) -> Int32 {
        let now = state.withLock { $0 }
        guard now.isFull else { return real.write(bytes, to: descriptor, at: offset) }
        let half = UnsafeRawBufferPointer(rebasing: bytes.prefix(now.halfBytes))
        _ = real.write(half, to: descriptor, at: offset)
        return ENOSPC
    }

    func sync(_ descriptor: Int32) -> Int32 { real.sync(descriptor) }
}
