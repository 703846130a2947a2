import Broker
import MQTT
import Repeatable
import Testing

@testable import Access

@Suite("Policies") struct PolicyBoxTests {
    private func rules(_ publish: [String]) throws -> AccessPolicy {
        AccessPolicy([try RuleSet(rules: [.init(publish: publish, subscribe: ["#"])])])
    }

    @Test("Each listener has its own policy; where the listener is not known, any of them may allow")
    func listeners() throws {
        let set = PolicySet(try rules(["common/#"]), listeners: ["till": try rules(["sale/#"])])
        let box = PolicyBox(set)
        let identity = Identity("u")
        #expect(box.rights(of: identity, listener: "ward").mayPublish("common/a"))
        #expect(!box.rights(of: identity, listener: "ward").mayPublish("sale/a"))
        #expect(box.rights(of: identity, listener: "till").mayPublish("sale/a"))
        #expect(!box.rights(of: identity, listener: "till").mayPublish("common/a"))
        let unknown = box.rights(of: identity, listener: nil)
        #expect(unknown.mayPublish("sale/a") && unknown.mayPublish("common/a") && !unknown.mayPublish("x"))
    }

    @Test("A replaced policy counts for whoever is asked next")
    func replacing() throws {
        let box = PolicyBox(.open)
        let identity = Identity("u")
        #expect(box.allowsEverything(identity))
        let before = box.rights(of: identity, listener: "l")
        box.replace(PolicySet(try rules(["a"])))
        #expect(!box.allowsEverything(identity))
        #expect(!box.mayPublish(identity, topic: "b"))
        #expect(before.mayPublish("b"), "rights are of the moment that they were resolved at")
        #expect(!box.rights(of: identity, listener: "l").mayPublish("b"))
    }

    @Test("The open policy allows everything but $ publishes and whatever concerns $CONTROL")
    func open() throws {
        let rights = PolicyBox(.open).rights(of: Identity(nil), listener: "l")
        #expect(rights.allowsEverything)
        #expect(rights.mayPublish("a"))
        #expect(!rights.mayPublish("$CONTROL/dynamic-security/v1"))
        #expect(!rights.mayPublish("$SYS/a"))
        #expect(rights.mayReceive("$SYS/broker/uptime"))
        #expect(try rights.maySubscribe(TopicFilter("$SYS/#")))
    }

    @Test("Remembered answers are bounded for one client and for all, and are given back")
    func bounded() throws {
        let budget = DecisionBudget(max: 10)
        let filters = (0..<10).map { "t/\($0)" }
        let access = try RuleSet(rules: [.init(publish: filters, subscribe: filters)]).resolve(Identity("u"))
        var rights: PolicyRights? = PolicyRights([access], budget: budget)
        for number in 0..<5_000 {
            let topic = try TopicName(validating: "t/\(number)")
            #expect(rights?.mayPublish(topic) == (number < 10))
            #expect(rights?.mayReceive(topic) == (number < 10))
        }
        #expect(!budget.take())
        rights = nil
        for _ in 0..<10 { #expect(budget.take()) }
        #expect(!budget.take())
    }

    @Test("Remembered answers are those of the rules, for 50,000 random questions")
    func rememberedAgree() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let levels = ["a", "b", "c", "d"]
        let filters = ["a/+/c", "b/#", "+/d", "a/b/c/d", "c/c", "d/+/+"]
        let set = try RuleSet(rules: [.init(publish: filters, subscribe: Array(filters.prefix(4)))])
        let access = set.resolve(Identity("u"))
        let rights = PolicyBox(AccessPolicy([set])).rights(of: Identity("u"), listener: "l")
        for _ in 0..<50_000 {
            let text = (0..<Int.random(in: 1...4, using: &random))
                .map { _ in levels.randomElement(using: &random) ?? "a" }.joined(separator: "/")
            let topic = try TopicName(validating: text)
            #expect(rights.mayPublish(topic) == access.mayPublish(topic), "\(text), seed \(seed)")
            #expect(rights.mayReceive(topic) == access.mayReceive(topic), "\(text), seed \(seed)")
        }
    }

    @Test("Sources are asked in order; what none decides, the last one answers")
    func sources() throws {
        let first = try ACLFile(text: "user u\ntopic deny a\ntopic write b", path: "acl")
        let policy = AccessPolicy([first, try RuleSet(rules: [.init(publish: ["a", "c"])])])
        let access = policy.resolve(Identity("u"))
        #expect(!access.mayPublish("a"))
        #expect(access.mayPublish("b"))
        #expect(access.mayPublish("c"))
        #expect(!access.mayPublish("d"))
    }
}
