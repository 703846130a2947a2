import MQTT
import NIOCore

/// The `$SYS` tree: what is published of the broker itself, under the names and in the units of Mosquitto 2.1.
///
/// Its messages are kept here, apart from what clients retain: they are never journalled, never written into a
/// checkpoint, and begin anew with each start.
struct SystemTree {
    /// What stands under each `$SYS` topic, also what bridges and the node itself put there.
    var retained = RetainedIndex<Message>()
    /// Bytes of topics and payloads of it.
    var retainedBytes = 0

    let intervalSeconds: Int64
    private let version: String
    private var started: BrokerTime?
    /// Wall seconds divided by the interval, at the last update: updates are aligned to it, as in Mosquitto 2.1.
    private var slot: Int64 = .min
    private var previous = SystemSample()
    private var previousNanoseconds: UInt64 = 0
    private var heapMax: UInt64 = 0
    private var clientsMax: UInt64 = 0
    private var loads: [SystemLoad] = SystemLoad.all

    init(_ configuration: BrokerConfiguration) {
        intervalSeconds = Int64(configuration.systemIntervalSeconds)
        version = configuration.systemVersion
    }

    /// Whether an update is due.
    func isDue(_ now: BrokerTime) -> Bool {
        intervalSeconds > 0 && (started == nil || slot(now) != slot)
    }

    private func slot(_ now: BrokerTime) -> Int64 { now.wallMilliseconds / 1_000 / intervalSeconds }

    /// The values that changed since the last update, by name below `$SYS/broker/`.
    mutating func update(_ sample: SystemSample, now: BrokerTime) -> [(name: String, text: String)] {
        var values: [(name: String, text: String)] = []
        let start = started ?? now
        if started == nil {
            started = now
            previousNanoseconds = now.monotonicNanoseconds
            values.append(("version", version))
        }
        slot = slot(now)
        let uptime = (now.monotonicNanoseconds &- start.monotonicNanoseconds) / 1_000_000_000
        values.append(("uptime", "\(uptime) seconds"))

        // Loads first: they compare the sample with the one before.
        let seconds = Double(now.monotonicNanoseconds &- previousNanoseconds) / 1e9
        for index in loads.indices {
            loads[index].advance(from: previous, to: sample, seconds: seconds)
            values.append((loads[index].name, loads[index].text))
        }
        previous = sample
        previousNanoseconds = now.monotonicNanoseconds

        clientsMax = max(clientsMax, sample.clientsTotal)
        values.append(("clients/maximum", "\(clientsMax)"))
        if let heap = sample.heapBytes {
            heapMax = max(heapMax, heap)
            values.append(("heap/current", "\(heap)"))
            values.append(("heap/maximum", "\(heapMax)"))
        }
        for metric in SystemMetric.all {
            let text = "\(sample[keyPath: metric.value])"
            for name in metric.names { values.append((name, text)) }
        }
        for (reason, count) in zip(BrokerStatistics.DropReason.allCases, sample.droppedByReason) {
            values.append(("publish/messages/dropped/\(reason.rawValue)", "\(count)"))
        }
        return values.filter { !holds($0.name, $0.text) }
    }

    private func holds(_ name: String, _ text: String) -> Bool {
        guard let kept = retained[SystemTopic.topic(name)] else { return false }
        return kept.payload.readableBytesView.elementsEqual(text.utf8)
    }

    /// Sets what stands under a topic; an empty payload removes it. False if there is no room for another topic.
    mutating func keep(_ message: Message, max: Int) -> Bool {
        guard message.payload.readableBytes > 0 else {
            if let old = retained.set(message.topic, nil) { retainedBytes -= old.storedBytes }
            return true
        }
        guard retained.count < max || retained[message.topic] != nil else { return false }
        if let old = retained.set(message.topic, message) { retainedBytes -= old.storedBytes }
        retainedBytes += message.storedBytes
        return true
    }
}

/// The names of the tree.
enum SystemTopic {
    /// All that the broker says of itself lies below.
    static let prefix = "$SYS/broker/"

    /// The topic of a name below ``prefix``. Names come from our own table and from configurations, where they have
    /// been checked.
    static func topic(_ name: String) -> TopicName {
        TopicName(uncheckedBytes: ByteBuffer(string: prefix + name))
    }
}

extension TopicName {
    /// Whether it lies below `$SYS`.
    var isSystem: Bool {
        let prefix: StaticString = "$SYS/"
        guard isReserved, bytes.readableBytes > prefix.utf8CodeUnitCount else { return false }
        return prefix.withUTF8Buffer { bytes.readableBytesView.starts(with: $0) }
    }
}

extension Message {
    /// Bytes of its topic and payload, as `$SYS/broker/store/messages/bytes` counts them.
    var storedBytes: Int { topic.bytes.readableBytes &+ payload.readableBytes }
}
