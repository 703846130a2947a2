import NIOCore
import Repeatable
import Testing

@testable import MQTT

/// Topics and filters of few words, so that many of them meet.
private struct Words {
    var generator: SeededRandom
    private static let words = ["a", "b", "", "$x", "temperature-of-the-fridge", "é"]

    mutating func topic() -> TopicName {
        while true {
            let levels = (0..<generator.int(1...5)).map { _ in generator.pick(Self.words) }
            let text = levels.joined(separator: "/")
            if !text.isEmpty { return TopicName(stringLiteral: text) }
        }
    }

    mutating func filter() throws -> TopicFilter {
        while true {
            var levels = (0..<generator.int(1...5)).map { _ in generator.oneIn(3) ? "+" : generator.pick(Self.words) }
            if generator.oneIn(4) { levels.append("#") }
            if generator.oneIn(12) { levels = ["#"] }
            var text = levels.joined(separator: "/")
            guard !text.isEmpty else { continue }
            if generator.oneIn(5) { text = "$share/\(generator.pick(["g", "h"]))/" + text }
            return try TopicFilter(text)
        }
    }
}

/// Matching as one would write it on paper: level by level, recursively, on arrays of strings.
private func oracle(_ filter: ArraySlice<Substring>, _ topic: ArraySlice<Substring>) -> Bool {
    guard let level = filter.first else { return topic.isEmpty }
    if level == "#" { return true }
    guard let name = topic.first else { return false }
    guard level == "+" || level == name else { return false }
    return oracle(filter.dropFirst(), topic.dropFirst())
        || (topic.count == 1 && filter.dropFirst() == ["#"])
}

private func oracle(_ filter: TopicFilter, _ topic: TopicName) -> Bool {
    let filter = filter.unshared.string.split(separator: "/", omittingEmptySubsequences: false)[...]
    let topic = topic.string.split(separator: "/", omittingEmptySubsequences: false)[...]
    if topic.first?.first == "$", filter.first == "+" || filter.first == "#" { return false }
    return oracle(filter, topic)
}

@Suite("Subscriptions and retained messages by topic")
struct TreeTests {
    private struct Subscription: Hashable {
        let filter: TopicFilter
        let subscriber: Int
    }

