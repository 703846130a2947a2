import Journal
import TestSupport

/// A computer of the world: a disk, a clock that may be wrong, and a broker that runs on it while it is up.
final class Machine {
    /// What it is told once.
    struct Setup {
        var name: String
        /// Nanoseconds that a write and sync take.
        var diskLatency: ClosedRange<UInt64> = 100 * Time.microsecond...3 * Time.millisecond
        /// Nanoseconds from one thread to another.
        var hop: ClosedRange<UInt64> = 5 * Time.microsecond...200 * Time.microsecond
        /// Bytes of records between two checkpoints.
        var checkpointBytes = 16 * 1024
        /// Parts in a million that the wall clock is fast or slow.
        var drift: Int64 = 0
        /// The most that the journal may take.
        var journalBytesMax = 64 << 20
        var spares = 1
    }

    let kernel: Kernel
    let setup: Setup
    private(set) var disk: FaultyDisk
    /// Milliseconds that the wall clock was set forth or back.
    private(set) var wallJump: Int64 = 0
    /// When the machine was switched on: its monotonic clock begins anew there.
    private(set) var switchedOn: UInt64 = 0
    /// The process, while it runs.
    private(set) var process: BrokerProcess?
    /// Makes a process of the machine.
    var start: (Machine) -> BrokerProcess? = { _ in nil }
    /// The power went in the middle of a call of the disk.
    var onPowerFailure: () -> Void = {}

    init(_ kernel: Kernel, _ setup: Setup) {
        self.kernel = kernel
        self.setup = setup
        disk = FaultyDisk(seed: kernel.random.next())
        disk.shortWrites = kernel.chance(perMille: 300)
    }

    // MARK: - Clocks

    /// Nanoseconds of the monotonic clock, which is never set.
    var monotonic: UInt64 { kernel.now - switchedOn + Time.second }

    /// Milliseconds since 1970 as this machine has it.
    var wall: Int64 {
        let elapsed = Int64(kernel.now / Time.microsecond)
        return 1_700_000_000_000 + (elapsed + elapsed * setup.drift / 1_000_000) / 1000 + wallJump
    }

    /// Sets the wall clock forth or back.
    func setWall(by milliseconds: Int64) {
        wallJump += milliseconds
        kernel.trace.note(.wallJump, Int(milliseconds))
    }

    // MARK: - Life and death

    /// Starts the process. False if there is none: the power may have gone meanwhile.
    func boot() -> Bool {
        guard process == nil else { return true }
        kernel.trace.note(.boot, disk.calls)
        process = start(self)
        if process == nil { _ = lookAtPower() }
        return process != nil
    }

    /// The process dies; the machine lives, so what was written is there.
    func kill() {
        kernel.trace.note(.kill, disk.calls)
        process?.die { $0.abandon(.server) }
        process = nil
        disk = disk.afterProcessDeath(seed: kernel.random.next())
    }

    /// The power goes and comes back: of what was not synced, anything may be there.
    func cutPower() {
        kernel.trace.note(.power, disk.calls)
        process?.die { $0.vanish(.server) }
        process = nil
        disk.cutPower()
        disk = disk.restarted(seed: kernel.random.next())
        disk.shortWrites = kernel.chance(perMille: 300)
        switchedOn = kernel.now
    }

    /// Stops the process in good order.
    func stop() {
        kernel.trace.note(.stop)
        process?.shutDown()
        process?.die { $0.close(from: .server) }
        process = nil
        disk = disk.afterProcessDeath(seed: kernel.random.next())
    }

    /// Called wherever the disk was used: the power may have gone in the middle.
    func lookAtPower() -> Bool {
        guard disk.isOff else { return true }
        kernel.after(0) { [self] in
            guard disk.isOff else { return }
            powerFailed()
        }
        return false
    }

    private func powerFailed() {
        cutPower()
        onPowerFailure()
    }
}
