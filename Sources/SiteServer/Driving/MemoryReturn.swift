internal import Glibc
internal import NIOPosix

/// When memory that is free goes back to the system.
///
/// The allocator keeps what was freed between pieces that are in use, so a crowd that came and went leaves its memory
/// behind. Asking for it costs a walk through the heap, so it is asked for after a crowd alone, and seldom.
struct MemoryReturn {
    /// Connections that have to go before it is worth while.
    private static let connectionsMin = 256
    /// The shortest time between two walks.
    private static let restNanoseconds: UInt64 = 5_000_000_000

    private var gone = 0
    private var notBefore: UInt64 = 0

    /// Notes that a connection has gone.
    mutating func connectionIsGone() { gone += 1 }

    /// Whether it is time. If so, counting begins again.
    mutating func isDue(now: UInt64) -> Bool {
        guard gone >= Self.connectionsMin, now >= notBefore else { return false }
        gone = 0
        notBefore = now + Self.restNanoseconds
        return true
    }

    /// Gives free memory back, on a thread of the pool: others wait for it only where they allocate meanwhile.
    static func perform(on pool: NIOThreadPool) {
        pool.submit { _ in _ = trim?(0) }
    }

    /// `malloc_trim`, where the C library has it.
    private static let trim: (@convention(c) (Int) -> CInt)? = {
        dlsym(nil, "malloc_trim").map { unsafeBitCast($0, to: (@convention(c) (Int) -> CInt).self) }
    }()
}
