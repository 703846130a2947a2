import Foundation

/// Standard output for payloads: bytes as they are, whole messages at a time.
enum ByteOutput {
    /// Writes all of it; a reader that has gone ends the process by SIGPIPE, as it does for other tools.
    static func write(_ bytes: [UInt8]) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes { Foundation.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { return }
            offset += count
        }
    }
}

/// Standard input for payloads.
struct ByteInput {
    /// The longest line, and the largest message, that is taken: what MQTT can carry.
    static let bytesMax = 268_435_455

    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    /// The next line without its end, or nil at the end of the input or after ``bytesMax``. Blocks.
    mutating func line() -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return Array(buffer[start..<end])
            }
            searched = buffer.count
            if isAtEnd || buffer.count - start > Self.bytesMax {
                defer { start = buffer.count }
                return start < buffer.count ? Array(buffer[start...]) : nil
            }
            if start > 0 {
                buffer.removeFirst(start)
                searched -= start
                start = 0
            }
            isAtEnd = !Self.read(into: &buffer)
        }
    }

    /// Everything, up to ``bytesMax`` bytes. Blocks.
    static func all() -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count <= bytesMax, read(into: &bytes) {}
        return bytes
    }

    /// False at the end.
    private static func read(into bytes: inout [UInt8]) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { Foundation.read(STDIN_FILENO, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { return false }
            bytes += chunk.prefix(count)
            return true
        }
    }
}
