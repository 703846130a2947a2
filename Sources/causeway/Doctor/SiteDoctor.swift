import CausewayConfiguration
import CertificateAuthority
import CoreFoundation
import Foundation
import Journal
import NIOCore
import NIOPosix

/// What a site's configuration asks of the machine: files, certificates, ports.
struct SiteDoctor {
    /// A certificate that ends earlier is told.
    static let certificateDaysMin = 30

    let site: SiteConfiguration

    func findings() -> [DoctorFinding] { files() + certificates() + ports() }

    private func files() -> [DoctorFinding] {
        let problems = FileChecks.check(site.fileReferences, file: site.file)
        guard !problems.isEmpty else {
            let count = SizeText.count(site.fileReferences.count, "file")
            return [.good("files", "\(count) of the configuration: there, readable, keys closed to others")]
        }
        return problems.map { problem in
            let advice = problem.hint ?? "See causeway check."
            return problem.severity == .error
                ? .wrong("files", problem.message, advice) : .warning("files", problem.message, advice)
        }
    }

    private func certificates() -> [DoctorFinding] {
        let paths = Set(site.fileReferences.filter { $0.purpose == .certificates }.map(\.path))
        return paths.sorted().compactMap { path in
            guard let pem = try? Certificates.read(path), let details = try? CertificateDetails(pem: pem) else {
                return nil
            }
            let days = details.daysLeft()
            let text = "\(path) (\(details.commonName))"
            if days < 0 {
                return .wrong("certificates", "\(text) ended \(-days) days ago", "Renew it: causeway certs renew.")
            }
            if details.validity.notBefore > Date() {
                return .wrong("certificates", "\(text) does not count yet", "Look at the clock of this machine.")
            }
            guard days >= Self.certificateDaysMin else {
                return .warning(
                    "certificates",
                    "\(text) ends in \(SizeText.count(days, "day"))",
                    "Renew it: causeway certs renew; a running site takes it up by itself."
                )
            }
            return .good("certificates", "\(text) counts for \(days) days")
        }
    }

    /// Whether the addresses are free. While the site runs it has them itself.
    private func ports() -> [DoctorFinding] {
        let check = "ports"
        let lock = (try? JournalInspection(directory: "\(site.journal.path)/\(DataFolder.journal)"))?.isOpen ?? false
        if lock { return [.good(check, "the site runs, and has its ports")] }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        var addresses = site.listeners.filter { $0.unixSocket == nil }.map(\.bind)
        if let console = site.console { addresses.append(console.bind) }
        return addresses.filter { $0.port > 0 }.map { address in
            let host = address.host.isEmpty ? "0.0.0.0" : address.host
            do {
                let bootstrap = ServerBootstrap(group: group).serverChannelOption(
                    .socketOption(.so_reuseaddr),
                    value: 1
                )
                try bootstrap.bind(host: host, port: address.port).wait().close().wait()
                return .good(check, "\(address) is free")
            } catch {
                return .wrong(
                    check,
                    "\(address) cannot be bound: \(error)",
                    "Find out who has it (ss -ltnp), or whether this user may bind it."
                )
            }
        }
    }
}
