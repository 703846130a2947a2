public import MQTT
internal import NIOCore

/// A `topic` line: which messages go which way, and how they are called on either side.
public struct RelayTopic: Sendable, Hashable {
    /// Which way.
    public enum Direction: Sendable, Hashable, CaseIterable {
        /// From this broker to the other one.
        case out
        /// From the other one to this one.
        case `in`
        /// Both.
        case both

        var goesOut: Bool { self != .in }
        var comesIn: Bool { self != .out }
    }

    /// The topic filter without prefixes; nil (`""`) stands for the two prefixes alone, as whole topics.
    public var pattern: String?
    /// Which way.
    public var direction: Direction
    /// The highest quality of service.
    public var qos: QoS
    /// What stands before the pattern on this side, as written.
    public var localPrefix: String
    /// What stands before it on the other side.
    public var remotePrefix: String

    /// Makes a line.
    public init(
        pattern: String?,
        direction: Direction = .out,
        qos: QoS = .atMostOnce,
        localPrefix: String = "",
        remotePrefix: String = ""
    ) {
        self.pattern = pattern
        self.direction = direction
        self.qos = qos
        self.localPrefix = localPrefix
        self.remotePrefix = remotePrefix
    }

    /// The filter on this side.
    public var localFilter: String { localPrefix + (pattern ?? "") }
    /// The filter on the other side.
    public var remoteFilter: String { remotePrefix + (pattern ?? "") }

    func validate(in name: String) throws(BridgeError) {
        guard pattern != nil || (!localPrefix.isEmpty && !remotePrefix.isEmpty) else {
            throw BridgeError(.invalidRoute, "connection \(name): a topic without a pattern needs both prefixes")
        }
        for prefix in [localPrefix, remotePrefix] where prefix.contains(where: { $0 == "+" || $0 == "#" }) {
            throw BridgeError(.invalidRoute, "connection \(name): a prefix has no wildcards")
        }
        for filter in [localFilter, remoteFilter] {
            do {
                _ = try TopicFilter(filter)
            } catch {
                throw BridgeError(
                    .invalidRoute,
                    "connection \(name): the filter \(filter) is not possible",
                    cause: error
                )
            }
        }
    }
}

/// The topic lines of a relay, ready to be asked for each message.
struct RelayTopicMap: Sendable {
    /// What becomes of a topic.
    enum Mapped: Sendable, Hashable {
        /// It goes on under this name.
        case topic(TopicName)
        /// No line lets it through.
        case unwanted
        /// What is left of it behind the prefix is no topic name.
        case impossible
    }

    private struct Rule: Sendable {
        let filter: TopicFilter
        let removed: [UInt8]
        let added: [UInt8]
        var isRenaming: Bool { !removed.isEmpty || !added.isEmpty }
    }

    private let outgoing: [Rule]
    private let incoming: [Rule]

    init(_ topics: [RelayTopic]) throws(BridgeError) {
        func rule(_ filter: String, removed: String, added: String) throws(BridgeError) -> Rule {
            do {
                // A shared subscription's messages come under their own topics.
                let filter = try TopicFilter(filter).unshared
                return Rule(filter: filter, removed: Array(removed.utf8), added: Array(added.utf8))
            } catch {
                throw BridgeError(.invalidRoute, "the filter \(filter) is not possible", cause: error)
            }
        }
        var outgoing: [Rule] = []
        var incoming: [Rule] = []
        for topic in topics {
            if topic.direction.goesOut {
                outgoing.append(
                    try rule(topic.localFilter, removed: topic.localPrefix, added: topic.remotePrefix)
                )
            }
            if topic.direction.comesIn {
                incoming.append(
                    try rule(topic.remoteFilter, removed: topic.remotePrefix, added: topic.localPrefix)
                )
            }
        }
        self.outgoing = outgoing
        self.incoming = incoming
    }

    /// The name on the other side of a message from here.
    func outgoing(_ topic: TopicName) -> Mapped { Self.map(topic, outgoing) }

    /// The name on this side of a message from there.
    func incoming(_ topic: TopicName) -> Mapped { Self.map(topic, incoming) }

    /// The first line that matches and has a prefix renames; a line without prefixes only lets through, wherever it
    /// stands. So it is with Mosquitto.
    private static func map(_ topic: TopicName, _ rules: [Rule]) -> Mapped {
        var isWanted = false
        for rule in rules where rule.filter.matches(topic) {
            guard rule.isRenaming else {
                isWanted = true
                continue
            }
            var rest = topic.bytes
            // `a/#` matches `a` as well, which does not begin with the prefix `a/`: then nothing is taken off.
            if rest.readableBytesView.starts(with: rule.removed) { rest.moveReaderIndex(forwardBy: rule.removed.count) }
            var bytes = ByteBuffer()
            bytes.reserveCapacity(rule.added.count + rest.readableBytes)
            bytes.writeBytes(rule.added)
            bytes.writeBuffer(&rest)
            guard (try? TopicName.validate(bytes, maxLevels: TopicLimits.levelsMax)) != nil else { return .impossible }
            return .topic(TopicName(uncheckedBytes: bytes))
        }
        return isWanted ? .topic(topic) : .unwanted
    }
}
