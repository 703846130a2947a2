import Glibc
import Journal
import Synchronization

/// An open file of a ``FaultyDisk``.
final class FaultyFile: DiskFile {
    private let disk: FaultyDisk
    private let node: Int
    private let path: String

    init(disk: FaultyDisk, node: Int, path: String) {
        self.disk = disk
        self.node = node
        self.path = path
    }

    func size() throws(DiskError) -> Int {
        disk.state.withLock { $0.nodes[node]?.live.count ?? 0 }
    }

    func allocate(_ bytes: Int) throws(DiskError) {
        try disk.change("fallocate", path) { state throws(DiskError) in
            try self.grow(to: bytes, &state, "fallocate")
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        let copy = [UInt8](bytes)
        return try disk.change("pwrite", path) { state throws(DiskError) in
            var count = copy.count
            if state.shortWrites, count > 1, Bool.random(using: &state.random) {
                count = Int.random(in: 1..<count, using: &state.random)
            }
            try self.grow(to: offset + count, &state, "pwrite")
            guard count > 0, var node = state.nodes[self.node] else { return 0 }
            state.nodes[self.node] = nil
            node.live.replaceSubrange(offset..<offset + count, with: copy[0..<count])
            for sector in offset / FaultyDisk.sectorBytes...(offset + count - 1) / FaultyDisk.sectorBytes {
                let start = sector * FaultyDisk.sectorBytes
                let end = min(start + FaultyDisk.sectorBytes, node.live.count)
                node.unsynced[sector, default: []].append(Array(node.live[start..<end]))
            }
            state.nodes[self.node] = node
            return count
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        let bytes: [UInt8]? = disk.state.withLock { state in
            state.reads += 1
            guard !state.readFailures.contains(state.reads) else { return nil }
            guard let live = state.nodes[node]?.live, offset < live.count else { return [] }
            return Array(live[offset..<min(offset + buffer.count, live.count)])
        }
        guard let bytes else { throw DiskError(operation: "pread", code: EIO, path: path) }
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    func sync() throws(DiskError) {
        // A failed sync leaves the cache as it is and forgets that it was never stored.
        let forget: (inout FaultyDisk.State) -> Void = { $0.nodes[self.node]?.unsynced = [:] }
        try disk.change("fdatasync", path, onFailure: forget) { state throws(DiskError) in
            guard var node = state.nodes[self.node] else { return }
            state.nodes[self.node] = nil
            if node.stored.count != node.live.count {
                node.stored += [UInt8](repeating: 0, count: max(0, node.live.count - node.stored.count))
            }
            for (sector, versions) in node.unsynced {
                guard let last = versions.last else { continue }
                let start = sector * FaultyDisk.sectorBytes
                node.stored.replaceSubrange(start..<start + last.count, with: last)
            }
            node.unsynced = [:]
            state.nodes[self.node] = node
        }
    }

    private func grow(to bytes: Int, _ state: inout FaultyDisk.State, _ operation: String) throws(DiskError) {
        guard let count = state.nodes[node]?.live.count, bytes > count else { return }
        let used = state.names.values.reduce(0) { $0 + (state.nodes[$1]?.live.count ?? 0) }
        guard used + bytes - count <= state.spaceLimit else {
            throw DiskError(operation: operation, code: ENOSPC, path: path)
        }
        state.nodes[node]?.live.append(contentsOf: [UInt8](repeating: 0, count: bytes - count))
    }
}
