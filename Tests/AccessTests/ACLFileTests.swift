import Broker
import MQTT
import Repeatable
import Testing

@testable import Access

@Suite("ACL files") struct ACLFileTests {
    private func file(_ text: String) throws -> ACLFile { try ACLFile(text: text, path: "acl") }

    private func reads(_ file: ACLFile, _ user: String?, _ topic: TopicName, client: String = "c") -> Bool {
        file.resolve(Identity(user, client)).mayReceive(topic)
    }

    private func writes(_ file: ACLFile, _ user: String?, _ topic: TopicName, client: String = "c") -> Bool {
        file.resolve(Identity(user, client)).mayPublish(topic)
    }

    @Test("Topic lines before the first user are for the nameless alone, those after it for that user")
    func sections() throws {
        let file = try file(
            """
            # anybody without a name
            topic read public/#
            user nurse
            topic ward/#
            topic read pharmacy/+
            topic write log/nurse
            user till
            topic write sale
            user nurse
            topic deny ward/secret/#
            """
        )
        #expect(reads(file, nil, "public/a"))
        #expect(!writes(file, nil, "public/a"))
        #expect(!reads(file, "nurse", "public/a"))
        #expect(reads(file, "nurse", "ward/1"))
        #expect(writes(file, "nurse", "ward/1"))
        #expect(!reads(file, "nurse", "ward/secret/x"), "a denial counts wherever it stands")
        #expect(!writes(file, "nurse", "ward/secret/x"))
        #expect(reads(file, "nurse", "pharmacy/1"))
        #expect(!writes(file, "nurse", "pharmacy/1"))
        #expect(writes(file, "nurse", "log/nurse"))
        #expect(!reads(file, "nurse", "log/nurse"))
        #expect(!reads(file, "till", "ward/1"))
        #expect(!reads(file, "nobody", "ward/1"))
    }

    @Test("Patterns are for everybody, with the names filled in")
    func patterns() throws {
        let file = try file("pattern readwrite u/%u/#\npattern write c/%c/x\npattern deny u/%u/private")
        #expect(reads(file, "a", "u/a/1"))
        #expect(!reads(file, "a", "u/b/1"))
        #expect(!reads(file, "a", "u/a/private"))
        #expect(writes(file, nil, "c/me/x", client: "me"))
        #expect(!reads(file, nil, "c/me/x", client: "me"))
        #expect(!reads(file, nil, "u/me/1", client: "me"))
    }

