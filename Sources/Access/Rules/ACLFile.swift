public import Broker
internal import Foundation
internal import MQTT

/// Mosquitto's `acl_file`: `user`, `topic` and `pattern` lines, evaluated as Mosquitto 2.1 does.
///
/// Topic lines before the first `user` line are for clients without a user name, those after it for that user. Denials
/// come before what is allowed; then come the patterns, for everybody, again denials first. Who is allowed nothing by
/// then is denied. Subscribing is always allowed: each message is asked about when it is delivered.
public struct ACLFile: AccessSource {
    /// Lines that one file may hold.
    static let linesMax = 1_000_000

    private struct Entry: Sendable {
        /// The filter as it is written.
        let written: TopicFilter
        /// With its place holders, which count in `pattern` lines.
        let filter: AccessFilter
        let mayRead: Bool
        let mayWrite: Bool
        var denies: Bool { !mayRead && !mayWrite }
    }

    private var anonymous: [Entry] = []
    /// By the bytes of the user name.
    private var users: [[UInt8]: [Entry]] = [:]
    private var patterns: [Entry] = []

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - path: Where it is.
    ///   - allowsEmpty: Whether a file without a rule is taken, which denies everything; otherwise it is a mistake.
    /// - Throws: ``AccessError`` with file and line.
    public init(path: String, allowsEmpty: Bool = false) throws {
        let text: String
        do {
            text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
        } catch {
            throw AccessError(.accessFile, "The ACL file \(path) cannot be read", cause: error)
        }
        try self.init(text: text, path: path, allowsEmpty: allowsEmpty)
    }

    /// Reads the text of a file.
    public init(text: String, path: String, allowsEmpty: Bool = false) throws {
        var user: [UInt8]?
        for (index, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .enumerated()
        {
            func problem(_ what: String) -> AccessError {
                AccessError(.accessFile, "\(path):\(index + 1): \(what)")
            }
            guard index < Self.linesMax else { throw problem("there are more than \(Self.linesMax) lines") }
            guard let fields = ACLLine(line) else { continue }
            switch fields.keyword {
            case "user":
                guard !fields.rest.isEmpty else { throw problem("`user` needs a name") }
                user = Array(fields.rest.utf8)
            case "topic", "pattern":
                let entry = try Self.entry(fields.rest, problem)
                if fields.keyword == "pattern" {
                    Self.add(entry, to: &patterns)
                } else if let user {
                    Self.add(entry, to: &users[user, default: []])
                } else {
                    Self.add(entry, to: &anonymous)
                }
            default: throw problem("a line begins with `user`, `topic`, `pattern` or `#`")
            }
        }
        guard allowsEmpty || !(anonymous.isEmpty && users.isEmpty && patterns.isEmpty) else {
            throw AccessError(.accessFile, "\(path):1: the ACL file holds no rule, so nobody could do anything")
        }
    }

    /// Denials stand before what is allowed, the last one first.
    private static func add(_ entry: Entry, to entries: inout [Entry]) {
        if entry.denies { entries.insert(entry, at: 0) } else { entries.append(entry) }
    }

    /// `[read|write|readwrite|deny] filter`. Where there is one word, it is the filter.
    private static func entry(_ text: String, _ problem: (String) -> AccessError) throws -> Entry {
        guard !text.isEmpty else { throw problem("a topic is missing") }
        let words = text.split(separator: " ", maxSplits: 1)
        var topic = text
        var access = Substring("readwrite")
        if words.count == 2 {
            access = words[0]
            topic = ACLLine.trimmed(words[1])
        }
        let mayRead = access == "read" || access == "readwrite"
        let mayWrite = access == "write" || access == "readwrite"
        guard mayRead || mayWrite || access == "deny" else {
            throw problem("`\(access)` is not read, write, readwrite or deny; a topic with spaces needs one of them")
        }
        let parsed: TopicFilter
        do throws(MQTTError) {
            parsed = try TopicFilter(topic, maxLevels: TopicLimits.levelsMax)
        } catch {
            throw problem("`\(topic)` is not a topic filter")
        }
        return Entry(written: parsed, filter: AccessFilter(topic), mayRead: mayRead, mayWrite: mayWrite)
    }

    // MARK: -

    /// What the file gives to a client.
    public func resolve(_ identity: Identity) -> ResolvedAccess {
        var access = ResolvedAccess()
        access.subscribe = .everything
        let own = identity.username.map { users[Array($0.utf8)] ?? [] } ?? anonymous
        // A `topic` line means what it says: `%u` is text there.
        for entry in own { Self.add(entry, entry.written, to: &access) }
        guard !patterns.isEmpty else { return access }
        guard !identity.hasDangerousName else {
            access.publish.rules.append(.denyEverything)
            access.receive.rules.append(.denyEverything)
            return access
        }
        for entry in patterns {
            if entry.filter.usesUsername && identity.username == nil {
                continue
            } else if let filter = entry.filter.filter(for: identity, levelsMax: TopicLimits.levelsMax) {
                Self.add(entry, filter, to: &access)
            } else if entry.denies {
                // What is denied cannot be said for such a name, so everything is.
                access.publish.rules.append(.denyEverything)
                access.receive.rules.append(.denyEverything)
            }
        }
        return access
    }

    private static func add(_ entry: Entry, _ filter: TopicFilter, to access: inout ResolvedAccess) {
        if entry.mayWrite || entry.denies {
            access.publish.rules.append(ResolvedAccess.Rule(matcher: .filter(filter), allows: entry.mayWrite))
        }
        if entry.mayRead || entry.denies {
            access.receive.rules.append(ResolvedAccess.Rule(matcher: .filter(filter), allows: entry.mayRead))
        }
    }
}

/// A line of an ACL file, cut as Mosquitto does: white space at its end goes, words are parted by spaces.
private struct ACLLine {
    let keyword: Substring
    let rest: String

    /// Nil for a line without a word, or a comment.
    init?(_ bytes: Substring.UTF8View.SubSequence) {
        // Not all of a file needs to be UTF-8: a topic that is not becomes one that matches nothing.
        let line = Self.withoutEnd(Substring(String(decoding: bytes, as: UTF8.self)))
        guard !line.hasPrefix("#") else { return nil }
        let words = line.drop { $0 == " " }
        guard !words.isEmpty else { return nil }
        let end = words.firstIndex(of: " ") ?? words.endIndex
        keyword = words[..<end]
        rest = Self.trimmed(words[end...])
    }

    private static func withoutEnd(_ text: Substring) -> Substring {
        var text = text
        while let last = text.unicodeScalars.last, last.isSpace { text.unicodeScalars.removeLast() }
        return text
    }

    static func trimmed(_ text: Substring) -> String {
        String(withoutEnd(text.drop { $0.unicodeScalars.allSatisfy(\.isSpace) }))
    }
}

extension Unicode.Scalar {
    fileprivate var isSpace: Bool { self == " " || ("\t"..."\r").contains(self) }
}

extension Identity {
    /// Whether a name holds a wildcard, which a pattern must not take in.
    fileprivate var hasDangerousName: Bool {
        ([clientID] + (username.map { [$0] } ?? [])).contains { name in
            name.utf8.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
        }
    }
}
