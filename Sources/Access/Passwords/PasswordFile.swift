public import Broker
internal import Foundation

/// User names with their passwords: one `name:hash` a line, as mosquitto_passwd writes them, and lines that begin with
/// `#`.
public struct PasswordFile: PasswordUsers {
    /// Users that one file may hold.
    static let usersMax = 100_000

    private let hashes: [[UInt8]: PasswordHash]

    /// Reads a file. A line that is not understood is an error, never skipped: it may be the user somebody relies on to
    /// be locked out.
    ///
    /// - Parameters:
    ///   - path: Where it is.
    ///   - allowsEmpty: Whether a file without users is taken, which lets nobody in; otherwise it is a mistake.
    /// - Throws: ``AccessError`` with file and line.
    public init(path: String, allowsEmpty: Bool = false) throws {
        let text: String
        do {
            text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
        } catch {
            throw AccessError(.passwordFile, "The password file \(path) cannot be read", cause: error)
        }
        try self.init(text: text, path: path, allowsEmpty: allowsEmpty)
    }

    /// Reads the text of a file.
    public init(text: String, path: String, allowsEmpty: Bool = false) throws {
        var hashes: [[UInt8]: PasswordHash] = [:]
        for line in PasswordFileLine.lines(of: text) {
            func problem(_ what: String) -> AccessError {
                AccessError(.passwordFile, "\(path):\(line.number): \(what)")
            }
            guard let user = try line.user(problem) else { continue }
            guard hashes.updateValue(user.hash, forKey: Array(user.name.utf8)) == nil else {
                throw problem("this user stands here twice")
            }
            guard hashes.count <= Self.usersMax else { throw problem("there are more than \(Self.usersMax) users") }
        }
        guard allowsEmpty || !hashes.isEmpty else {
            throw AccessError(
                .passwordFile,
                "\(path):1: the password file holds no user; add one with causeway user add"
            )
        }
        self.hashes = hashes
    }

    /// The number of users.
    public var count: Int { hashes.count }

    /// The hash of a user.
    public func hash(of username: String) -> PasswordHash? { hashes[Array(username.utf8)] }

    /// What is known of a user; the client identifier does not matter.
    public func look(up username: String, clientID: String) -> PasswordLookup {
        hash(of: username).map { .password($0) } ?? .unknown
    }

    /// All users' hashes.
    public var allHashes: [PasswordHash] { Array(hashes.values) }

    /// Whose connections end when this file is replaced by another: users that are gone or have another password.
    public func change(to other: PasswordFile) -> AccessChange {
        var revoked: Set<String> = []
        for (name, hash) in hashes where other.hashes[name] != hash {
            revoked.insert(String(decoding: name, as: UTF8.self))
        }
        return AccessChange(revokedUsernames: revoked)
    }
}

/// A line of a password file.
struct PasswordFileLine {
    /// Counted from 1.
    let number: Int
    /// Without its end.
    let text: Substring

    static func lines(of text: String) -> [PasswordFileLine] {
        // By the line feed's byte: as characters, CR and LF are one.
        text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated().map {
            let line = Substring($1)
            let isReturned = $1.last == UInt8(ascii: "\r")
            return PasswordFileLine(number: $0 + 1, text: isReturned ? Substring($1.dropLast()) : line)
        }
    }

    /// The name that stands before the colon, if it is a user's line.
    var name: Substring? {
        guard !text.isEmpty, !text.hasPrefix("#"), let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
            return nil
        }
        return text[..<colon]
    }

    /// The user of the line; nil for an empty one or a comment.
    func user(_ problem: (String) -> AccessError) throws -> (name: String, hash: PasswordHash)? {
        guard !text.isEmpty, !text.hasPrefix("#") else { return nil }
        guard let name else {
            throw problem("this is not `name:hash`; make the line with mosquitto_passwd or causeway user")
        }
        let stored = text[name.endIndex...].dropFirst()
        guard let hash = PasswordHash(parsing: stored) else {
            guard !stored.hasPrefix("$argon2") else {
                throw problem(
                    "argon2 is not read; make the line with `mosquitto_passwd -H sha512-pbkdf2` or causeway user"
                )
            }
            throw problem("the hash is not of the kind $7$, $6$, $s1$ or $scram-sha-256$; set the password again")
        }
        return (String(name), hash)
    }
}
