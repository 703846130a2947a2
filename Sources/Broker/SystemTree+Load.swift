import Glibc

/// What the tree is computed from, taken at one instant. Counters grow; gauges say how it is now.
struct SystemSample: Sendable, Hashable {
    var clientsTotal: UInt64 = 0
    var clientsConnected: UInt64 = 0
    var clientsDisconnected: UInt64 = 0
    var clientsExpired: UInt64 = 0
    var storedMessages: UInt64 = 0
    var storedBytes: UInt64 = 0
    var inflightMessages: UInt64 = 0
    var subscriptions: UInt64 = 0
    var sharedSubscriptions: UInt64 = 0
    var retainedMessages: UInt64 = 0
    var packetsReceived: UInt64 = 0
    var packetsSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    var publishesReceived: UInt64 = 0
    var publishesSent: UInt64 = 0
    var publishesDropped: UInt64 = 0
    var payloadBytesReceived: UInt64 = 0
    var payloadBytesSent: UInt64 = 0
    var socketsAccepted: UInt64 = 0
    var connectsReceived: UInt64 = 0
    var heapBytes: UInt64?
    /// In the order of ``BrokerStatistics/DropReason/allCases``.
    var droppedByReason: [UInt64] = []
}

/// How a number is found in a sample.
typealias SystemValue = any KeyPath<SystemSample, UInt64> & Sendable

/// One number of the tree, under one or, where Mosquitto has an older name, two names.
struct SystemMetric: Sendable {
    let value: SystemValue
    let names: [String]

    private init(_ value: SystemValue, _ names: String...) {
        self.value = value
        self.names = names
    }

    static let all: [SystemMetric] = [
        SystemMetric(\.clientsTotal, "clients/total"),
        SystemMetric(\.clientsDisconnected, "clients/disconnected", "clients/inactive"),
        SystemMetric(\.clientsConnected, "clients/connected", "clients/active"),
        SystemMetric(\.clientsExpired, "clients/expired"),
        SystemMetric(\.storedMessages, "messages/stored", "store/messages/count"),
        SystemMetric(\.storedBytes, "store/messages/bytes"),
        SystemMetric(\.inflightMessages, "messages/inflight"),
        SystemMetric(\.subscriptions, "subscriptions/count"),
        SystemMetric(\.sharedSubscriptions, "shared_subscriptions/count"),
        SystemMetric(\.retainedMessages, "retained messages/count"),
        SystemMetric(\.packetsReceived, "messages/received"),
        SystemMetric(\.packetsSent, "messages/sent"),
        SystemMetric(\.bytesReceived, "bytes/received"),
        SystemMetric(\.bytesSent, "bytes/sent"),
        SystemMetric(\.payloadBytesReceived, "publish/bytes/received"),
        SystemMetric(\.payloadBytesSent, "publish/bytes/sent"),
        SystemMetric(\.socketsAccepted, "connections/socket/count"),
        SystemMetric(\.publishesDropped, "publish/messages/dropped"),
        SystemMetric(\.publishesReceived, "publish/messages/received"),
        SystemMetric(\.publishesSent, "publish/messages/sent"),
    ]
}

/// How often something happened in a minute, averaged over one, five or fifteen of them: each update moves the average
/// towards the rate since the last one, by a share that decays exponentially with the time between.
struct SystemLoad: Sendable {
    let name: String
    private let counter: SystemValue
    private let windowSeconds: Double
    private(set) var perMinute = 0.0

    private init(_ name: String, _ counter: SystemValue, windowSeconds: Double) {
        self.name = name
        self.counter = counter
        self.windowSeconds = windowSeconds
    }

    static let all: [SystemLoad] = {
        let counters: [(String, SystemValue)] = [
            ("messages/received", \.packetsReceived), ("messages/sent", \.packetsSent),
            ("publish/dropped", \.publishesDropped), ("publish/received", \.publishesReceived),
            ("publish/sent", \.publishesSent), ("bytes/received", \.bytesReceived), ("bytes/sent", \.bytesSent),
            ("sockets", \.socketsAccepted), ("connections", \.connectsReceived),
        ]
        return counters.flatMap { name, counter in
            [1, 5, 15].map { minutes in
                SystemLoad("load/\(name)/\(minutes)min", counter, windowSeconds: Double(minutes) * 60)
            }
        }
    }()

    /// Takes in what happened in `seconds` between two samples.
    mutating func advance(from old: SystemSample, to new: SystemSample, seconds: Double) {
        guard seconds > 0 else { return }
        let rate = Double(new[keyPath: counter] &- old[keyPath: counter]) * 60 / seconds
        perMinute = rate + exp(-seconds / windowSeconds) * (perMinute - rate)
    }

    /// With two digits, as C's `%.2f` writes it.
    var text: String {
        let hundredths = UInt64(max(0, (perMinute * 100).rounded()))
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
