import Glibc
public import Journal
import Repeatable
import Synchronization

/// A disk in memory that does, from a seed, what disks do to those who do not sync.
///
/// - After ``cutPower()``, or at the call given to ``cutPower(atCall:)``, everything fails. ``restarted(seed:)`` gives
///   the disk as the next boot finds it: of every sector written and not synced, any of the versions it had (none, an
///   earlier one, the last), independently of its neighbours; of the directory changes not synced, some first ones.
/// - ``fail(call:code:)`` makes one call fail. A failed sync drops what it should have stored and the next one
///   succeeds, as Linux does.
/// - ``spaceLimit`` makes files that would grow beyond it fail with `ENOSPC`.
/// - ``edit(_:_:)`` changes bytes behind the journal's back.
///
/// Calls that change something are numbered from 1, see ``calls``.
public final class FaultyDisk: Disk {
    /// What is lost or kept as a whole.
    public static let sectorBytes = 512

    struct Node: Sendable {
        var live: [UInt8] = []
        var stored: [UInt8] = []
        /// Versions of sectors that were written since the last sync, oldest first.
        var unsynced: [Int: [[UInt8]]] = [:]
    }

    enum NameChange: Sendable {
        case link(String, Int)
        case rename(String, String)
        case remove(String)
    }

    struct State: Sendable {
        var random: SeededRandom
        var nodes: [Int: Node] = [:]
        var names: [String: Int] = [:]
        var storedNames: [String: Int] = [:]
        var unsyncedNames: [NameChange] = []
        var locks: Set<String> = []
        var nextNode = 1
        var calls = 0
        var failures: [Int: Int32] = [:]
        var readFailures: Set<Int> = []
        var reads = 0
        var cutAt: Int?
        var isOff = false
        var spaceLimit = Int.max
        var shortWrites = false
        var log: [String] = []
    }

    let state: Mutex<State>

    /// Makes an empty disk.
    public init(seed: UInt64) {
        state = Mutex(State(random: SeededRandom(seed: seed)))
    }

    private init(_ state: State) { self.state = Mutex(state) }

    // MARK: What tests do to it

    /// How many calls that change something were made.
    public var calls: Int { state.withLock { $0.calls } }

    /// The changing calls in order, for messages of failed tests.
    public var log: [String] { state.withLock { $0.log } }

    /// The most bytes that all files may have.
    public var spaceLimit: Int {
        get { state.withLock { $0.spaceLimit } }
        set { state.withLock { $0.spaceLimit = newValue } }
    }

    /// Whether writes may be cut short, as the system may cut them.
    public var shortWrites: Bool {
        get { state.withLock { $0.shortWrites } }
        set { state.withLock { $0.shortWrites = newValue } }
    }

    /// Makes the call with this number fail.
    public func fail(call: Int, code: Int32) { state.withLock { $0.failures[call] = code } }

    /// Makes the read with this number, counted from now, fail with `EIO`; nil: none.
    public func fail(read: Int?) {
        state.withLock { state in state.readFailures = Set([read].compactMap(\.self).map { state.reads + $0 }) }
    }

    /// Cuts the power during the call with this number.
    public func cutPower(atCall call: Int) { state.withLock { $0.cutAt = call } }

    /// Cuts the power now.
    public func cutPower() { state.withLock { $0.isOff = true } }

    /// Whether the power is off.
    public var isOff: Bool { state.withLock { $0.isOff } }

    /// The disk after the power came back.
    public func restarted(seed: UInt64) -> FaultyDisk {
        state.withLock { old in
            var fresh = State(random: SeededRandom(seed: seed))
            fresh.nextNode = old.nextNode
            fresh.storedNames = old.storedNames
            let survivors = Int.random(in: 0...old.unsyncedNames.count, using: &fresh.random)
            for change in old.unsyncedNames.prefix(survivors) { FaultyDisk.apply(change, to: &fresh.storedNames) }
            fresh.names = fresh.storedNames
            for (name, id) in fresh.names.sorted(by: { $0.key < $1.key }) {
                guard let node = old.nodes[id] else { continue }
                _ = name
                let content = FaultyDisk.survivors(of: node, &fresh.random)
                fresh.nodes[id] = Node(live: content, stored: content)
            }
            return FaultyDisk(fresh)
        }
    }

    /// The disk after the process died but the machine did not: nothing that was written is lost.
    public func afterProcessDeath(seed: UInt64) -> FaultyDisk {
        state.withLock { old in
            var fresh = old
            fresh.random = SeededRandom(seed: seed)
            fresh.locks = []
            fresh.failures = [:]
            fresh.readFailures = []
            fresh.cutAt = nil
            fresh.isOff = false
            fresh.calls = 0
            fresh.log = []
            return FaultyDisk(fresh)
        }
    }

    /// The paths of all files.
    public var paths: [String] { state.withLock { $0.names.keys.sorted() } }

    /// A file's bytes.
    public func contents(of path: String) -> [UInt8]? {
        state.withLock { state in state.names[path].flatMap { state.nodes[$0]?.live } }
    }

    /// Changes a file's bytes as if it had always had them.
    public func edit(_ path: String, _ change: (inout [UInt8]) -> Void) {
        state.withLock { state in
            guard let id = state.names[path], var node = state.nodes[id] else { return }
            change(&node.live)
            node.stored = node.live
            node.unsynced = [:]
            state.nodes[id] = node
        }
    }

