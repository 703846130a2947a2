import Foundation

/// An input that is kept under `Tests/Fixtures/fuzz`: a fuzzer once failed on it, or it is hostile by design.
public struct FuzzCase: Sendable, CustomStringConvertible {
    /// The name of its file.
    public let name: String
    /// What the fuzzer gave.
    public let bytes: [UInt8]

    /// Its name.
    public var description: String { name }

    /// The inputs of a group of fuzzers, by name.
    ///
    /// - Throws: what reading them throws, and `CocoaError.fileNoSuchFile` if there is none: a test without inputs
    ///   would pass whatever the code does.
    public static func all(_ group: String) throws -> [FuzzCase] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/fuzz/\(group)")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        guard !names.isEmpty else { throw CocoaError(.fileNoSuchFile) }
        return try names.map { name in
            FuzzCase(name: name, bytes: Array(try Data(contentsOf: folder.appendingPathComponent(name))))
        }
    }

    /// What `check` finds wrong with the input after one of its bytes was changed, with the seed and the bytes; nil if
    /// nothing is wrong with any of so many changes.
    public func mistakeWhenDamaged(times: Int = 200, _ check: ([UInt8]) -> String?) -> String? {
        guard !bytes.isEmpty else { return nil }
        var random = SeededRandom(seed: .random(in: 0 ... .max))
        for _ in 0..<times {
            var changed = bytes
            changed[random.int(0...changed.count - 1)] = UInt8(truncatingIfNeeded: random.next())
            if let mistake = check(changed) { return "seed \(random.seed): \(mistake): \(changed)" }
        }
        return nil
    }
}
