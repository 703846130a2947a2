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

    private static let topics: [(name: TopicName, levels: [[UInt8]])] = [
        "a", "a/b", "a/user/b", "a/client", "b", "$SYS/x", "$CONTROL/x", "é/b",
    ].map { (TopicName(stringLiteral: $0), levels(Array($0.utf8))) }

    private static func rules(_ text: String) -> String? {
        let file: ACLFile
        do {
            file = try ACLFile(text: text, path: "fuzz")
        } catch {
            return problem(error, text)
        }
        for identity in [Identity(username: "user", clientID: "client"), Identity(username: nil, clientID: "a")] {
            let access = file.resolve(identity)
            let lines = lines(of: text, for: identity)
            for topic in topics {
                let reads = access.mayReceive(topic.name)
                if reads != expected(topic.levels, lines, right: "read") {
                    return "\(identity) and \(topic.name): \(reads ? "may" : "may not") receive"
                }
                guard topic.levels[0].first != UInt8(ascii: "$") else { continue }
                let writes = access.mayPublish(topic.name)
                if writes != expected(topic.levels, lines, right: "write") {
                    return "\(identity) and \(topic.name): \(writes ? "may" : "may not") publish"
                }
            }
        }
        return nil
    }

    private struct Line {
        var isPattern: Bool
        var access: String
        var levels: [[UInt8]]
    }

    /// The lines of a file that is known to be right, that count for somebody: read anew, and naively, byte by byte.
    private static func lines(of text: String, for identity: Identity) -> [Line] {
        let user = identity.username.map { Array($0.utf8) }
        var found: [Line] = []
        var current: [UInt8]?
        for raw in Array(text.utf8).split(separator: 0x0A) {
            guard let end = raw.lastIndex(where: { !isSpace($0) }), raw[raw.startIndex] != 0x23 else { continue }
            let words = raw[...end].drop { $0 == 0x20 }
            let keyword = words.prefix { $0 != 0x20 }
            let rest = words[keyword.endIndex...].drop(while: isSpace)
            if keyword.elementsEqual("user".utf8) { current = Array(rest) }
            let isPattern = keyword.elementsEqual("pattern".utf8)
            guard isPattern || keyword.elementsEqual("topic".utf8) && current == user else { continue }
            var access = "readwrite"
            var filter = rest
            if let space = rest.firstIndex(of: 0x20) {
                access = String(decoding: rest[..<space], as: UTF8.self)
                filter = rest[space...].drop(while: isSpace)
            }
            var levels = levels(Array(filter))
            if isPattern {
                if user == nil, levels.contains(where: { $0 != replace($0, UInt8(ascii: "u"), []) }) { continue }
                levels = levels.map {
                    replace(replace($0, UInt8(ascii: "u"), user ?? []), UInt8(ascii: "c"), identity.clientID.utf8)
                }
            }
            found.append(Line(isPattern: isPattern, access: access, levels: levels))
        }
        return found
    }

    private static func levels(_ bytes: [UInt8]) -> [[UInt8]] {
        bytes.split(separator: 0x2F, omittingEmptySubsequences: false).map(Array.init)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// As `mosquitto.conf` has it: a denial of the user's own lines, then what they allow, then the same of patterns.
    private static func expected(_ topic: [[UInt8]], _ lines: [Line], right: String) -> Bool {
        for isPattern in [false, true] {
            let matching = lines.filter { $0.isPattern == isPattern && matches($0.levels, topic) }
            if matching.contains(where: { $0.access == "deny" }) { return false }
            if matching.contains(where: { $0.access == "readwrite" || $0.access == right }) { return true }
        }
        return false
    }

    /// A level with `%` and this letter replaced everywhere. The values of this test hold no `%`.
    private static func replace(_ level: [UInt8], _ letter: UInt8, _ value: some Sequence<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        var index = 0
        while index < level.count {
            if level[index] == UInt8(ascii: "%"), index + 1 < level.count, level[index + 1] == letter {
                bytes += value
                index += 2
            } else {
                bytes.append(level[index])
                index += 1
            }
        }
        return bytes
    }

    /// Level by level, by bytes.
    private static func matches(_ filter: [[UInt8]], _ topic: [[UInt8]]) -> Bool {
        let (plus, multi) = ([UInt8(ascii: "+")], [UInt8(ascii: "#")])
        if topic[0].first == UInt8(ascii: "$"), filter[0] == multi || filter[0] == plus { return false }
        for (index, level) in filter.enumerated() {
            if level == multi { return true }
            guard index < topic.count else { return false }
            guard level == plus || level == topic[index] else { return false }
        }
        return filter.count == topic.count
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

    private static let knownHash = PasswordHash(parsing: "$6$AAAA$" + String(repeating: "A", count: 86) + "==")

    private static func edit(_ text: String) -> String? {
        do {
            var file = try PasswordFileText(text: text, path: "fuzz")
            let before = file.users.map(\.name)
            guard let hash = knownHash else { return "the known hash is not read" }
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