    /// Puts a file there, or takes it away with nil.
    public func place(_ bytes: [UInt8]?, at path: String) {
        state.withLock { state in
            guard let bytes else {
                state.names[path] = nil
                state.storedNames[path] = nil
                return
            }
            let id = state.nextNode
            state.nextNode += 1
            state.nodes[id] = Node(live: bytes, stored: bytes)
            state.names[path] = id
            state.storedNames[path] = id
        }
    }

    // MARK: What survives

    private static func survivors(of node: Node, _ random: inout SeededRandom) -> [UInt8] {
        // The size is either the synced or the latest one; what was synced is never shorter.
        var content = node.stored
        let grown = node.live.count - node.stored.count
        if grown > 0, Bool.random(using: &random) { content += [UInt8](repeating: 0, count: grown) }
        for (sector, versions) in node.unsynced.sorted(by: { $0.key < $1.key }) {
            let choice = Int.random(in: 0...versions.count, using: &random)
            guard choice > 0 else { continue }
            let start = sector * sectorBytes
            for (offset, byte) in versions[choice - 1].enumerated() where start + offset < content.count {
                content[start + offset] = byte
            }
        }
        return content
    }

    static func apply(_ change: NameChange, to names: inout [String: Int]) {
        switch change {
        case .link(let name, let id): names[name] = id
        case .rename(let from, let to):
            names[to] = names[from]
            names[from] = nil
        case .remove(let name): names[name] = nil
        }
    }
}

// MARK: Disk

extension FaultyDisk {
    /// Directories always exist.
    public func createDirectory(_ path: String) throws(DiskError) {}

    /// The names in a directory.
    public func list(_ directory: String) throws(DiskError) -> [String] {
        let prefix = directory + "/"
        return state.withLock { state in
            state.names.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        }
    }

    /// Opens a file.
    public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        let existing = state.withLock { $0.names[path] }
        if let existing { return FaultyFile(disk: self, node: existing, path: path) }
        guard create else { throw DiskError(operation: "open", code: ENOENT, path: path) }
        let id = try change("open", path) { state throws(DiskError) in
            let id = state.nextNode
            state.nextNode += 1
            state.nodes[id] = Node()
            state.names[path] = id
            state.unsyncedNames.append(.link(path, id))
            return id
        }
        return FaultyFile(disk: self, node: id, path: path)
    }

    /// Renames a file.
    public func rename(_ from: String, to: String) throws(DiskError) {
        try change("rename", from) { state throws(DiskError) in
            guard state.names[from] != nil else { throw DiskError(operation: "rename", code: ENOENT, path: from) }
            FaultyDisk.apply(.rename(from, to), to: &state.names)
            state.unsyncedNames.append(.rename(from, to))
        }
    }

    /// Removes a file's name. Who has it open may go on.
    public func remove(_ path: String) throws(DiskError) {
        try change("unlink", path) { state throws(DiskError) in
            guard state.names[path] != nil else { throw DiskError(operation: "unlink", code: ENOENT, path: path) }
            FaultyDisk.apply(.remove(path), to: &state.names)
            state.unsyncedNames.append(.remove(path))
        }
    }

    /// Makes all changes of names durable.
    public func syncDirectory(_ path: String) throws(DiskError) {
        try change("fsync", path) { state throws(DiskError) in
            for change in state.unsyncedNames { FaultyDisk.apply(change, to: &state.storedNames) }
            state.unsyncedNames = []
        }
    }

    /// Takes a lock.
    public func lock(_ path: String) throws(DiskError) -> any DiskLock {
        let isTaken = state.withLock { !$0.locks.insert(path).inserted }
        guard !isTaken else { throw DiskError(operation: "flock", code: EWOULDBLOCK, path: path) }
        return FaultyLock(disk: self, path: path)
    }

    /// Counts a changing call, lets it fail if it is its turn, performs it, and cuts the power if that is due.
    func change<Result: Sendable>(
        _ operation: String,
        _ path: String,
        onFailure: (inout State) -> Void = { _ in },
        _ body: (inout State) throws(DiskError) -> Result
    ) throws(DiskError) -> Result {
        let outcome: Swift.Result<Result, DiskError> = state.withLock { state in
            guard !state.isOff else { return .failure(DiskError(operation: operation, code: EIO, path: path)) }
            state.calls += 1
            state.log.append("\(state.calls) \(operation) \(path)")
            if let code = state.failures[state.calls] {
                onFailure(&state)
                return .failure(DiskError(operation: operation, code: code, path: path))
            }
            if state.cutAt == state.calls {
                // What the call would have made durable was not: only what it wrote may be there.
                state.isOff = true
                if operation != "fdatasync", operation != "fsync" { _ = try? body(&state) }
                return .failure(DiskError(operation: operation, code: EIO, path: path))
            }
            do throws(DiskError) { return .success(try body(&state)) } catch { return .failure(error) }
        }
        return try outcome.get()
    }
}

final class FaultyLock: DiskLock {
    private let disk: FaultyDisk
    private let path: String

    init(disk: FaultyDisk, path: String) {
        self.disk = disk
        self.path = path
    }

    deinit { _ = disk.state.withLock { $0.locks.remove(path) } }
}
