import CausewayConfiguration

/// Settings of `site.yaml` that count from the next start on: what holds the node together, and what handlers and the
/// journal have begun with.
enum ReloadSettings {
    private static let all: [(name: String, differ: @Sendable (SiteConfiguration, SiteConfiguration) -> Bool)] = [
        ("site", { $0.site != $1.site }),
        ("site_broker", { $0.siteBroker != $1.siteBroker }),
        ("journal", { $0.journal.withoutKeys != $1.journal.withoutKeys }),
        ("handlers", { $0.handlers != $1.handlers }),
        ("site_key", { $0.siteKeyFile != $1.siteKeyFile }),
        ("bridges", { $0.bridges != $1.bridges }),
        ("compatibility", { $0.compatibility != $1.compatibility }),
        ("client_id_ownership", { $0.clientIDOwnership != $1.clientIDOwnership }),
        ("limits.max_outgoing_bytes", { $0.limits.maxOutgoingBytes != $1.limits.maxOutgoingBytes }),
        ("sys_interval", { $0.sysInterval != $1.sysInterval }),
        ("audit", { $0.audit != $1.audit }),
        ("reload", { $0.reload != $1.reload }),
        ("pid_file", { $0.pidFile != $1.pidFile }),
        ("user", { $0.user != $1.user }),
        ("console", { $0.console != $1.console }),
        ("log", { $0.log != $1.log }),
    ]

    /// The names of those that differ.
    static func needRestart(_ old: SiteConfiguration, _ new: SiteConfiguration) -> [String] {
        all.filter { $0.differ(old, new) }.map(\.name)
    }

    /// The files whose change asks for a reload: the configuration's own, and those that it reads.
    static func files(_ configuration: SiteConfiguration) -> [String] {
        let read = configuration.fileReferences.filter { reference in
            switch reference.purpose {
            case .folder, .database: false
            default: true
            }
        }
        return [configuration.file] + read.map(\.path)
    }
}

extension JournalConfiguration {
    /// Whether there are keys counts, which they are does not: a running site takes up new ones.
    fileprivate var withoutKeys: JournalConfiguration {
        var other = self
        other.encryption = encryption.map { _ in EncryptionConfiguration(source: .environment("")) }
        return other
    }
}