    @Test("The tree finds what a plain look through all subscriptions finds, through random changes")
    func subscriptions() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var words = Words(generator: SeededRandom(seed: seed))
        var tree = SubscriptionTree<Int, Int>()
        var model: [Subscription: Int] = [:]
        var value = 0
        for round in 0..<4_000 {
            let subscription = Subscription(filter: try words.filter(), subscriber: words.generator.int(0...5))
            let generation = tree.generation
            if words.generator.oneIn(3) {
                let removed = tree.remove(subscription.filter, subscriber: subscription.subscriber)
                #expect(removed == model.removeValue(forKey: subscription), "seed \(seed)")
                #expect((tree.generation == generation) == (removed == nil))
            } else {
                value += 1
                let old = tree.insert(subscription.filter, subscriber: subscription.subscriber, value: value)
                #expect(old == model.updateValue(value, forKey: subscription), "seed \(seed)")
                #expect(tree.generation != generation)
            }
            #expect(tree.count == model.count)
            #expect(
                tree.value(subscription.filter, subscriber: subscription.subscriber) == model[subscription]
            )
            guard round % 20 == 0 else { continue }
            let topic = words.topic()
            var found: [Int] = []
            tree.forEachMatch(topic) { _, value in found.append(value) }
            let expected = model.filter { oracle($0.key.filter, topic) }.values
            #expect(found.sorted() == expected.sorted(), "\(topic), seed \(seed)")
            for subscription in model.keys {
                #expect(subscription.filter.matches(topic) == oracle(subscription.filter, topic), "seed \(seed)")
            }
        }
        for subscription in model.keys.shuffled(using: &words.generator) {
            #expect(tree.remove(subscription.filter, subscriber: subscription.subscriber) != nil, "seed \(seed)")
        }
        #expect(tree.count == 0)
        #expect(tree.isPruned, "nothing is left behind, seed \(seed)")
    }

    @Test("100,000 random and mismatched subscriptions and unsubscriptions leave an empty tree (CVE-2024-8376)")
    func churn() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var words = Words(generator: SeededRandom(seed: seed))
        var filters: [TopicFilter] = []
        for _ in 0..<500 { filters.append(try words.filter()) }
        var tree = SubscriptionTree<Int, Int>()
        for _ in 0..<100_000 {
            let filter = words.generator.pick(filters)
            // Sometimes the same filter with another share group, or none: that is another subscription.
            if words.generator.oneIn(2) {
                tree.insert(filter, subscriber: words.generator.int(0...50), value: 0)
            } else {
                tree.remove(
                    words.generator.oneIn(3) ? filter.unshared : filter,
                    subscriber: words.generator.int(0...50)
                )
            }
        }
        for filter in filters {
            for subscriber in 0...50 { tree.remove(filter, subscriber: subscriber) }
        }
        #expect(tree.count == 0, "seed \(seed)")
        #expect(tree.isPruned, "seed \(seed)")
        #expect(tree.tree.texts.count <= 4_096 + 32, "level texts are given back: \(tree.tree.texts.count)")
    }

    @Test("Many subscribers of one filter come and go, each once")
    func manySubscribers() throws {
        let filter = try TopicFilter("alarm/#")
        var tree = SubscriptionTree<Int, Int>()
        for subscriber in 0..<1_000 { tree.insert(filter, subscriber: subscriber, value: subscriber * 2) }
        for subscriber in stride(from: 0, to: 1_000, by: 3) {
            #expect(tree.remove(filter, subscriber: subscriber) == subscriber * 2)
        }
        var found: [Int] = []
        tree.forEachMatch("alarm/fire") { subscriber, value in
            #expect(value == subscriber * 2)
            found.append(subscriber)
        }
        #expect(found.sorted() == (0..<1_000).filter { $0 % 3 != 0 })
        for subscriber in (0..<1_000).reversed() { tree.remove(filter, subscriber: subscriber) }
        #expect(tree.isPruned)
    }

    @Test("A topic of 65,535 separators is matched without recursion and without memory (CVE-2019-11779)")
    func deepTopic() throws {
        let deep = TopicName(stringLiteral: String(repeating: "/", count: 65_535))
        var tree = SubscriptionTree<Int, Int>()
        for (index, text) in ["#", "+/#", "/+/+/#", "/////////", "+/+"].enumerated() {
            tree.insert(try TopicFilter(text), subscriber: index, value: 0)
        }
        var found: Set<Int> = []
        tree.forEachMatch(deep) { subscriber, _ in found.insert(subscriber) }
        #expect(found == [0, 1, 2])
        var index = RetainedIndex<Int>()
        index.set(deep, 1)
        for text in ["#", "+/#", "/+/+/#"] {
            var count = 0
            index.forEachMatch(try TopicFilter(text)) { _, _ in count += 1 }
            #expect(count == 1)
        }
        index.set(deep, nil)
        #expect(index.isPruned)
    }

    @Test("The worst mix of + branches costs no more than its nodes, and each filter comes once")
    func plusBranches() throws {
        var tree = SubscriptionTree<Int, Int>()
        for mask in 0..<1_024 {
            let levels = (0..<10).map { mask >> $0 & 1 == 0 ? "a" : "+" }
            tree.insert(try TopicFilter(levels.joined(separator: "/")), subscriber: mask, value: 0)
        }
        var found: [Int] = []
        tree.forEachMatch("a/a/a/a/a/a/a/a/a/a") { subscriber, _ in found.append(subscriber) }
        #expect(found.sorted() == Array(0..<1_024))
    }

    @Test("The retained index finds what a plain look through all topics finds, through random changes")
    func retained() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var words = Words(generator: SeededRandom(seed: seed))
        var index = RetainedIndex<Int>()
        var model: [TopicName: Int] = [:]
        for round in 0..<4_000 {
            let topic = words.topic()
            if words.generator.oneIn(3) {
                #expect(index.set(topic, nil) == model.removeValue(forKey: topic), "seed \(seed)")
            } else {
                #expect(index.set(topic, round) == model.updateValue(round, forKey: topic), "seed \(seed)")
            }
            #expect(index[topic] == model[topic], "seed \(seed)")
            #expect(index.count == model.count, "seed \(seed)")
            guard round % 20 == 0 else { continue }
            let filter = try words.filter()
            var found: [TopicName: Int] = [:]
            index.forEachMatch(filter) { topic, value in
                #expect(found.updateValue(value, forKey: topic) == nil, "each topic once, seed \(seed)")
            }
            #expect(found == model.filter { oracle(filter, $0.key) }, "\(filter), seed \(seed)")
        }
        var all: [TopicName: Int] = [:]
        index.forEach { all[$0] = $1 }
        #expect(all == model, "seed \(seed)")
        for topic in model.keys.shuffled(using: &words.generator) { index.set(topic, nil) }
        #expect(index.isPruned, "nothing is left behind, seed \(seed)")
    }
}
