import Broker
import Foundation
import Logging
import SiteServer
import Synchronization
import Testing

@testable import causeway

/// A part of a node that remembers what it was told.
private final class FakePart: Reloadable {
    struct State {
        var inForce = 1
        var prepares = 0
        var fault: (any Error)?
        var commitFault: (any Error)?
        var isPreparing = false
        var overlapped = false
    }

    let name: String
    let state = Mutex(State())
    var inForce: Int { state.withLock { $0.inForce } }

    init(_ name: String) { self.name = name }

    func prepare(_ new: Int, replacing old: Int) async throws -> PreparedReload {
        state.withLock {
            $0.overlapped = $0.overlapped || $0.isPreparing
            $0.isPreparing = true
            $0.prepares += 1
        }
        await Task.yield()
        state.withLock { $0.isPreparing = false }
        if let fault = state.withLock({ $0.fault }) { throw fault }
        return PreparedReload {
            if let fault = self.state.withLock({ $0.commitFault }) { throw fault }
            self.state.withLock { $0.inForce = new }
            var notes = ReloadNotes()
            notes.applied = [self.name]
            notes.needRestart = new == 3 ? ["\(self.name).big"] : []
            return notes
        }
    }
}

private final class Audited: AuditSink {
    private let list = Mutex<[AuditEvent]>([])
    var all: [AuditEvent] { list.withLock { $0 } }
    func record(_ event: AuditEvent) { list.withLock { $0.append(event) } }
}

private struct Trouble: Error, CustomStringConvertible {
    let description: String
}

@Suite("Reloading the configuration")
struct ReloadTests {
    private let parts = [FakePart("listeners"), FakePart("access"), FakePart("bridges")]
    private let audited = Audited()

    private func make(_ load: @escaping @Sendable () async throws -> Int) -> ReloadCoordinator<Int> {
        ReloadCoordinator(
            current: 1,
            parts: parts,
            audit: audited,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            load: { LoadedConfiguration(value: try await load(), files: ["site.yaml"]) }
        )
    }

    @Test("A good configuration is put in force in every part, and audited")
    func good() async {
        let outcome = await make { 2 }.reload(.asked)
        #expect(outcome == .applied(needRestart: []))
        #expect(parts.map(\.inForce) == [2, 2, 2])
        #expect(audited.all.map(\.kind) == [.configurationReloaded])
        #expect(audited.all.first?.subject == "SIGHUP")
    }

    @Test("What needs a restart is said by name")
    func restart() async {
        let outcome = await make { 3 }.reload(.changed(["/etc/site.yaml"]))
        #expect(outcome == .applied(needRestart: ["access.big", "bridges.big", "listeners.big"]))
        #expect(audited.all.first?.subject == "/etc/site.yaml")
        #expect(audited.all.first?.reason?.contains("access.big") == true)
    }

    @Test("A configuration with mistakes changes nothing, whatever its other parts say")
    func mistakes() async {
        let problems = ["site.yaml:3:1: error: listeners: is empty", "site.yaml:9:1: error: limits: is no mapping"]
        let outcome = await make { throw ReloadRefusal(problems: problems) }.reload(.asked)
        #expect(outcome == .refused(problems))
        #expect(parts.map { $0.state.withLock { $0.prepares } } == [0, 0, 0])
        #expect(audited.all.map(\.kind) == [.configurationRefused])
        #expect(audited.all.first?.reason == problems[0])
    }

    @Test("C10: without a file descriptor to read with, the old configuration stays", arguments: 0..<3)
    func descriptors(failing: Int) async {
        let error = Trouble(description: "users.txt: open: Too many open files")
        parts[failing].state.withLock { $0.fault = error }
        let coordinator = make { 2 }
        let outcome = await coordinator.reload(.asked)
        #expect(outcome == .refused(["\(parts[failing].name): users.txt: open: Too many open files"]))
        #expect(parts.map(\.inForce) == [1, 1, 1])
        #expect(audited.all.map(\.kind) == [.configurationRefused])
        parts[failing].state.withLock { $0.fault = nil }
        #expect(await coordinator.reload(.asked) == .applied(needRestart: []))
        #expect(parts.map(\.inForce) == [2, 2, 2])
    }

    @Test("All problems are told at once")
    func allProblems() async {
        parts[0].state.withLock { $0.fault = Trouble(description: "a") }
        parts[2].state.withLock { $0.fault = Trouble(description: "c") }
        #expect(await make { 2 }.reload(.asked) == .refused(["listeners: a", "bridges: c"]))
    }

