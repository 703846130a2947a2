import Audit
import Foundation
import Testing

@Suite("The audit log")
struct AuditLogTests {
    private let key = Array("a key of at least sixteen bytes".utf8)

    private func write(_ folder: Folder, _ kinds: String..., change: (inout AuditConfiguration) -> Void = { _ in })
        throws
    {
        var configuration = AuditConfiguration(directory: folder.log)
        change(&configuration)
        let log = try AuditLog.open(configuration)
        for kind in kinds { log.record(AuditRecord(kind, [.init("client", "c-\(kind)")])) }
        #expect(log.flush())
        log.close()
    }

    @Test("Each record is one JSON object with its number, its time, its fields and two hashes")
    func format() throws {
        let folder = try Folder()
        let log = try AuditLog.open(AuditConfiguration(directory: folder.log))
        log.record(AuditRecord("client.refused", [.init("client", "x")], wallMilliseconds: 1_764_000_000_007))
        #expect(log.flush())
        log.close()
        let lines = try folder.lines(folder.files[0])
        #expect(lines.count == 2)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(lines[1].utf8)) as? [String: Any])
        #expect(object["n"] as? Int == 2)
        #expect(object["t"] as? String == "2025-11-24T16:00:00.007Z")
        #expect(object["kind"] as? String == "client.refused")
        #expect(object["client"] as? String == "x")
        #expect((object["hash"] as? String)?.count == 64)
        #expect((object["previous"] as? String)?.count == 64)
        let mode = try FileManager.default.attributesOfItem(atPath: folder.log + "/" + folder.files[0])
        #expect((mode[.posixPermissions] as? Int) == 0o600)
        let anchor = try FileManager.default.attributesOfItem(atPath: folder.log + "/audit.anchor")
        #expect((anchor[.posixPermissions] as? Int) == 0o600)
    }