    @Test(
        "D5: names with wildcards are denied everything that a pattern could give, those with a slash get no pattern",
        arguments: ["#", "+", "a+", "a#b", "victim/x", "/"]
    )
    func hostileNames(name: String) throws {
        let file = try file("pattern readwrite u/%u/#\npattern readwrite c/%c")
        #expect(!reads(file, name, "u/victim/x"))
        #expect(!writes(file, name, "u/victim/x"))
        if let own = try? TopicName(validating: "u/\(name)/x") { #expect(!reads(file, name, own)) }
        #expect(!writes(file, "ok", "c/victim", client: name))
        let denying = try ACLFile(text: "pattern readwrite all/#\npattern deny all/%u", path: "acl")
        #expect(!reads(denying, name, "all/x"), "what is denied cannot be said for the name, so everything is")
    }

    @Test("B17: without a user name no pattern with %u matches, and nothing traps")
    func nullUserName() throws {
        let file = try file("pattern readwrite %u\npattern readwrite a/%u/%c\npattern read c/%c")
        #expect(!reads(file, nil, "a//me", client: "me"))
        #expect(!reads(file, nil, "me", client: "me"))
        #expect(reads(file, nil, "c/me", client: "me"))
    }

    @Test("Topics may hold spaces, behind a word that says what is allowed")
    func spaces() throws {
        let file = try file("user front desk  \ntopic read  room 1/bell   \ntopic   write   a b\n")
        #expect(reads(file, "front desk", "room 1/bell"))
        #expect(writes(file, "front desk", "a b"))
        #expect(!reads(file, "front", "room 1/bell"))
    }

    @Test("D9: # gives no $ topics; $SYS is read only where a rule says so, and subscribing is always allowed")
    func dollar() throws {
        let file = try file("topic read #\nuser admin\ntopic read $SYS/#\ntopic readwrite $CONTROL/dynamic-security/#")
        #expect(reads(file, nil, "a"))
        #expect(!reads(file, nil, "$SYS/broker/uptime"))
        #expect(reads(file, "admin", "$SYS/broker/uptime"))
        #expect(writes(file, "admin", "$CONTROL/dynamic-security/v1"))
        #expect(!writes(file, "admin", "$SYS/broker/uptime"))
        let anybody = file.resolve(Identity(nil))
        #expect(try anybody.maySubscribe(TopicFilter("$SYS/#")))
        #expect(try anybody.maySubscribe(TopicFilter("private/#")))
        #expect(try !anybody.maySubscribe(TopicFilter("$CONTROL/#")))
    }

    @Test(
        "What is no rule is refused with its line",
        arguments: [
            "topic", "topic ", "user", "user  ", "pattern", "topics a", "topic both a", "topic a b", "topic read a/#/b",
            "pattern a+", "\ttopic a", "Topic a",
        ]
    )
    func malformed(line: String) {
        let error = #expect(throws: AccessError.self) { try ACLFile(text: "topic ok\n\n\(line)\n", path: "acl") }
        #expect(error?.code == .accessFile)
        #expect(error?.message.hasPrefix("acl:3:") == true, "\(error?.message ?? "")")
    }

    @Test("D7: a missing or empty ACL file is a mistake; where it is meant, it denies everything")
    func empty() throws {
        #expect(throws: AccessError.self) { try ACLFile(path: "/nonexistent/acl") }
        #expect(throws: AccessError.self) { try ACLFile(text: "# nothing\n\n", path: "acl") }
        let nothing = try ACLFile(text: "", path: "acl", allowsEmpty: true)
        #expect(!reads(nothing, "a", "b"))
        #expect(!writes(nothing, nil, "b"))
    }

    @Test("D6: 20,000 random files, names and topics agree with a naive reading of Mosquitto's rules")
    func oracle() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let levels = ["a", "b", "%u", "%c", "+", "x.y", "", "$SYS", "[a-z]*", "(.*)"]
        let names = ["a", "b", "u1", "x.y", "[a-z]*", ".*", "a|b", "$SYS"]
        let accesses = ["read ", "write ", "readwrite ", "deny ", ""]
        var granted = 0
        for _ in 0..<20_000 {
            func filter() -> String {
                var parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                    levels.randomElement(using: &random) ?? ""
                }
                if Int.random(in: 0..<4, using: &random) == 0 { parts.append("#") }
                let text = parts.joined(separator: "/")
                return text.isEmpty ? "a" : text
            }
            var lines: [String] = []
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                switch Int.random(in: 0..<5, using: &random) {
                case 0: lines.append("user \(names.randomElement(using: &random) ?? "")")
                case 1: lines.append("pattern \(accesses.randomElement(using: &random) ?? "")\(filter())")
                default: lines.append("topic \(accesses.randomElement(using: &random) ?? "")\(filter())")
                }
            }
            let text = lines.joined(separator: "\n")
            let acl = try ACLFile(text: text, path: "acl", allowsEmpty: true)
            let user = Bool.random(using: &random) ? names.randomElement(using: &random) : nil
            let client = names.randomElement(using: &random) ?? ""
            let access = acl.resolve(Identity(user, client))
            for _ in 0..<4 {
                let topic = (0..<Int.random(in: 1...3, using: &random))
                    .map { _ in (["a", "b", "", "$SYS"] + names).randomElement(using: &random) ?? "" }
                    .joined(separator: "/")
                guard !topic.isEmpty, let name = try? TopicName(validating: topic) else { continue }
                let expectedRead = NaiveACL.allows(lines, user, client, topic, "read")
                // The broker's own topics are published to by nobody, whatever a file says.
                let expectedWrite = NaiveACL.allows(lines, user, client, topic, "write") && !topic.hasPrefix("$")
                if expectedRead { granted += 1 }
                #expect(access.mayReceive(name) == expectedRead, "\(text)\n\(user ?? "-") \(client) \(topic) \(seed)")
                #expect(access.mayPublish(name) == expectedWrite, "\(text)\n\(user ?? "-") \(client) \(topic) \(seed)")
            }
        }
        #expect(granted > 1_000, "the test asks about nothing, seed \(seed)")
    }
}

/// Mosquitto's ACL file read line by line for each question, by comparing text. Slow, and hard to get wrong.
private enum NaiveACL {
    static func allows(_ lines: [String], _ user: String?, _ client: String, _ topic: String, _ access: String) -> Bool
    {
        var section: String?
        var own: [(access: String, filter: String)] = []
        var patterns: [(access: String, filter: String)] = []
        for line in lines {
            let words = line.split(separator: " ").map(String.init)
            if words[0] == "user" {
                section = words[1]
                continue
            }
            let entry = words.count == 3 ? (words[1], words[2]) : ("readwrite", words[1])
            if words[0] == "pattern" { patterns.append(entry) } else if section == user { own.append(entry) }
        }
        for entry in own where entry.access == "deny" && matches(entry.filter, topic) { return false }
        for entry in own where entry.access != "deny" && entry.access.contains(access) && matches(entry.filter, topic) {
            return true
        }
        func filled(_ filter: String) -> String? {
            if user == nil && filter.contains("%u") { return nil }
            return filter.split(separator: "/", omittingEmptySubsequences: false)
                .map { $0 == "%u" ? user ?? "" : $0 == "%c" ? client : String($0) }
                .joined(separator: "/")
        }
        for entry in patterns where entry.access == "deny" {
            if let filter = filled(entry.filter), matches(filter, topic) { return false }
        }
        for entry in patterns where entry.access != "deny" && entry.access.contains(access) {
            if let filter = filled(entry.filter), matches(filter, topic) { return true }
        }
        return false
    }

    static func matches(_ filter: String, _ topic: String) -> Bool {
        if topic.hasPrefix("$") && !filter.hasPrefix("$") { return false }
        return matches(
            filter.split(separator: "/", omittingEmptySubsequences: false).map(String.init),
            topic.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        )
    }

    private static func matches(_ filter: [String], _ topic: [String]) -> Bool {
        guard let first = filter.first else { return topic.isEmpty }
        if first == "#" { return true }
        guard let level = topic.first else { return false }
        return (first == "+" || first == level) && matches(Array(filter.dropFirst()), Array(topic.dropFirst()))
    }
}
