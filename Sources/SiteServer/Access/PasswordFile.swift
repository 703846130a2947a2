internal import Foundation

/// User names with their passwords, as mosquitto_passwd writes them: one `name:hash` a line.
public struct PasswordFile: Sendable {
    /// Users that one file may hold.
    static let usersMax = 100_000

    private let hashes: [String: PasswordHash]

    /// Reads a file. A line that is not understood is an error, never skipped: it may be the user somebody relies on to
    /// be locked out.
    public init(path: String) throws {
        let text: String
        do {
            text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
        } catch {
            throw SiteServerError(.passwordFile, "The password file \(path) cannot be read", cause: error)
        }
        try self.init(text: text, path: path)
    }

    /// Reads the text of a file.
    init(text: String, path: String = "") throws {
        var hashes: [String: PasswordHash] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.hasSuffix("\r") ? line.dropLast() : line
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            func problem(_ what: String) -> SiteServerError {
                SiteServerError(.passwordFile, "\(path):\(index + 1): \(what)")
            }
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else {
                throw problem("this is not `name:hash`; make the line with mosquitto_passwd or causeway user")
            }
            guard let hash = PasswordHash(parsing: line[line.index(after: colon)...]) else {
                throw problem("the hash is not of the kind $7$ (PBKDF2-SHA512); set the password again")
            }
            guard hashes.updateValue(hash, forKey: String(line[..<colon])) == nil else {
                throw problem("this user stands here twice")
            }
            guard hashes.count <= Self.usersMax else { throw problem("there are more than \(Self.usersMax) users") }
        }
        self.hashes = hashes
    }

    /// The number of users.
    public var count: Int { hashes.count }

    /// The hash of a user.
    func hash(of username: String) -> PasswordHash? { hashes[username] }

    /// The rounds that a check usually costs: those of the most users, so that an unknown name costs the same.
    var usualIterations: Int {
        var users: [Int: Int] = [:]
        for hash in hashes.values { users[hash.iterations, default: 0] += 1 }
        return users.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? PasswordHash.defaultIterations
    }
}
