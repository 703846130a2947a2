import Foundation
import MQTT
import NIOCore

/// What finding the subscribers of a topic costs as subscriptions grow: the tree alone, without the memory of topics
/// that stands before it in the broker.
enum MatchCost {
    private static let seconds = 0.5
    private static let rounds = 5

    /// Nanoseconds for one match among so many subscriptions, of which one in ten has a wildcard.
    struct Figure: Codable {
        let subscriptions: Int
        let nanoseconds: Double
    }

    static func run(json: Bool) throws {
        let sizes = [1_000, 10_000, 100_000]
        let figures = try sizes.map { Figure(subscriptions: $0, nanoseconds: try measure($0)) }
        if json {
            Lines.write(String(decoding: try JSONEncoder().encode(figures), as: UTF8.self))
            return
        }
        for figure in figures {
            Lines.write("\(figure.subscriptions) subscriptions: \(Int(figure.nanoseconds)) ns a match")
        }
        Lines.write(String(format: "growth: %.2f", figures[2].nanoseconds / figures[0].nanoseconds))
    }

    /// A site of so many devices, 100 on each line: nine of ten are subscribed to by name, the others by filters with
    /// `+` or `#` that lie on the way of every match and match none, so that each topic has one subscriber.
    private static func measure(_ subscriptions: Int) throws -> Double {
        var tree = SubscriptionTree<UInt32, UInt8>()
        var topics: [TopicName] = []
        for device in 0..<subscriptions {
            let (line, number) = (device / 100, device % 100)
            let filter: String
            switch device % 20 {
            case 0: filter = "site/line-\(line)/+/alarm-\(number)"
            case 10: filter = "site/line-\(line)/cell-\(number)/#"
            default:
                filter = "site/line-\(line)/device-\(number)/state"
                topics.append(TopicName(uncheckedBytes: ByteBuffer(string: filter)))
            }
            tree.insert(try TopicFilter(filter), subscriber: UInt32(device), value: 0)
        }
        // Any order that is not that of the tree, the same in every run.
        var order = Array(topics.indices)
        var random = Shuffle(state: 1)
        order.shuffle(using: &random)
        let clock = ContinuousClock()
        var best: [Double] = []
        for _ in 0..<rounds {
            var matches = 0
            var found = 0
            let start = clock.now
            repeat {
                for index in order.prefix(10_000) {
                    tree.forEachMatch(topics[index]) { _, _ in found += 1 }
                    matches += 1
                }
            } while clock.now - start < .seconds(seconds / Double(rounds))
            let elapsed = clock.now - start
            precondition(found == matches, "each topic has one subscriber")
            best.append(elapsed / .nanoseconds(1) / Double(matches))
            order.shuffle(using: &random)
        }
        return best.sorted()[rounds / 2]
    }

    /// SplitMix64.
    private struct Shuffle: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }
}
