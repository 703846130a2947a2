import Foundation

/// Mosquitto's database file, for whoever looks after it: its name stands where they know it, and taking it away
/// empties the broker.
enum JournalMarker {
    /// Removes what the node remembers if the file is gone, and puts an empty one there.
    ///
    /// A file that is there is left as it is: it may be Mosquitto's own, which is not read. An empty one is no
    /// hindrance to Mosquitto, should the site go back. The file comes last, so that a removal that was cut short goes
    /// on at the next start.
    ///
    /// - Parameters:
    ///   - marker: Where Mosquitto would have its database.
    ///   - journal: The folder of the journal.
    static func honour(_ marker: String, journal: String) throws {
        let files = FileManager.default
        guard !files.fileExists(atPath: marker) else { return }
        do {
            if files.fileExists(atPath: journal) { try files.removeItem(atPath: journal) }
            try Folder.make(forFile: marker)
            try Data().write(to: URL(fileURLWithPath: marker), options: .withoutOverwriting)
            try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: marker)
        } catch let failure as StartFailure {
            throw failure
        } catch {
            throw StartFailure("\(marker), which stands for the journal: \(error.localizedDescription)")
        }
    }
}
