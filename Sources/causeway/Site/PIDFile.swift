import Foundation

/// A file that holds the number of the process while it runs.
struct PIDFile: Sendable {
    private let path: String

    init(path: String) throws {
        self.path = path
        do {
            try Data("\(ProcessInfo.processInfo.processIdentifier)\n".utf8).write(to: URL(fileURLWithPath: path))
        } catch {
            throw StartFailure("\(path) cannot be written: \(error.localizedDescription)")
        }
    }

    /// Removes it. A file that is gone already is no matter.
    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
