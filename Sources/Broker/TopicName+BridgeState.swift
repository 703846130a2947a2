package import MQTT
internal import NIOCore

extension TopicName {
    /// Whether bridges tell here whether they are connected: `$SYS/broker/connection/<name>/state`. It is the one topic
    /// below `$SYS` that clients publish to.
    package var isBridgeState: Bool {
        let text = bytes.readableBytesView
        guard text.starts(with: "$SYS/broker/connection/".utf8) else { return false }
        let levels = text.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return levels.count == 5 && levels[4].elementsEqual("state".utf8)
    }
}
