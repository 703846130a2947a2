import Broker
import MQTT
import Repeatable
import Testing

@testable import Access

@Suite("Access rules") struct AccessRuleTests {
    private func may(_ authorizer: RuleAuthorizer, _ user: String?, _ client: String, publish topic: TopicName) -> Bool
    {
        authorizer.mayPublish(Identity(username: user, clientID: client), topic: topic)
    }

    private func may(_ authorizer: RuleAuthorizer, _ user: String?, _ client: String, subscribe filter: String) throws
        -> Bool
    {
        authorizer.maySubscribe(Identity(username: user, clientID: client), filter: try TopicFilter(filter))
    }

    @Test("Without rules everything is allowed but publishing to the broker's own topics")
    func noRules() throws {
        let open = try RuleAuthorizer(rules: [])
        #expect(may(open, nil, "c", publish: "a/b"))
        #expect(!may(open, nil, "c", publish: "$SYS/broker/uptime"))
        #expect(try may(open, nil, "c", subscribe: "#"))
        #expect(open.allowsEverything(Identity(username: nil, clientID: "c")))
    }

    @Test("The state of a bridge is a topic like others here; whether clients may report one is the core's to say")
    func bridgeState() throws {
        let open = try RuleAuthorizer(rules: [])
        #expect(may(open, nil, "c", publish: "$SYS/broker/connection/shop/state"))
        let others: [TopicName] = [
            "$SYS/broker/connection/shop", "$SYS/broker/connection/a/b/state", "$SYS/broker/connection/a/x",
        ]
        for topic in others {
            #expect(!may(open, nil, "c", publish: topic), "\(topic)")
        }
        let ruled = try RuleAuthorizer(rules: [
            .init(users: ["bridge"], publish: ["$SYS/broker/connection/shop/state"]), .init(publish: ["#"]),
        ])
        #expect(may(ruled, "bridge", "c", publish: "$SYS/broker/connection/shop/state"))
        #expect(!may(ruled, "bridge", "c", publish: "$SYS/broker/connection/other/state"))
        #expect(!may(ruled, "other", "c", publish: "$SYS/broker/connection/shop/state"))
    }

    @Test("With rules, what no rule allows is denied")
    func denyByDefault() throws {
        let authorizer = try RuleAuthorizer(rules: [
            .init(users: ["till-*"], publish: ["pos/%u/sale", "$SYS/#"], subscribe: ["pos/%u/#", "news"]),
            .init(users: ["*"], clients: ["fridge-*"], publish: ["fridge/%c/temp"]),
            .init(users: ["boss"], subscribe: ["#"], receive: ["pos/#"]),
        ])
        #expect(may(authorizer, "till-7", "x", publish: "pos/till-7/sale"))
        #expect(!may(authorizer, "till-7", "x", publish: "pos/till-8/sale"))
        #expect(!may(authorizer, "till-7", "x", publish: "$SYS/broker"))
        #expect(may(authorizer, nil, "fridge-1", publish: "fridge/fridge-1/temp"))
        #expect(!may(authorizer, nil, "freezer", publish: "fridge/freezer/temp"))
        #expect(!may(authorizer, nil, "x", publish: "a"))
        #expect(try may(authorizer, "till-7", "x", subscribe: "pos/till-7/+/detail"))
        #expect(try may(authorizer, "till-7", "x", subscribe: "$share/group/pos/till-7/#"))
        #expect(try !may(authorizer, "till-7", "x", subscribe: "$share/group/pos/#"))
        #expect(try !may(authorizer, "till-7", "x", subscribe: "pos/+/sale"))
        let boss = Identity(username: "boss", clientID: "x")
        #expect(authorizer.mayReceive(boss, topic: "pos/till-1/sale"))
        #expect(!authorizer.mayReceive(boss, topic: "ward/1/cgm"))
        #expect(!authorizer.mayReceive(boss, topic: "$SYS/broker"))
        #expect(!authorizer.allowsEverything(boss))
    }

