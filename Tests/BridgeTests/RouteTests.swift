import Broker
import MQTT
import NIOCore
import Testing

@testable import Bridge

private func message(_ topic: String, origin: MessageOrigin = .client) -> JournaledMessage {
    JournaledMessage(
        reference: MessageReference(record: 1, index: 0),
        topic: TopicName(uncheckedBytes: ByteBuffer(string: topic)),
        payload: ByteBuffer(),
        qos: .atLeastOnce,
        retain: false,
        properties: [],
        receivedMilliseconds: 0,
        origin: origin,
        publisher: "x"
    )
}

private func settings(_ routes: [RouteRule]) -> BridgeSettings {
    var settings = BridgeSettings(
        name: "cloud",
        host: "localhost",
        port: 1,
        site: "store-0042",
        outboxDirectory: "/none"
    )
    settings.routes = routes
    settings.siteKey = Array(repeating: 7, count: 32)
    return settings
}

@Suite("Routes")
struct RouteTests {
    struct Case: Sendable, CustomStringConvertible {
        let pattern: String
        let template: String?
        let topic: String
        /// Without the prefix; nil: no route matches.
        let expected: String?
        var description: String { "\(pattern) → \(template ?? "as is"): \(topic)" }
    }

    static let cases = [
        Case(pattern: "alarm/#", template: nil, topic: "alarm/fire", expected: "alarm/fire"),
        Case(pattern: "alarm/#", template: nil, topic: "alarm", expected: "alarm"),
        Case(pattern: "alarm/#", template: nil, topic: "alarms", expected: nil),
        Case(pattern: "pos/+/sale", template: "sales/{1}", topic: "pos/3/sale", expected: "sales/3"),
        Case(
            pattern: "ward/+/bed/{bed}/cgm",
            template: "vitals/{bed}",
            topic: "ward/a/bed/7/cgm",
            expected: "vitals/7"
        ),
        Case(
            pattern: "ward/+/bed/{bed}/cgm",
            template: "v/{2}-{1}",
            topic: "ward/a/bed/7/cgm",
            expected: "v/7-a"
        ),
        Case(pattern: "a/#", template: "b/{rest}", topic: "a/x/y", expected: "b/x/y"),
        Case(pattern: "a/#", template: "b/{rest}", topic: "a", expected: "b"),
        Case(pattern: "+/#", template: "{1}/{site}/{rest}", topic: "k/v", expected: "k/store-0042/v"),
        Case(
            pattern: "t/+",
            template: "t/{1}",
            topic: "t/a.b c*d>e+æ",
            expected: "t/a%2Eb%20c%2Ad%3Ee%2B%C3%A6"
        ),
        Case(pattern: "t/+", template: "t/{1}", topic: "t/100%", expected: "t/100%25"),
        Case(pattern: "t/#", template: nil, topic: "t//x", expected: "t/%00/x"),
        Case(pattern: "#", template: nil, topic: "$SYS/load", expected: nil),
    ]

    @Test("map topics with captures into the narrow alphabet", arguments: cases)
    func mapping(item: Case) throws {
        let table = try RouteTable(
            settings([RouteRule(pattern: item.pattern, template: item.template)])
        )
        let prefix = table.prefix
        #expect(prefix.hasPrefix("up/") && prefix.hasSuffix("/store-0042/"))
        #expect(table.route(message(item.topic))?.topic == item.expected.map { prefix + $0 })
    }

    @Test("the first that matches decides, and an origin can be asked for")
    func order() throws {
        let table = try RouteTable(
            settings([
                RouteRule(pattern: "a/b", template: "first"), RouteRule(pattern: "a/+", template: "second"),
                RouteRule(pattern: "#", template: "handlers", origins: [.handler]),
            ])
        )
        #expect(table.route(message("a/b"))?.route == 0)
        #expect(table.route(message("a/c"))?.route == 1)
        #expect(table.route(message("z")) == nil)
        #expect(table.route(message("z", origin: .handler))?.route == 2)
    }

    @Test("a topic too long or too deep does not travel")
    func limits() throws {
        let table = try RouteTable(settings([RouteRule(pattern: "#")]))
        let deep = table.route(message("1/2/3/4/5/6"))
        #expect(deep != nil && deep?.topic == nil)
        #expect(table.route(message("1/2/3/4/5"))?.topic != nil)
        let long = table.route(message(String(repeating: ".", count: 100)))
        #expect(long != nil && long?.topic == nil)
    }

    @Test(
        "what makes no sense is refused",
        arguments: [
            RouteRule(pattern: "a/{x}/{x}"), RouteRule(pattern: "a/b{x}"), RouteRule(pattern: "a/#/b"),
            RouteRule(pattern: ""),
            RouteRule(pattern: "$share/g/a"), RouteRule(pattern: "a/+", template: "b/{2}"),
            RouteRule(pattern: "a/+", template: "b/{y}"), RouteRule(pattern: "a", template: "b/{rest}"),
            RouteRule(pattern: "a/#", template: "b-{rest}"), RouteRule(pattern: "a", template: "b/#"),
            RouteRule(pattern: "a", template: ""), RouteRule(pattern: "a", qos: 2),
            RouteRule(pattern: "a", redactions: ["": .drop]),
            RouteRule(pattern: "a", redactions: ["a..b": .drop]),
            RouteRule(pattern: "a", redactions: ["a.**": .drop]),
            RouteRule(pattern: "a", redactions: ["a": .round(decimals: 10)]),
            RouteRule(pattern: "a", redactions: ["a": .drop], keepsUserProperties: true),
        ]
    )
    func refused(rule: RouteRule) {
        #expect(throws: BridgeError.self) { try RouteTable(settings([rule])) }
    }

    @Test("a site's shard never changes and spreads")
    func shards() {
        #expect(
            BridgeSettings(name: "b", host: "h", port: 1, site: "s", outboxDirectory: "/").shardCount
                == 64
        )
        var counts = [Int](repeating: 0, count: 64)
        for number in 0..<6400 { counts[BridgeShardProbe.number("store-\(number)")] += 1 }
        #expect(counts.min().map { $0 > 50 } == true && counts.max().map { $0 < 170 } == true)
    }
}
