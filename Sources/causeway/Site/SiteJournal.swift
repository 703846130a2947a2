import CausewayConfiguration
import Journal

/// The journal of a node as it was found, with the notices of what it commits from now on.
struct SiteJournal: Sendable {
    let journal: Journal
    let recovery: Recovery
    let notices: JournalNotices

    /// Opens it; nil if the configuration wants none, and everything stays in memory.
    static func open(_ configuration: JournalConfiguration) throws -> SiteJournal? {
        guard configuration.isEnabled else { return nil }
        if let marker = configuration.marker { try JournalMarker.honour(marker, journal: configuration.path) }
        try Folder.make(configuration.path)
        let notices = JournalNotices()
        let (journal, recovery) = try Journal.open(
            try Journal.Configuration(configuration, directory: configuration.path + "/journal"),
            onCommit: { notices.post($0) }
        )
        return SiteJournal(journal: journal, recovery: recovery, notices: notices)
    }
}
