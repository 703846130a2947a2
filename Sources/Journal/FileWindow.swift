/// A part of a file in memory that moves as the reader goes on.
struct FileWindow: ~Copyable {
    /// What a damaged disk answers with errors for is read in such pieces, and what stays unreadable counts as zeros.
    private static let salvageBlockBytes = 4096

    private let file: any DiskFile
    private let chunkBytes: Int
    private let isTolerant: Bool
    private var buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var count = 0

    /// Makes a window. A tolerant one takes unreadable blocks for zeros, others throw.
    init(_ file: any DiskFile, chunkBytes: Int, isTolerant: Bool = false) {
        self.file = file
        self.chunkBytes = max(chunkBytes, Frame.headerBytes)
        self.isTolerant = isTolerant
        buffer = .allocate(byteCount: self.chunkBytes, alignment: Frame.alignment)
    }

    deinit { buffer.deallocate() }

    /// The bytes from `offset` on, at least `wanted` of them and at most up to `limit`; nil if the file has fewer.
    /// Valid until the next call.
    mutating func bytes(at offset: Int, wanted: Int, limit: Int) throws(DiskError) -> UnsafeRawBufferPointer? {
        guard wanted >= 0, offset >= 0, limit - offset >= wanted else { return nil }
        if offset < start || offset + wanted > start + count {
            try load(offset, wanted: wanted, limit: limit)
            guard wanted <= count else { return nil }
        }
        let available = min(start + count, limit) - offset
        return UnsafeRawBufferPointer(rebasing: buffer[(offset - start)..<(offset - start + available)])
    }

    private mutating func load(_ offset: Int, wanted: Int, limit: Int) throws(DiskError) {
        if wanted > buffer.count {
            buffer.deallocate()
            buffer = .allocate(byteCount: wanted, alignment: Frame.alignment)
        }
        start = offset
        count = 0
        let length = min(max(chunkBytes, wanted), limit - offset, buffer.count)
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<length])
        do throws(DiskError) {
            count = try file.read(into: target, at: offset)
        } catch {
            guard isTolerant else { throw error }
            count = salvage(into: target, at: offset)
        }
    }

    private func salvage(into target: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        target.initializeMemory(as: UInt8.self, repeating: 0)
        var position = 0
        while position < target.count {
            let block = FileWindow.salvageBlockBytes
            let length = min(block - (offset + position) % block, target.count - position)
            let piece = UnsafeMutableRawBufferPointer(rebasing: target[position..<position + length])
            if (try? file.read(into: piece, at: offset + position)) == nil {
                piece.initializeMemory(as: UInt8.self, repeating: 0)
            }
            position += length
        }
        return target.count
    }
}
