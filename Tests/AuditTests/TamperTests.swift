import Foundation
import Repeatable
import Testing

@testable import Audit

/// S11: any change of a log is found.
@Suite("Tampering with the audit log")
struct TamperTests {
    /// The ways in which a log can be changed without the key.
    enum Tamper: CaseIterable {
        case flip, delete, reorder, duplicate, truncate
    }

    /// What S11 asks for, and a tenth of it for a log with a key, whose lines differ in nothing but the hash.
    struct Size: Sendable, CustomTestStringConvertible {
        var records: Int
        var tampersOfEachKind: Int
        var key: [UInt8]?
        var testDescription: String { "\(records) records, \(key == nil ? "no key" : "with a key")" }
    }

    /// A log in memory, with the state of a verification before each of its files.
    private struct Sample {
        var names: [String] = []
        var files: [[UInt8]] = []
        var states: [AuditChainRun] = []
        var anchor = AuditHead.start
    }

    private func makeSample(_ size: Size, in folder: Folder) throws -> Sample {
        var configuration = AuditConfiguration(directory: folder.log)
        configuration.key = size.key
        configuration.fileBytesMax = 16 << 10
        configuration.waitingRecordsMax = size.records
        configuration.sync = .system
        let log = try AuditLog.open(configuration)
        let kinds = ["client.connected", "client.refused", "publish.denied", "access.administered"]
        for index in 0..<size.records {
            let fields = [
                AuditRecord.Field("client", "device-\(index % 500)"), .init("user", "ward-\(index % 7)"),
                .init("address", "10.0.0.\(index % 250)"),
            ]
            log.record(AuditRecord(kinds[index % kinds.count], fields))
        }
        #expect(log.flush(milliseconds: 60_000))
        log.close()
        #expect(log.statistics.lost == 0)

        let verified = try AuditVerifier(key: size.key).verify(folder.log)
        #expect(verified.findings == [], "an untouched log verifies")
        #expect(verified.records == size.records + folder.files.count)

        var sample = Sample()
        sample.anchor = log.head
        sample.names = folder.files
        var run = AuditChainRun(key: size.key)
        run.await(log.head, source: "the anchor")
        for name in sample.names {
            sample.states.append(run)
            let bytes = try folder.read(name)
            sample.files.append(bytes)
            bytes.withUnsafeBytes { run.take($0, file: name) }
        }
        run.finish(file: "the log", isWhole: true)
        #expect(run.findings == [], "verified file by file, too")
        return sample
    }

    /// Goes on from the state before the changed file; ends where the chain is the untouched one again, because from
    /// there on nothing else can be found.
    private func findings(_ sample: Sample, from index: Int, changed: [UInt8], cutsTheRest: Bool) -> [AuditFinding] {
        var run = sample.states[index]
        changed.withUnsafeBytes { run.take($0, file: sample.names[index]) }
        if !cutsTheRest, index + 1 < sample.files.count {
            let head = sample.files[index + 1].prefix { $0 != 0x0A } + [0x0A]
            head.withUnsafeBytes { run.take($0, file: sample.names[index + 1]) }
        } else {
            run.finish(file: sample.names[index], isWhole: true)
        }
        return run.findings
    }

    private func change(
        _ sample: Sample,
        _ tamper: Tamper,
        _ random: inout SeededRandom
    ) -> (index: Int, bytes: [UInt8], what: String) {
        let index = Int.random(in: 0..<sample.files.count, using: &random)
        var bytes = sample.files[index]
        switch tamper {
        case .flip:
            let place = Int.random(in: 0..<bytes.count, using: &random)
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            return (index, bytes, "bit flipped at \(place)")
        case .truncate:
            let place = Int.random(in: 0..<bytes.count, using: &random)
            return (index, Array(bytes[..<place]), "cut at \(place)")
        case .delete, .reorder, .duplicate:
            var lines = bytes.split(separator: 0x0A).map { Array($0) }
            let line = Int.random(in: 0..<lines.count, using: &random)
            switch tamper {
            case .delete: lines.remove(at: line)
            case .duplicate: lines.insert(lines[line], at: Int.random(in: 0...lines.count, using: &random))
            default:
                let other = (line + Int.random(in: 1..<lines.count, using: &random)) % lines.count
                lines.swapAt(line, other)
            }
            return (index, lines.flatMap { $0 + [0x0A] }, "\(tamper) of line \(line + 1)")
        }
    }

    @Test(
        "S11: 1,000 of 1,000 flips, deletions, moves, repetitions and cuts in 100,000 records are found",
        arguments: [
            Size(records: 100_000, tampersOfEachKind: 1_000),
            Size(records: 10_000, tampersOfEachKind: 100, key: Array("0123456789abcdef".utf8)),
        ]
    )
    func everyTamperIsFound(size: Size) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("audit tampers: seed \(seed)")
        var random = SeededRandom(seed: seed)
        let folder = try Folder()
        let sample = try makeSample(size, in: folder)
        for tamper in Tamper.allCases {
            var found = 0
            for _ in 0..<size.tampersOfEachKind {
                let (index, bytes, what) = change(sample, tamper, &random)
                let isCut = tamper == .truncate
                if findings(sample, from: index, changed: bytes, cutsTheRest: isCut).isEmpty {
                    Issue.record("seed \(seed): not found: \(sample.names[index]), \(what)")
                } else {
                    found += 1
                }
            }
            #expect(found == size.tampersOfEachKind, "\(tamper)")
        }
        try wholeLogs(sample, key: size.key, folder, &random)
    }

    /// The same on whole logs on the disk, as `causeway audit verify` sees them.
    private func wholeLogs(_ sample: Sample, key: [UInt8]?, _ folder: Folder, _ random: inout SeededRandom) throws {
        for tamper in Tamper.allCases {
            let (index, bytes, what) = change(sample, tamper, &random)
            try folder.write(bytes, to: sample.names[index])
            let later = tamper == .truncate ? sample.names[(index + 1)...] : []
            for name in later { try FileManager.default.removeItem(atPath: folder.log + "/" + name) }
            let verified = try AuditVerifier(key: key).verify(folder.log)
            #expect(!verified.isIntact, "\(what)")
            for place in index..<sample.files.count { try folder.write(sample.files[place], to: sample.names[place]) }
        }
        let middle = sample.names[sample.names.count / 2]
        let bytes = try folder.read(middle)
        try FileManager.default.removeItem(atPath: folder.log + "/" + middle)
        #expect(try !AuditVerifier(key: key).verify(folder.log).isIntact, "a whole file is missing")
        try folder.write(bytes, to: middle)
        #expect(try AuditVerifier(key: key).verify(folder.log).isIntact, "and it verifies again")
    }
}
