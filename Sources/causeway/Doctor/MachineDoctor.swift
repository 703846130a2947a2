import CLinux
import CoreFoundation
import Foundation

/// The machine: file descriptors, the clock, the kernel's limits for sockets.
struct MachineDoctor {
    /// File descriptors beside those of connections: segments, listeners, databases.
    static let descriptorsBesideConnections = 256
    /// Connections that wait to be accepted, at least.
    static let backlogMin = 1_024
    /// What a connection's buffers in the kernel take when it is busy, for the look at tcp_mem.
    static let kernelBytesPerConnection = 8_192

    /// Connections that the configuration allows.
    let connections: Int

    func findings() -> [DoctorFinding] {
        [descriptors(), clock(), backlog(), socketMemory()].compactMap { $0 }
    }

    private func descriptors() -> DoctorFinding {
        let check = "file_descriptors"
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return .warning(check, "the limit of file descriptors cannot be read", "Look at ulimit -n.")
        }
        let allowed = Int(clamping: limit.rlim_cur)
        let needed = connections + Self.descriptorsBesideConnections
        guard allowed < needed else { return .good(check, "\(allowed) file descriptors, \(needed) needed at most") }
        return .warning(
            check,
            "\(allowed) file descriptors are allowed, and \(connections) connections need \(needed)",
            "Raise the limit (LimitNOFILE=\(needed) in a systemd unit), or lower limits.max_connections."
        )
    }

    private func clock() -> DoctorFinding {
        let check = "clock"
        var state = timex()
        let result = adjtimex(&state)
        let advice =
            "Run a time service such as chrony or systemd-timesyncd: times in messages and certificates need it."
        guard result >= 0 else { return .warning(check, "the state of the clock cannot be read", advice) }
        guard result != TIME_ERROR, state.status & STA_UNSYNC == 0 else {
            return .warning(check, "the clock is not synchronised", advice)
        }
        return .good(check, "the clock is synchronised, within \(SizeText.decimal(Double(state.maxerror) / 1_000)) ms")
    }

    private func backlog() -> DoctorFinding? {
        let path = "/proc/sys/net/core/somaxconn"
        guard let value = SystemFile.numbers(path).first else { return nil }
        guard value < Self.backlogMin else { return .good("somaxconn", "\(value) connections may wait to be accepted") }
        return .warning(
            "somaxconn",
            "only \(value) connections may wait to be accepted: when all devices come back at once, some are refused",
            "sysctl net.core.somaxconn=\(Self.backlogMin * 4)"
        )
    }

    private func socketMemory() -> DoctorFinding? {
        let pages = SystemFile.numbers("/proc/sys/net/ipv4/tcp_mem")
        guard pages.count == 3 else { return nil }
        let bytes = pages[1] * Int(sysconf(Int32(_SC_PAGESIZE)))
        let needed = connections * Self.kernelBytesPerConnection
        let text = "the kernel keeps \(SizeText.bytes(bytes)) for TCP before it saves memory"
        guard bytes < needed else { return .good("tcp_mem", text) }
        return .warning(
            "tcp_mem",
            "\(text), and \(connections) busy connections may take \(SizeText.bytes(needed))",
            "Raise net.ipv4.tcp_mem, or lower limits.max_connections."
        )
    }
}
