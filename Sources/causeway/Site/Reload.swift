import Broker

/// A part of a running node that can take a changed configuration: access, listeners, bridges.
///
/// A reload has two steps, so that it is taken as a whole or not at all: every part prepares, then every part commits.
protocol Reloadable<Configuration>: Sendable {
    associatedtype Configuration: Sendable

    /// Its name in the operator's log.
    var name: String { get }

    /// Reads and checks everything that the configuration asks of it, files included, and changes nothing.
    ///
    /// - Throws: Why the configuration cannot be used, with file and line where they are known.
    func prepare(_ new: Configuration, replacing old: Configuration) async throws -> PreparedReload
}

/// What a part has read and checked, ready to be put in force.
struct PreparedReload: Sendable {
    /// Puts it in force. Only that of the first part may throw, and only if it has changed nothing then.
    let commit: @Sendable () async throws -> ReloadNotes

    init(commit: @escaping @Sendable () async throws -> ReloadNotes) { self.commit = commit }

    /// A part that has nothing to do.
    static let nothing = PreparedReload { ReloadNotes() }
}

/// What a part says of its reload.
struct ReloadNotes: Sendable, Hashable {
    /// What is in force now, such as `listener tls`.
    var applied: [String] = []
    /// Settings that changed and only count from the next start on, by name.
    var needRestart: [String] = []
    /// What the auditor is to know beyond the reload itself.
    var events: [AuditEvent] = []
}

/// A configuration as it was read, and the files that it depends on.
struct LoadedConfiguration<Configuration: Sendable>: Sendable {
    var value: Configuration
    /// Files whose change asks for a reload: the configuration's own and those that it names.
    var files: [String]
}

/// Why a configuration cannot be used: one line for each problem, with file and line.
struct ReloadRefusal: Error, CustomStringConvertible {
    var problems: [String]
    /// What the auditor is to know beyond the refusal itself.
    var events: [AuditEvent] = []
    var description: String { problems.joined(separator: "\n") }
}

/// Who asked for a reload.
enum ReloadCause: Sendable, Hashable {
    /// SIGHUP, or an administrator.
    case asked
    /// These files have changed.
    case changed([String])

    /// In the audit log.
    var subject: String {
        switch self {
        case .asked: "SIGHUP"
        case .changed(let files): files.joined(separator: ", ")
        }
    }
}

/// How a reload ended.
enum ReloadOutcome: Sendable, Hashable {
    /// The new configuration is in force, but for the settings that need a restart.
    case applied(needRestart: [String])
    /// Nothing was changed, for these reasons.
    case refused([String])
    /// A part failed after others had changed: this is a mistake of ours. The node works on with both.
    case incomplete([String])
}
