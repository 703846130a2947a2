import Broker
import MQTT

@testable import Access

/// Any bytes at all, read as the files of access: used by the fuzzer under `Tests/Fuzz` and by the replay in
/// `swift test`.
enum FuzzAccess {
    /// What is wrong, or nil. The first byte says what the others are.
    static func run(_ input: [UInt8]) -> String? {
        guard let first = input.first else { return nil }
        let content = Array(input.dropFirst())
        let text = String(decoding: content, as: UTF8.self)
        return switch first % 4 {
        case 0: rules(text)
        case 1: passwords(text)
        case 2: edit(text)
        default: json(content)
        }
    }

    // MARK: - acl_file

    private static let topics: [TopicName] = ["a", "a/b", "a/user/b", "a/client", "b", "$SYS/x", "$CONTROL/x", "é/b"]

    private static func rules(_ text: String) -> String? {
        let file: ACLFile
        do {
            file = try ACLFile(text: text, path: "fuzz")
        } catch {
            return problem(error, text)
        }
        for identity in [Identity(username: "user", clientID: "client"), Identity(username: nil, clientID: "a")] {
            let access = file.resolve(identity)
            let lines = lines(of: text, for: identity.username)
            for topic in topics {
                let reads = access.mayReceive(topic)
                if reads != expected(topic, identity, lines, right: "read") {
                    return "\(identity) and \(topic): \(reads ? "may" : "may not") receive"
                }
                guard !topic.string.hasPrefix("$") else { continue }
                let writes = access.mayPublish(topic)
                if writes != expected(topic, identity, lines, right: "write") {
                    return "\(identity) and \(topic): \(writes ? "may" : "may not") publish"
                }
            }
        }
        return nil
    }

    private struct Line {
        var isPattern: Bool
        var access: Substring
        var filter: String
    }

    /// The lines of a file that is known to be right, that count for a user: read anew, and naively.
    private static func lines(of text: String, for user: String?) -> [Line] {
        var found: [Line] = []
        var current: String?
        for raw in text.utf8.split(separator: 0x0A) {
            let bytes = raw.reversed().drop(while: isSpace).reversed()
            guard bytes.first != 0x23 else { continue }
            let words = bytes.drop { $0 == 0x20 }
            let keyword = String(decoding: words.prefix { $0 != 0x20 }, as: UTF8.self)
            let rest = String(decoding: words.drop { $0 != 0x20 }.drop(while: isSpace), as: UTF8.self)
            guard !words.isEmpty else { continue }
            if keyword == "user" { current = rest }
            let isPattern = keyword == "pattern"
            guard isPattern || keyword == "topic" && current.map({ Array($0.utf8) }) == user.map({ Array($0.utf8) })
            else { continue }
            let split = rest.split(separator: " " as Character, maxSplits: 1)
            let access = split.count == 2 ? split[0] : "readwrite"
            let filter = split.count == 2 ? String(decoding: split[1].utf8.drop(while: isSpace), as: UTF8.self) : rest
            found.append(Line(isPattern: isPattern, access: access, filter: filter))
        }
        return found
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// As `mosquitto.conf` has it: a denial of the user's own lines, then what they allow, then the same of patterns.
    private static func expected(_ topic: TopicName, _ identity: Identity, _ lines: [Line], right: String) -> Bool {
        for isPattern in [false, true] {
            let matching = lines.filter { line in
                guard line.isPattern == isPattern else { return false }
                var levels = line.filter.split(separator: "/" as Character, omittingEmptySubsequences: false).map(
                    String.init
                )
                guard isPattern else { return matches(levels, topic) }
                if line.filter.contains("%u"), identity.username == nil { return false }
                levels = levels.map {
                    replace($0, ["%c": identity.clientID, "%u": identity.username ?? ""])
                }
                return matches(levels, topic)
            }
            if matching.contains(where: { $0.access == "deny" }) { return false }
            if matching.contains(where: { $0.access == "readwrite" || $0.access == right }) { return true }
        }
        return false
    }

    private static func replace(_ level: String, _ values: [String: String]) -> String {
        var text = ""
        var rest = Substring(level)
        while let character = rest.first {
            if let value = values[String(rest.prefix(2))] {
                text += value
                rest = rest.dropFirst(2)
            } else {
                text.append(character)
                rest = rest.dropFirst()
            }
        }
        return text
    }

    /// Level by level, by bytes.
    private static func matches(_ filter: [String], _ topic: TopicName) -> Bool {
        let levels = topic.string.split(separator: "/" as Character, omittingEmptySubsequences: false)
        if levels[0].hasPrefix("$"), filter[0] == "#" || filter[0] == "+" { return false }
        for (index, level) in filter.enumerated() {
            if level == "#" { return true }
            guard index < levels.count else { return false }
            guard level == "+" || level.utf8.elementsEqual(levels[index].utf8) else { return false }
        }
        return filter.count == levels.count
    }

    // MARK: - Password files

    private static func passwords(_ text: String) -> String? {
        let file: PasswordFile
        do {
            file = try PasswordFile(text: text, path: "fuzz")
        } catch {
            return problem(error, text)
        }
        guard file.count > 0, file.allHashes.count == file.count else { return "a file without users is taken" }
        for hash in file.allHashes {
            guard PasswordHash(parsing: hash.text) == hash else { return "a hash is not read as it is written" }
        }
        return file.change(to: file) == AccessChange() ? nil : "a file differs from itself"
    }

    private static func edit(_ text: String) -> String? {
        do {
            var file = try PasswordFileText(text: text, path: "fuzz")
            let before = file.users.map(\.name)
            let known = "$6$AAAA$" + String(repeating: "A", count: 86) + "=="
            guard let hash = PasswordHash(parsing: known) else { return "the known hash is not read" }
            try file.set("somebody", hash)
            let again = try PasswordFile(text: file.text, path: "fuzz")
            guard again.hash(of: "somebody") == hash else { return "the user that was added is not there" }
            for name in before where again.hash(of: name) == nil { return "a user is gone: \(Array(name.utf8))" }
            guard file.remove("somebody"), file.hash(of: "somebody") == nil else { return "the user is not removed" }
            return nil
        } catch {
            return problem(error, text)
        }
    }

    // MARK: - JSON

    private static func json(_ content: [UInt8]) -> String? {
        guard let value = JSONValue(parsing: content) else { return nil }
        for pretty in [false, true] {
            guard let again = JSONValue(parsing: value.text(pretty: pretty).utf8) else {
                return "what is written is not read: \(value.text(pretty: pretty))"
            }
            // Numbers beyond what a double holds are written as null.
            guard again == value || again.text() == value.text() else { return "written and read, it is another value" }
        }
        return nil
    }

    /// A refusal names the file and a line of it, on one line of its own.
    private static func problem(_ error: any Error, _ text: String) -> String? {
        guard let error = error as? AccessError else { return "an error of another kind: \(error)" }
        let parts = error.message.split(separator: ":" as Character, maxSplits: 2)
        guard parts.count == 3, parts[0] == "fuzz", let line = Int(parts[1]),
            (1...text.utf8.count { $0 == 0x0A } + 1).contains(line)
        else { return "no file and line: \(error.message)" }
        guard error.message.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
            return "control characters in: \(Array(error.message.utf8))"
        }
        return nil
    }
}
