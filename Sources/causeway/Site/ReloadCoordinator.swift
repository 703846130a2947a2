import Broker
import Logging
import SiteServer

/// Reads a configuration again and puts it in force in all parts of the node, or in none.
///
/// Reloads follow one another. Of those that are asked for while one runs, one more is made: it reads what is there by
/// then.
actor ReloadCoordinator<Configuration: Sendable> {
    private let load: @Sendable () async throws -> LoadedConfiguration<Configuration>
    private let parts: [any Reloadable<Configuration>]
    private let audit: (any AuditSink)?
    private let logger: Logger
    /// Told which files count from now on.
    private let watch: @Sendable ([String]) -> Void

    private var current: Configuration
    private var running: Task<ReloadOutcome, Never>?
    private var waiting: Task<ReloadOutcome, Never>?

    /// Lines of the log for one refusal. The first tell enough.
    private static var problemsMax: Int { 20 }

    /// Makes a coordinator.
    ///
    /// - Parameters:
    ///   - current: What is in force.
    ///   - parts: In the order in which they are put in force. The first may be one that checks as it commits.
    ///   - load: Reads and checks the configuration file.
    init(
        current: Configuration,
        parts: [any Reloadable<Configuration>],
        audit: (any AuditSink)?,
        logger: Logger,
        watch: @escaping @Sendable ([String]) -> Void = { _ in },
        load: @escaping @Sendable () async throws -> LoadedConfiguration<Configuration>
    ) {
        self.current = current
        self.parts = parts
        self.audit = audit
        self.logger = logger
        self.watch = watch
        self.load = load
    }

    /// Reads everything again. Returns when that is done.
    @discardableResult
    func reload(_ cause: ReloadCause) async -> ReloadOutcome {
        if let waiting { return await waiting.value }
        let before = running
        // A task, so that several callers can wait for one reload.
        let task = Task {
            _ = await before?.value
            return await self.begin(cause)
        }
        if before == nil { running = task } else { waiting = task }
        return await task.value
    }

    private func begin(_ cause: ReloadCause) async -> ReloadOutcome {
        if let next = waiting {
            running = next
            waiting = nil
        }
        let outcome = await perform(cause)
        if waiting == nil { running = nil }
        return outcome
    }

    private func perform(_ cause: ReloadCause) async -> ReloadOutcome {
        let loaded: LoadedConfiguration<Configuration>
        var prepared: [(name: String, reload: PreparedReload)] = []
        do {
            loaded = try await load()
        } catch {
            return refuse(Self.problems(error), Self.events(error), cause)
        }
        // All of them, so that all problems are told at once.
        var problems: [String] = []
        var events: [AuditEvent] = []
        for part in parts {
            do {
                prepared.append((part.name, try await part.prepare(loaded.value, replacing: current)))
            } catch {
                problems += Self.problems(error).map { "\(part.name): \($0)" }
                events += Self.events(error)
            }
        }
        guard problems.isEmpty else { return refuse(problems, events, cause) }
        return await commit(loaded, prepared, cause)
    }

    private func commit(
        _ loaded: LoadedConfiguration<Configuration>,
        _ prepared: [(name: String, reload: PreparedReload)],
        _ cause: ReloadCause
    ) async -> ReloadOutcome {
        var notes = ReloadNotes()
        var problems: [String] = []
        for (index, part) in prepared.enumerated() {
            do {
                let more = try await part.reload.commit()
                notes.applied += more.applied
                notes.needRestart += more.needRestart
                notes.events += more.events
            } catch {
                problems += Self.problems(error).map { "\(part.name): \($0)" }
                if index == 0 { return refuse(problems, Self.events(error), cause) }
            }
        }
        current = loaded.value
        watch(loaded.files)
        for event in notes.events { audit?.record(event) }
        let needRestart = notes.needRestart.sorted()
        guard problems.isEmpty else {
            audit?.record(AuditEvent(.configurationReloaded, subject: cause.subject, reason: problems.first))
            for problem in problems.prefix(Self.problemsMax) {
                logger.error("A reload is not whole: restart the node", metadata: ["cw_problem": "\(problem)"])
            }
            return .incomplete(problems)
        }
        let reason = needRestart.isEmpty ? nil : "from the next start on: \(needRestart.joined(separator: ", "))"
        audit?.record(AuditEvent(.configurationReloaded, subject: cause.subject, reason: reason))
        logger.notice(
            "The configuration was read again",
            metadata: ["cw_cause": "\(cause.subject)", "cw_applied": "\(notes.applied.joined(separator: ", "))"]
        )
        if !needRestart.isEmpty {
            logger.warning(
                "Some settings have changed and count from the next start on",
                metadata: ["cw_settings": "\(needRestart.joined(separator: ", "))"]
            )
        }
        return .applied(needRestart: needRestart)
    }

    private func refuse(_ problems: [String], _ events: [AuditEvent], _ cause: ReloadCause) -> ReloadOutcome {
        for problem in problems.prefix(Self.problemsMax) {
            logger.error(
                "A changed configuration is refused; the old one stays",
                metadata: ["cw_problem": "\(problem)"]
            )
        }
        for event in events { audit?.record(event) }
        audit?.record(AuditEvent(.configurationRefused, subject: cause.subject, reason: problems.first))
        return .refused(problems)
    }

    private static func events(_ error: any Error) -> [AuditEvent] { (error as? ReloadRefusal)?.events ?? [] }

    private static func problems(_ error: any Error) -> [String] {
        (error as? ReloadRefusal)?.problems ?? ["\(error)"]
    }
}
