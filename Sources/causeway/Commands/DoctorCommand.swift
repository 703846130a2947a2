import ArgumentParser
import CausewayConfiguration
import Foundation
import Journal

/// `causeway doctor`: what a machine is good for, and what is wrong with it, before a site runs there or beside it.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Measure the disk and check the machine and the files that a site needs.",
        discussion: """
            Measures how long a commit takes with 1, 16 and 128 records (about three seconds, in a file that is removed \
            again) and says which rate of QoS 1 to expect. With --config it also looks at the site's files, certificates \
            and ports. Ends with 1 if something is wrong; warnings do not count.
            """
    )

    @Option(name: [.customShort("c"), .customLong("config")], help: "The configuration of a site.")
    var file: String?

    @Argument(help: "A data folder; without it, that of the configuration or this folder.")
    var directory: String?

    @Option(help: "text or json.")
    var format = JournalCommand.Format.text

    func run() throws {
        let site = try file.map { try Self.site($0) }
        let journal = site?.journal ?? JournalConfiguration()
        let folder = directory ?? (site == nil ? "." : journal.path)
        let connections = (site?.limits ?? LimitsConfiguration()).maxConnections
        let storage = StorageDoctor(folder: folder, maxBytes: journal.maxBytes)
        let (disk, measurements) = storage.findings()
        let findings =
            disk + MachineDoctor(connections: connections).findings()
            + (site.map { SiteDoctor(site: $0).findings() } ?? [])
        let isWell = !findings.contains { $0.status == .wrong }
        if format == .json {
            try JournalCommand.print(
                json: DoctorReport(folder: folder, well: isWell, findings: findings, measurements: measurements)
            )
        } else {
            for finding in findings { write(finding) }
        }
        guard isWell else { throw ExitCode.failure }
    }

    /// What is wrong with its files is the doctor's to say: only a text that is none ends here.
    private static func site(_ path: String) throws -> SiteConfiguration {
        guard let site = ConfigurationFile.siteText(path, Output.problem) else { throw ExitCode.failure }
        return site
    }

    private func write(_ finding: DoctorFinding) {
        let word =
            switch finding.status {
            case .good: "good   "
            case .warning: "warning"
            case .wrong: "WRONG  "
            }
        Output.line("\(word)  \(finding.check): \(finding.message)")
        if let advice = finding.advice { Output.line("         → \(advice)") }
    }
}

/// What `doctor --format json` prints.
private struct DoctorReport: Encodable {
    struct Measurement: Encodable {
        var recordsPerCommit: Int
        var commits: Int
        var medianMicroseconds: Double
        var p99Microseconds: Double
        var maxMicroseconds: Double
        var recordsPerSecond: Double
    }

    var folder: String
    var well: Bool
    var findings: [DoctorFinding]
    var commits: [Measurement]

    init(folder: String, well: Bool, findings: [DoctorFinding], measurements: [DiskMeasurement]) {
        self.folder = folder
        self.well = well
        self.findings = findings
        commits = measurements.map { measured in
            Measurement(
                recordsPerCommit: measured.recordsPerCommit,
                commits: measured.commits,
                medianMicroseconds: measured.medianMicroseconds,
                p99Microseconds: measured.percentile99Microseconds,
                maxMicroseconds: measured.longestMicroseconds,
                recordsPerSecond: measured.recordsPerSecond
            )
        }
    }
}
