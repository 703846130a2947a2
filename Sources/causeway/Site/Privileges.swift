import CausewayConfiguration
import Foundation

/// What a process that root started gives up once it has what only root may have: ports below 1024, keys.
enum Privileges {
    /// Becomes a user for good. Does nothing in a process that root did not start, or that is to stay root.
    ///
    /// - Parameters:
    ///   - user: The user's name.
    ///   - configuration: Its folders become the user's, who has to write there from now on.
    static func drop(to user: String, owning configuration: SiteConfiguration) throws {
        guard geteuid() == 0 else { return }
        guard let entry = getpwnam(user)?.pointee else { throw StartFailure("user: there is no user '\(user)'") }
        let (identifier, group) = (entry.pw_uid, entry.pw_gid)
        guard identifier != 0 else { return }
        var folders = configuration.journal.isEnabled ? [configuration.journal.path] : []
        if let audit = configuration.audit { folders.append(audit.path) }
        for folder in folders { try give(folder, to: identifier, group) }
        if let marker = configuration.journal.marker { _ = lchown(marker, identifier, group) }
        if let pidFile = configuration.pidFile { _ = lchown(pidFile, identifier, group) }
        if let logFile = configuration.log.file { _ = lchown(logFile, identifier, group) }
        // Of all threads: the library sees to that. The group first, while it is still allowed.
        guard initgroups(user, group) == 0, setgid(group) == 0, setuid(identifier) == 0, setuid(0) != 0 else {
            throw StartFailure("user: the process cannot become '\(user)': \(String(cString: strerror(errno)))")
        }
    }

    private static func give(_ folder: String, to user: uid_t, _ group: gid_t) throws {
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        for path in [folder] + names.map({ folder + "/" + $0 }) where lchown(path, user, group) != 0 {
            throw StartFailure("user: \(path) cannot be given away: \(String(cString: strerror(errno)))")
        }
    }
}
