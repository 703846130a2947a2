import MQTT
import NIOCore
import Repeatable

@testable import Broker

/// Any bytes at all, read as operations on a core: used by the fuzzer under `Tests/Fuzz` and by the replay in
/// `swift test`.
///
/// The first byte chooses the configuration. Each operation is a byte, and its arguments are the bytes after it.
enum FuzzScript {
    /// Operations of one script. What is beyond is not read.
    static let operationsMax = 400

    /// What is wrong, or nil. That nothing traps is checked by running it.
    static func run(_ input: [UInt8]) -> String? {
        var bytes = FuzzBytes(input)
        let site = FuzzSite(configuration: bytes.next())
        do {
            for _ in 0..<operationsMax where !bytes.isAtEnd {
                try perform(&bytes, on: site)
                try site.check()
            }
            try site.end()
            return nil
        } catch {
            return "\(error)"
        }
    }

    private static func perform(_ bytes: inout FuzzBytes, on site: FuzzSite) throws {
        let operation = bytes.next() % 24
        let slot = UInt32(bytes.next() % 4)
        switch operation {
        case 0, 1: try site.open(slot, connect(&bytes))
        case 2, 3: try site.send(slot, .subscribe(subscribe(&bytes)))
        case 4: try site.send(slot, .unsubscribe(Unsubscribe(packetID: 9, filters: [bytes.pick(filters)])))
        case 5...9: try site.send(slot, .publish(publish(&bytes, isV5: site.isV5(slot))))
        case 10...12: try site.acknowledge(slot, choice: bytes.next())
        case 13: try site.send(slot, answer(&bytes))
        case 14: try site.close(slot)
        case 15:
            try site.send(slot, .disconnect(Disconnect(reason: bytes.next() % 2 == 0 ? .success : .disconnectWithWill)))
        case 16: try site.commit()
        case 17: try site.pass(seconds: UInt64(bytes.next()))
        case 18: try site.setWritable(slot, bytes.next() % 2 == 0)
        case 19:
            let choice = bytes.next()
            if choice % 4 == 1 { try site.commit() }
            try site.crash(withCheckpoint: choice % 2 == 0)
        case 20: try site.answerLoads()
        case 21: try site.changeAccess(shut: bytes.next() % 8)
        case 22: bytes.next() % 16 == 0 ? try site.failJournal() : try site.system()
        default: try site.send(slot, .pingreq)
        }
    }

    // MARK: - Packets

    private static let topics: [TopicName] = ["a", "a/b", "a/b/c", "b", "$SYS/x", "$x", "a//b", "é/λ"]
    static let filters = [
        "a", "a/b", "#", "a/#", "+/b", "+", "$share/g/a/#", "$share/g/#", "$share/h/+", "$SYS/#", "a/+/c", "+/+", "b/",
        "a/#/b", "$share/g", "é/#",
    ]

    private static func connect(_ bytes: inout FuzzBytes) -> Connect {
        let flags = bytes.next()
        let more = bytes.next()
        var connect = Connect(
            version: flags & 3 == 0 ? .v3_1_1 : .v5,
            clientID: flags & 4 == 0 ? "c\(flags >> 3 & 3)" : "c0",
            cleanStart: flags & 0x20 != 0,
            keepAliveSeconds: more & 1 == 0 ? 0 : 20,
            username: flags & 0x40 == 0 ? nil : "u\(more >> 6)"
        )
        if flags & 0x80 != 0 {
            let delay: Properties = connect.version == .v5 && more & 2 != 0 ? [.willDelayInterval(5)] : []
            connect.will = Will(
                topic: bytes.pick(topics),
                payload: ByteBuffer(string: "will"),
                qos: qos(bytes.next()),
                retain: more & 4 != 0,
                properties: delay
            )
        }
        guard connect.version == .v5 else { return connect }
        if more & 8 != 0 { connect.properties.values.append(.sessionExpiryInterval(more & 16 != 0 ? 30 : .max)) }
        if more & 32 != 0 { connect.properties.values.append(.receiveMaximum(UInt16(bytes.next() % 3) + 1)) }
        if more & 64 != 0 { connect.properties.values.append(.maximumPacketSize(UInt32(bytes.next() % 64) + 16)) }
        if more & 128 != 0 { connect.properties.values.append(.topicAliasMaximum(UInt16(bytes.next() % 4))) }
        return connect
    }

    private static func subscribe(_ bytes: inout FuzzBytes) -> Subscribe {
        let flags = bytes.next()
        let requests = (0..<Int(flags & 1) + 1).map { _ -> Subscribe.Request in
            let options = bytes.next()
            let subscription = SubscriptionOptions(
                qos: qos(options),
                noLocal: options & 4 != 0,
                retainAsPublished: options & 8 != 0,
                retainHandling: RetainHandling(rawValue: options >> 4 & 3) ?? .sendAtSubscribe
            )
            return Subscribe.Request(filter: bytes.pick(filters), options: subscription)
        }
        let properties: Properties = flags & 2 != 0 ? [.subscriptionIdentifier(UInt32(flags >> 2) + 1)] : []
        return Subscribe(packetID: 7, requests: requests, properties: properties)
    }

    private static func publish(_ bytes: inout FuzzBytes, isV5: Bool) -> Publish {
        let flags = bytes.next()
        let length = Int(bytes.next())
        var properties: Properties = []
        var topic = bytes.pick(topics)
        if isV5, flags & 0x10 != 0 { properties.values.append(.messageExpiryInterval(UInt32(length % 8))) }
        if isV5, flags & 0x20 != 0 {
            properties.values.append(.topicAlias(UInt16(length % 5)))
            if flags & 0x40 != 0 { topic = "" }
        }
        let quality = qos(flags)
        return Publish(
            topic: topic,
            payload: ByteBuffer(repeating: flags, count: length % 5 == 0 ? 0 : length),
            qos: quality,
            retain: flags & 4 != 0,
            duplicate: quality != .atMostOnce && flags & 8 != 0,
            packetID: quality == .atMostOnce ? 0 : UInt16(bytes.next() % 6) + 1,
            properties: properties
        )
    }

    /// An answer that may be to nothing.
    private static func answer(_ bytes: inout FuzzBytes) -> Packet {
        let flags = bytes.next()
        let reason = flags & 0x10 == 0 ? ReasonCode.success : .unspecifiedError
        let answer = Acknowledgement(packetID: UInt16(flags & 7) + 1, reason: reason)
        return switch bytes.next() % 4 {
        case 0: .puback(answer)
        case 1: .pubrec(answer)
        case 2: .pubrel(Acknowledgement(packetID: answer.packetID))
        default: .pubcomp(Acknowledgement(packetID: answer.packetID))
        }
    }

    private static func qos(_ byte: UInt8) -> QoS { QoS(rawValue: byte & 3) ?? .atLeastOnce }
}

/// A rule that the core did not keep.
struct FuzzFinding: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