    @Test("B13: what a client sends can neither end a line nor forge a field")
    func escaping() throws {
        let folder = try Folder()
        let hostile = [
            "a\r\nb", "\",\"kind\":\"node.started", "\u{0}\u{1}\u{7F}\u{85}", "\u{202E}abc", "\u{2028}", "back\\slash",
            "\u{1F600} ünïcödé", String(repeating: "x", count: 5_000), "\u{E0001}", "\u{FEFF}",
        ]
        let log = try AuditLog.open(AuditConfiguration(directory: folder.log))
        for text in hostile { log.record(AuditRecord("client.refused", [.init("client", text)])) }
        #expect(log.flush())
        log.close()
        let bytes = try folder.read(folder.files[0])
        let controls = bytes.count { $0 < 0x20 && $0 != 0x0A || $0 == 0x7F }
        #expect(controls == 0)
        let entries = try folder.entries()
        #expect(entries.count == hostile.count + 1)
        for (entry, text) in zip(entries.dropFirst(), hostile) {
            #expect(entry.kind == "client.refused")
            if text.count < 1_000 { #expect(entry["client"] == text) }
        }
        #expect(entries[8]["client"]?.hasSuffix("x…") == true)
        #expect(try folder.read(folder.files[0]).count < 8_000)
        for line in try folder.lines(folder.files[0]) {
            #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(line.utf8)) }
        }
    }

    @Test("The chain goes on over restarts and files, and an untouched log verifies", arguments: [false, true])
    func goesOn(keyed: Bool) throws {
        let folder = try Folder()
        let key = keyed ? key : nil
        for _ in 0..<5 {
            var configuration = AuditConfiguration(directory: folder.log)
            configuration.key = key
            configuration.fileBytesMax = 2_000
            let log = try AuditLog.open(configuration)
            for index in 0..<20 { log.record(AuditRecord("client.connected", [.init("client", "\(index)")])) }
            #expect(log.flush())
            log.close()
        }
        #expect(folder.files.count > 5)
        let found = try AuditVerifier(key: key).verify(folder.log)
        #expect(found.findings == [])
        #expect(found.records == 100 + folder.files.count)
        for file in folder.files {
            let alone = try AuditVerifier(key: key).verify(folder.log + "/" + file)
            #expect(alone.findings == [], "\(file)")
        }
    }

    @Test("Without the key a keyed log cannot be verified, and with another key nothing fits")
    func keys() throws {
        let folder = try Folder()
        try write(folder, "a", "b") { $0.key = key }
        #expect(try AuditVerifier(key: key).verify(folder.log).isIntact)
        #expect(try !AuditVerifier().verify(folder.log).isIntact)
        #expect(try !AuditVerifier(key: key + [1]).verify(folder.log).isIntact)
        #expect(throws: AuditError.self) { try write(folder, "c") { $0.key = Array("short".utf8) } }
    }

    @Test("A log that is written anew without the key does not verify with it")
    func rewritten() throws {
        let folder = try Folder()
        try write(folder, "a", "b") { $0.key = key }
        try FileManager.default.removeItem(atPath: folder.log)
        try write(folder, "a", "forged")
        #expect(try AuditVerifier().verify(folder.log).isIntact)
        let found = try AuditVerifier(key: key).verify(folder.log)
        #expect(!found.isIntact)
    }

    @Test("A log that is written anew does not hold the head that somebody kept")
    func published() throws {
        let folder = try Folder()
        try write(folder, "a", "b", "c")
        let head = try #require(try AuditVerifier().verify(folder.log).head)
        #expect(try AuditVerifier(head: head).verify(folder.log).isIntact)
        try write(folder, "d")
        #expect(try AuditVerifier(head: head).verify(folder.log).isIntact, "the log may have grown")
        try FileManager.default.removeItem(atPath: folder.log)
        try write(folder, "a", "forged", "c", "d")
        #expect(try AuditVerifier().verify(folder.log).isIntact)
        #expect(try !AuditVerifier(head: head).verify(folder.log).isIntact)
        try FileManager.default.removeItem(atPath: folder.log)
        try write(folder, "a")
        #expect(try !AuditVerifier(head: head).verify(folder.log).isIntact)
    }

    @Test("A key that comes later begins a new file; what was before stays verifiable")
    func keyAdded() throws {
        let folder = try Folder()
        try write(folder, "a", "b")
        try write(folder, "c") { $0.key = key }
        #expect(folder.files.count == 2)
        #expect(try AuditVerifier(key: key).verify(folder.log).findings == [])
    }

    @Test("Half a line that a crash left is set aside, and the record after it says so")
    func torn() throws {
        let folder = try Folder()
        try write(folder, "a", "b")
        let whole = try folder.read(folder.files[0])
        try folder.write(whole + Array("{\"n\":4,\"t\":\"20".utf8), to: folder.files[0])
        let reports = Reports()
        let log = try AuditLog.open(AuditConfiguration(directory: folder.log)) { reports.add($0) }
        log.record(AuditRecord("c"))
        #expect(log.flush())
        log.close()
        #expect(reports.all == [.setAside(file: folder.files[0], bytes: 14)])
        #expect(try folder.entries().map(\.kind) == ["audit.opened", "a", "b", "audit.recovered", "c"])
        #expect(try AuditVerifier().verify(folder.log).findings == [])
        let aside = try folder.read(folder.files[0] + ".torn-4")
        #expect(aside.count == 14)
    }

    @Test("A crash at any byte of the last batch loses nothing that was on the disk before", arguments: [0, 1])
    func crashAnywhere(keyed: Int) throws {
        let folder = try Folder()
        let key = keyed == 1 ? key : nil
        try write(folder, "a", "b") { $0.key = key }
        let name = folder.files[0]
        let before = try folder.read(name)
        let anchor = try folder.read("audit.anchor")
        try write(folder, "c", "d") { $0.key = key }
        let after = try folder.read(name)
        for cut in before.count...after.count {
            try folder.write(Array(after[..<cut]), to: name)
            try folder.write(anchor, to: "audit.anchor")
            try write(folder, "e") { $0.key = key }
            let found = try AuditVerifier(key: key).verify(folder.log)
            #expect(found.findings == [], "cut at \(cut)")
            let kinds = try folder.entries().map(\.kind)
            #expect(kinds.starts(with: ["audit.opened", "a", "b"]) && kinds.last == "e")
        }
    }

    @Test("A log whose end was cut goes on, and both the log and the verification say so")
    func goesOnAfterTampering() throws {
        let folder = try Folder()
        try write(folder, "a", "b", "c")
        let name = folder.files[0]
        let lines = try folder.lines(name)
        try folder.write(Array((lines[..<2].joined(separator: "\n") + "\n").utf8), to: name)
        try write(folder, "d")
        let kinds = try folder.entries().map(\.kind)
        #expect(kinds == ["audit.opened", "a", "audit.opened", "audit.broken", "d"])
        let found = try AuditVerifier().verify(folder.log)
        #expect(found.findings.count == 1)
        #expect(found.findings.first?.message.contains("records 3 to 4 are missing") == true)
    }

    @Test("A second process is kept out of the directory")
    func locked() throws {
        let folder = try Folder()
        let log = try AuditLog.open(AuditConfiguration(directory: folder.log))
        #expect(throws: AuditError.self) { try AuditLog.open(AuditConfiguration(directory: folder.log)) }
        log.close()
    }

    @Test("Files whose time is over go, and the chain says so; a file that goes otherwise is missed")
    func retention() throws {
        let folder = try Folder()
        try write(folder, "a", "b", "c") { $0.fileBytesMax = 1 }
        #expect(folder.files.count == 2 || folder.files.count == 3 || folder.files.count == 4)
        for name in folder.files {
            let old = [FileAttributeKey.modificationDate: Date(timeIntervalSinceNow: -10_000)]
            try FileManager.default.setAttributes(old, ofItemAtPath: folder.log + "/" + name)
        }
        let before = folder.files
        try write(folder, "d") {
            $0.fileBytesMax = 1
            $0.keepSeconds = 5_000
        }
        #expect(Set(folder.files).isDisjoint(with: before))
        #expect(try AuditVerifier().verify(folder.log).findings == [])
        try write(folder, "e") { $0.fileBytesMax = 1 }
        try FileManager.default.removeItem(atPath: folder.log + "/" + folder.files[0])
        let found = try AuditVerifier().verify(folder.log)
        #expect(found.findings.count == 1)
        #expect(found.findings.first?.message.contains("the beginning is missing") == true)
    }
}

@Suite("The audit log when the disk refuses")
struct AuditFailureTests {
    @Test("Records wait for a full disk, the operator hears of it once, and none of those that fit is lost")
    func fullDisk() throws {
        let folder = try Folder()
        let disk = FullDisk()
        let reports = Reports()
        let log = try AuditLog.open(AuditConfiguration(directory: folder.log), disk: disk) { reports.add($0) }
        log.record(AuditRecord("before"))
        #expect(log.flush())
        disk.fill(afterBytes: 40)
        for index in 0..<10 { log.record(AuditRecord("during", [.init("index", "\(index)")])) }
        #expect(!log.flush(milliseconds: 50))
        #expect(log.statistics.isFailing)
        disk.empty()
        log.record(AuditRecord("after"))
        #expect(log.flush())
        #expect(!log.statistics.isFailing)
        log.close()
        #expect(reports.all.count == 2)
        guard case .failing(let error)? = reports.all.first else { return #expect(Bool(false)) }
        #expect(error.code == ENOSPC)
        #expect(reports.all.last == .working(lost: 0))
        let kinds = try folder.entries().map(\.kind)
        #expect(kinds == ["audit.opened", "before"] + Array(repeating: "during", count: 10) + ["after"])
        #expect(try AuditVerifier().verify(folder.log).findings == [])
    }

    @Test("Beyond the bound records are counted, and the count stands in the chain")
    func overflow() throws {
        let folder = try Folder()
        let disk = FullDisk()
        var configuration = AuditConfiguration(directory: folder.log)
        configuration.waitingRecordsMax = 100
        let log = try AuditLog.open(configuration, disk: disk)
        log.record(AuditRecord("before"))
        #expect(log.flush())
        disk.fill()
        log.record(AuditRecord("first"))
        for _ in 0..<1_000 { log.record(AuditRecord("flood")) }
        disk.empty()
        #expect(log.flush())
        log.record(AuditRecord("last"))
        #expect(log.flush())
        let statistics = log.statistics
        log.close()
        let entries = try folder.entries()
        let recorded = entries.filter { $0.kind == "audit.records_lost" }.compactMap {
            $0["count"].flatMap(UInt64.init)
        }
        #expect(recorded.reduce(0, +) == statistics.lost)
        #expect(statistics.lost >= 800)
        #expect(UInt64(entries.count { $0.kind == "flood" }) + statistics.lost == 1_000)
        #expect(try AuditVerifier().verify(folder.log).findings == [])
    }

    @Test("A log that is closed while the disk refuses gives up and ends")
    func closing() throws {
        let folder = try Folder()
        let disk = FullDisk()
        let log = try AuditLog.open(AuditConfiguration(directory: folder.log), disk: disk)
        disk.fill(afterBytes: 10)
        log.record(AuditRecord("lost"))
        log.close()
        #expect(log.statistics.lost == 1)
        disk.empty()
        let again = try AuditLog.open(AuditConfiguration(directory: folder.log))
        again.record(AuditRecord("kept"))
        #expect(again.flush())
        again.close()
        #expect(try AuditVerifier().verify(folder.log).findings == [])
    }
}
