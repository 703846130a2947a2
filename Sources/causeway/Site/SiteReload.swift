import Broker
import CausewayConfiguration
import Journal
import Logging
import SiteServer
import Synchronization

/// Reads a site's configuration again when SIGHUP comes or a watched file changes, and puts it in force as a whole.
final class SiteReload: Sendable {
    private let signal: ReloadSignal
    private let watch: FileWatch?

    /// Listens from now on.
    init(_ node: SiteNode, source: SiteSource, configuration: SiteConfiguration, logger: Logger) throws {
        let holder = WatchHolder()
        let coordinator = ReloadCoordinator(
            current: configuration,
            parts: [
                // The listeners check as they commit, so they come first.
                ListenerReloading(server: node.server), AccessReloading(access: node.access, server: node.server),
                node.relays, EncryptionReloading(keys: node.journal?.configuration.keys), RestartReloading(),
            ],
            audit: node.audit,
            logger: logger,
            watch: { holder.watch?.watch($0) },
            load: {
                var refusal = ReloadRefusal(problems: [])
                guard let loaded = source.read({ refusal.add($0) }, note: { refusal.problems.append($0) }) else {
                    throw refusal
                }
                return LoadedConfiguration(value: loaded, files: ReloadSettings.files(loaded))
            }
        )
        // Unstructured: a signal has no task that it could belong to.
        let gate = node.access.gate
        signal = try ReloadSignal(noted: gate.close) {
            Task {
                await coordinator.reload(.asked)
                gate.open()
            }
        }
        guard configuration.reload.watchesFiles else {
            watch = nil
            return
        }
        let watch = FileWatch { changed in Task { await coordinator.reload(.changed(changed)) } }
        watch.watch(ReloadSettings.files(configuration))
        holder.watch = watch
        self.watch = watch
    }

    /// Listens no more.
    func stop() {
        signal.stop()
        watch?.stop()
    }
}

extension ReloadRefusal {
    /// Notes a problem, and for the auditor if it is with the files of a listener's TLS.
    fileprivate mutating func add(_ problem: ConfigurationProblem) {
        problems.append(problem.description)
        guard problem.severity == .error, problem.path.hasPrefix("listeners"),
            problem.purpose == .certificates || problem.purpose == .privateKey
        else { return }
        events.append(AuditEvent(.certificateRefused, subject: problem.path, reason: problem.message))
    }
}

/// Breaks the circle of the coordinator, which says what is watched, and the watch, which asks it to act.
private final class WatchHolder: Sendable {
    private let state = Mutex<FileWatch?>(nil)

    var watch: FileWatch? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// Limits of the node; certificates, authorities, revocation lists, limits and policies of listeners.
private struct ListenerReloading: Reloadable {
    let server: SiteServer
    var name: String { "listeners" }

    func prepare(_ new: SiteConfiguration, replacing old: SiteConfiguration) async throws -> PreparedReload {
        let next = SiteServerConfiguration(new)
        let broker = BrokerConfiguration(new, instanceID: "")
        return PreparedReload { [server] in
            do {
                let report = try await server.reload(listeners: next.listeners, limits: next.limits, broker: broker)
                return ReloadNotes(
                    applied: ["limits"] + report.reloaded.map { "listener \($0)" },
                    needRestart: report.needRestart.map { "listener \($0)" },
                    events: report.certificates.map { change in
                        AuditEvent(
                            .certificateReloaded,
                            listener: change.listener,
                            subject: change.file,
                            reason: "SHA-256 \(change.fingerprint)"
                        )
                    }
                )
            } catch let error as SiteServerError where error.code == .tlsConfiguration {
                let refused = AuditEvent(.certificateRefused, reason: "\(error)")
                throw ReloadRefusal(problems: ["\(error)"], events: [refused])
            }
        }
    }
}

/// Users, rules, tokens' keys and dynamic security.
private struct AccessReloading: Reloadable {
    let access: SiteAccess
    let server: SiteServer
    var name: String { "access" }

    func prepare(_ new: SiteConfiguration, replacing old: SiteConfiguration) async throws -> PreparedReload {
        let reading = try await SiteAccess.read(new)
        return PreparedReload { [access, server] in
            server.accessChanged(try access.adopt(reading))
            return ReloadNotes(applied: ["access"])
        }
    }
}

/// The keys of the journal and the outboxes: what is written from then on is under the new one.
private struct EncryptionReloading: Reloadable {
    let keys: KeyRing?
    var name: String { "journal.encryption" }

    func prepare(_ new: SiteConfiguration, replacing old: SiteConfiguration) async throws -> PreparedReload {
        guard let keys, let encryption = new.journal.encryption else { return .nothing }
        let (primary, retired) = try EncryptionKeys.read(encryption)
        // Files were written with it a moment ago: without it, the next start would be refused.
        let former = keys.primary
        guard ([primary] + retired).contains(where: { $0.id == former.id }) else {
            throw StartFailure("journal.encryption: the key \(former.name) is in use: keep it in retired_keyfiles")
        }
        let isNew = keys.primary.id != primary.id
        return PreparedReload {
            keys.replace(primary: primary, retired: retired)
            return ReloadNotes(applied: isNew ? ["journal key \(primary.name)"] : [])
        }
    }
}

/// What counts from the next start on.
private struct RestartReloading: Reloadable {
    var name: String { "settings" }

    func prepare(_ new: SiteConfiguration, replacing old: SiteConfiguration) async throws -> PreparedReload {
        let names = ReloadSettings.needRestart(old, new)
        return PreparedReload { ReloadNotes(needRestart: names) }
    }
}
