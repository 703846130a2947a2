import Audit
import Broker
import CausewayConfiguration
import Logging
import SiteServer

/// Takes the core's and the node's audit events to the audit log.
final class AuditWriter: AuditSink {
    let log: AuditLog

    /// Opens the log.
    ///
    /// - Parameter stop: Called once if the disk refuses records and the site's policy is to stop then. On the log's
    ///   thread: it must not wait for the log.
    init(_ configuration: AuditConfiguration, logger: Logger, stop: @escaping @Sendable () -> Void) throws {
        let policy = configuration.onFailure
        log = try AuditLog.open(configuration) { report in
            Self.tell(report, logger)
            if policy == .stop, case .failing = report { stop() }
        }
    }

    /// Takes an event. It never waits for the disk.
    func record(_ event: AuditEvent) {
        var fields: [AuditRecord.Field] = []
        func add(_ name: String, _ value: String?) {
            if let value { fields.append(AuditRecord.Field(name, value)) }
        }
        add("client", event.clientID)
        add("user", event.username)
        add("address", event.remoteAddress)
        add("listener", event.listener)
        add("subject", event.subject)
        add("reason", event.reason)
        log.record(AuditRecord(event.kind.rawValue, fields))
    }

    /// The last record on the disk, as `$SYS/broker/audit/head` says it: whoever keeps it elsewhere can tell later
    /// whether the log was written anew.
    var head: String { log.head.description }

    /// What it has counted since the start.
    var statistics: AuditLog.Statistics { log.statistics }

    /// Writes what waits, and ends.
    func close() { log.close() }

    private static func tell(_ report: AuditReport, _ logger: Logger) {
        switch report {
        case .failing(let error):
            logger.error("The audit log cannot be written", metadata: ["cw_error": "\(error)"])
        case .working(let lost):
            logger.warning("The audit log is written again", metadata: ["cw_lost_records": "\(lost)"])
        case .setAside(let file, let bytes):
            logger.warning(
                "The audit log ended with half a record, which was set aside",
                metadata: ["cw_file": "\(file)", "cw_bytes": "\(bytes)"]
            )
        case .broken(let what):
            logger.error("The audit log is not as it was left", metadata: ["cw_error": "\(what)"])
        }
    }
}