    @Test("The first part may refuse as it commits, and nothing else has changed then")
    func lateRefusal() async {
        parts[0].state.withLock { $0.commitFault = Trouble(description: "no") }
        #expect(await make { 2 }.reload(.asked) == .refused(["listeners: no"]))
        #expect(parts.map(\.inForce) == [1, 1, 1])
        parts[0].state.withLock { $0.commitFault = nil }
        parts[1].state.withLock { $0.commitFault = Trouble(description: "no") }
        #expect(await make { 2 }.reload(.asked) == .incomplete(["access: no"]))
        #expect(parts.map(\.inForce) == [2, 1, 2])
    }

    @Test("Reloads follow one another, and many that are asked for at once become few")
    func serial() async {
        let loads = Mutex(0)
        let coordinator = make {
            try await Task.sleep(for: .milliseconds(5))
            return loads.withLock {
                $0 += 1
                return $0
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { await coordinator.reload(.asked) } }
        }
        #expect((1...3).contains(loads.withLock { $0 }))
        #expect(parts.map { $0.state.withLock { $0.overlapped } } == [false, false, false])
        let before = loads.withLock { $0 }
        await coordinator.reload(.asked)
        #expect(loads.withLock { $0 } == before + 1, "a later one reads again")
        #expect(parts[0].inForce == before + 1)
    }
}

@Suite("Watching files")
struct FileWatchTests {
    private final class Place {
        let path = NSTemporaryDirectory() + "causeway-watch-\(UInt64.random(in: 0 ... .max))"
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
        func file(_ name: String) -> String { path + "/" + name }
        func write(_ text: String, _ name: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
        }
    }

    private func look(_ state: inout FileWatchState) -> [String] { state.look { FileFingerprint($0) } }

    @Test("A change is reported once, when it has rested from one look to the next")
    func rests() throws {
        let place = try Place()
        try place.write("a", "users")
        var state = FileWatchState()
        state.watch([place.file("users"), place.file("missing")]) { FileFingerprint($0) }
        #expect(look(&state) == [])
        try place.write("ab", "users")
        #expect(look(&state) == [])
        try place.write("abc", "users")
        #expect(look(&state) == [], "it still moves")
        #expect(look(&state) == [place.file("users")])
        #expect(look(&state) == [])
        try place.write("new", "missing")
        #expect(look(&state) == [])
        #expect(look(&state) == [place.file("missing")], "a file that appears is a change")
        try FileManager.default.removeItem(atPath: place.file("users"))
        #expect(look(&state) == [])
        #expect(look(&state) == [place.file("users")], "and one that goes")
    }

    @Test("A Kubernetes volume swaps one link, and all files behind it have changed")
    func linkSwap() throws {
        let place = try Place()
        let manager = FileManager.default
        for version in ["v1", "v2"] {
            try manager.createDirectory(atPath: place.file(version), withIntermediateDirectories: true)
            try place.write("certificate", "\(version)/tls.pem")
            try place.write("key", "\(version)/tls.key")
        }
        try manager.createSymbolicLink(atPath: place.file("data"), withDestinationPath: "v1")
        for name in ["tls.pem", "tls.key"] {
            try manager.createSymbolicLink(atPath: place.file(name), withDestinationPath: "data/\(name)")
        }
        let files = [place.file("tls.key"), place.file("tls.pem")]
        var state = FileWatchState()
        state.watch(files) { FileFingerprint($0) }
        try manager.createSymbolicLink(atPath: place.file("data.new"), withDestinationPath: "v2")
        #expect(rename(place.file("data.new"), place.file("data")) == 0)
        #expect(look(&state) == [])
        #expect(look(&state) == files)
    }

    @Test("A file of the same size that is written in the same second has changed")
    func sameSize() throws {
        let place = try Place()
        try place.write("allow", "acl")
        var state = FileWatchState()
        state.watch([place.file("acl")]) { FileFingerprint($0) }
        // As editors do it: a new file takes the name. In place, the clock of the file system might not have moved on.
        try Data("deny!".utf8).write(to: URL(fileURLWithPath: place.file("acl")), options: .atomic)
        _ = look(&state)
        #expect(look(&state) == [place.file("acl")])
    }

    @Test("What the node itself has written is no news")
    func own() throws {
        let place = try Place()
        try place.write("{}", "dynsec.json")
        var state = FileWatchState()
        state.watch([place.file("dynsec.json")]) { FileFingerprint($0) }
        try place.write("{\"clients\":[]}", "dynsec.json")
        state.accept(place.file("dynsec.json")) { FileFingerprint($0) }
        #expect(look(&state) == [])
        #expect(look(&state) == [])
    }

    @Test("The watch reports by itself")
    func timer() async throws {
        let place = try Place()
        try place.write("a", "users")
        let (changes, continuation) = AsyncStream.makeStream(of: [String].self)
        let watch = FileWatch(everySeconds: 0.02) { continuation.yield($0) }
        watch.watch([place.file("users")])
        try place.write("ab", "users")
        var found: [String]?
        for await change in changes {
            found = change
            break
        }
        watch.stop()
        #expect(found == [place.file("users")])
    }
}