    @Test(
        "Names that mean more than themselves are never put into a filter",
        arguments: ["#", "+", "a/b", "a/#", ""]
    )
    func hostileNames(name: String) throws {
        let authorizer = try RuleAuthorizer(rules: [
            .init(publish: ["u/%u/x"], subscribe: ["u/%u/#"]), .init(publish: ["c/%c/x"]),
        ])
        #expect(!may(authorizer, name, "c", publish: "u/victim/x"))
        #expect(try !may(authorizer, name, "c", subscribe: "u/victim/#"))
        #expect(!may(authorizer, nil, name, publish: "c/victim/x"))
        #expect(!may(authorizer, nil, "c", publish: "u//x"))
    }

    @Test("A user name that holds a place holder is not filled in")
    func nestedPlaceholder() throws {
        let authorizer = try RuleAuthorizer(rules: [.init(publish: ["u/%u/%c"])])
        #expect(may(authorizer, "%c", "me", publish: "u/%c/me"))
        #expect(!may(authorizer, "%c", "me", publish: "u/me/me"))
    }

    @Test("Patterns of names match runs of characters, and only * matches the nameless")
    func patterns() {
        #expect(NamePattern("till-*").matches("till-7"))
        #expect(NamePattern("*-7").matches("till-7"))
        #expect(NamePattern("t*l*7").matches("till-7"))
        #expect(NamePattern("a*a").matches("aa"))
        #expect(!NamePattern("a*a").matches("a"))
        #expect(!NamePattern("a*b*a").matches("aba".dropLast().description))
        #expect(!NamePattern("till-*").matches("TILL-7"))
        #expect(!NamePattern("till").matches("till-7"))
        #expect(NamePattern("*").matches(nil))
        #expect(!NamePattern("**").matches(nil))
        #expect(NamePattern("**").matches(""))
        #expect(!NamePattern("").matches("a"))
    }

    @Test(
        "A filter covers another exactly if it matches every topic that the other matches",
        arguments: [
            ("#", "a", true), ("#", "#", true), ("#", "$SYS/x", false), ("+", "a", true), ("+", "+", true),
            ("+", "#", false), ("+", "a/b", false), ("a/#", "a", true), ("a/#", "a/b/c", true), ("a/#", "a/#", true),
            ("a/#", "a/+/#", true), ("a/+", "a/#", false), ("a/+/c", "a/b/c", true), ("a/b/c", "a/+/c", false),
            ("$SYS/#", "$SYS/a", true), ("+/a", "$SYS/a", false), ("a", "a/b", false), ("a/b", "a", false),
            ("/+", "/a", true), ("+/+", "/", true),
        ]
    )
    func cover(allowed: String, wanted: String, expected: Bool) {
        #expect(FilterCover.covers(allowed, wanted) == expected, "\(allowed) over \(wanted)")
    }

    @Test("Cover agrees with matching on random filters and topics")
    func coverAgreesWithMatching() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let levels = ["a", "b", "", "$x"]
        for _ in 0..<20_000 {
            func filter() -> String {
                var parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                    Int.random(in: 0..<3, using: &random) == 0 ? "+" : levels.randomElement(using: &random) ?? ""
                }
                if Int.random(in: 0..<4, using: &random) == 0 { parts[parts.count - 1] = "#" }
                return parts.joined(separator: "/")
            }
            let allowed = filter()
            let wanted = filter()
            let topic = (0..<Int.random(in: 1...4, using: &random))
                .map { _ in levels.randomElement(using: &random) ?? "" }.joined(separator: "/")
            guard !allowed.isEmpty, !wanted.isEmpty, !topic.isEmpty, FilterCover.covers(allowed, wanted) else {
                continue
            }
            let name = try TopicName(validating: topic)
            guard try TopicFilter(wanted).matches(name) else { continue }
            #expect(try TopicFilter(allowed).matches(name), "\(allowed) over \(wanted) at \(topic), seed \(seed)")
        }
    }

    @Test("A rule with a filter that is none is refused at the start")
    func badRule() {
        let error = #expect(throws: AccessError.self) {
            try RuleAuthorizer(rules: [.init(publish: ["a"]), .init(subscribe: ["a/#/b"])])
        }
        #expect(error?.code == .accessRule)
        #expect(error?.message.contains("a/#/b") == true)
    }
}
