import MQTT
import NIOCore

/// What one connection is granted: its listener's policy, and the broker's configuration where the policy is silent.
struct Grants {
    /// Bytes before every topic of the client; nil for none.
    let mountPoint: ByteBuffer?
    let hasMountPoint: Bool
    let qosMax: QoS
    let isRetainAvailable: Bool
    let packetBytesMax: Int
    let keepAliveSecondsMax: UInt16
    let receiveMaximum: Int
    let topicAliasMaximum: UInt16
    /// Whether a PUBLISH needs a look at any of this: one branch for those that need none.
    let restrictsPublish: Bool

    init(_ policy: ListenerPolicy, _ configuration: BrokerConfiguration) {
        mountPoint = policy.mountPoint.isEmpty ? nil : ByteBuffer(string: policy.mountPoint)
        hasMountPoint = mountPoint != nil
        qosMax = policy.qosMax
        isRetainAvailable = policy.isRetainAvailable && configuration.isRetainAvailable
        packetBytesMax = min(policy.packetBytesMax ?? configuration.packetBytesMax, configuration.packetBytesMax)
        keepAliveSecondsMax = policy.keepAliveSecondsMax ?? configuration.keepAliveSecondsMax
        receiveMaximum = Int(max(1, policy.receiveMaximum ?? configuration.receiveMaximum))
        topicAliasMaximum = policy.topicAliasMaximum ?? configuration.topicAliasMaximum
        restrictsPublish = mountPoint != nil || qosMax != .exactlyOnce || !isRetainAvailable
    }

    // MARK: - Mount point

    /// The topic as the broker knows it.
    func mounted(_ topic: TopicName) -> TopicName {
        guard var bytes = mountPoint else { return topic }
        var rest = topic.bytes
        bytes.writeBuffer(&rest)
        return TopicName(uncheckedBytes: bytes)
    }

    /// The filter as the broker knows it. The mount point stands behind `$share/group/`.
    func mounted(_ filter: String) -> String {
        guard let mountPoint else { return filter }
        let prefix = String(buffer: mountPoint)
        let share = "$share/"
        guard filter.utf8.starts(with: share.utf8) else { return prefix + filter }
        let group = filter.utf8.dropFirst(share.utf8.count)
        guard let slash = group.firstIndex(of: UInt8(ascii: "/")) else { return filter }
        let start = filter.utf8.index(after: slash)
        return String(filter[..<start]) + prefix + String(filter[start...])
    }

    /// Bytes to take off a topic on its way to the client; nil if it does not lie below the mount point.
    @inline(__always)
    func mountBytes(of topic: TopicName) -> Int? {
        hasMountPoint ? bytesBelow(topic) : 0
    }

    private func bytesBelow(_ topic: TopicName) -> Int? {
        guard let mountPoint else { return 0 }
        let count = mountPoint.readableBytes
        guard topic.bytes.readableBytes > count,
            topic.bytes.readableBytesView.starts(with: mountPoint.readableBytesView)
        else { return nil }
        return count
    }
}
