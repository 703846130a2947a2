import Foundation
import MosquittoClient
import MosquittoFixture
import Repeatable
import Testing

/// Seeded mutations of what a server sends in MQTT 5.0, all against one process.
@Suite("A server that sends mutated packets", .serialized)
struct HostileMutationTests {
    /// What is mutated: good packets, with every property a server may send.
    private static let connack: [UInt8] = [
        0x20, 48, 0, 0, 45,
        0x11, 0, 0, 0, 60, 0x21, 0, 10, 0x24, 1, 0x25, 1, 0x27, 0, 1, 0, 0, 0x22, 0, 0,
        0x1F, 0, 2, 0x6F, 0x6B, 0x26, 0, 1, 0x6B, 0, 1, 0x76, 0x28, 1, 0x29, 1, 0x2A, 1, 0x13, 0, 30,
        0x1A, 0, 1, 0x72,
    ]
    private static let later: [[UInt8]] = [
        // PUBLISH: QoS 0, then QoS 1 and 2 with all its properties.
        [0x30, 5, 0, 1, 0x61, 0, 0x78],
        [
            0x32, 41, 0, 1, 0x61, 0, 7, 32,
            0x01, 1, 0x02, 0, 0, 0, 9, 0x23, 0, 1, 0x08, 0, 1, 0x72, 0x09, 0, 2, 1, 2, 0x26, 0, 1, 0x6B, 0, 1, 0x76,
            0x0B, 5, 0x03, 0, 1, 0x63, 0x78, 0x79, 0x7A,
        ],
        [0x34, 10, 0, 1, 0x61, 0, 9, 3, 0x23, 0, 1, 0x78],
        // PUBACK, PUBREC, PUBREL, PUBCOMP with a reason string and a user property.
        [0x40, 16, 0, 1, 0, 12, 0x1F, 0, 2, 0x6F, 0x6B, 0x26, 0, 1, 0x6B, 0, 1, 0x76],
        [0x50, 9, 0, 2, 0, 5, 0x1F, 0, 2, 0x6F, 0x6B],
        [0x62, 9, 0, 9, 0, 5, 0x1F, 0, 2, 0x6F, 0x6B],
        [0x70, 9, 0, 2, 0, 5, 0x1F, 0, 2, 0x6F, 0x6B],
        // SUBACK and UNSUBACK.
        [0x90, 10, 0, 3, 5, 0x1F, 0, 2, 0x6F, 0x6B, 1, 2],
        [0xB0, 9, 0, 4, 5, 0x1F, 0, 2, 0x6F, 0x6B, 0],
        // DISCONNECT with a server reference, AUTH with method and data, PINGRESP.
        [0xE0, 12, 0x9C, 10, 0x1C, 0, 2, 0x61, 0x62, 0x1F, 0, 2, 0x6F, 0x6B],
        [0xF0, 12, 0x18, 10, 0x15, 0, 2, 0x61, 0x62, 0x16, 0, 2, 1, 2],
        [0xD0, 0],
    ]
    /// An application message that says that the mutated packet was survived.
    private static let sentinel: [UInt8] = [
        0x30, 13, 0, 8, 0x73, 0x65, 0x6E, 0x74, 0x69, 0x6E, 0x65, 0x6C, 0, 0x78, 0x78,
    ]

    /// What becomes of one connection, as its events tell.
    private final class Watch: @unchecked Sendable {
        // SAFETY: everything under the condition's lock.
        private let condition = NSCondition()
        private var sentinels = 0
        private var isConnected = false
        private var hasEnded = false

        func take(_ event: MosquittoEvent) {
            condition.lock()
            defer { condition.unlock() }
            switch event {
            case .connected: isConnected = true
            case .message(let message) where message.topic == "sentinel": sentinels += 1
            case .connectFailed, .disconnected: hasEnded = true
            default: return
            }
            condition.broadcast()
        }

        /// Waits until the connection stands, or has seen so many sentinels, or is over.
        /// - Returns: whether it still stands.
        func wait(sentinels wanted: Int, _ what: @autoclosure () -> String) throws -> Bool {
            let deadline = Date().addingTimeInterval(20)
            condition.lock()
            defer { condition.unlock() }
            while !hasEnded, !isConnected || sentinels < wanted {
                guard condition.wait(until: deadline) else { throw DeadlinePassed(description: what()) }
            }
            return !hasEnded
        }
    }

    /// A packet with a few bytes changed, dropped or put in. Its remaining length is right, so that what follows it is
    /// read as a packet.
    private static func mutated(_ packet: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var body = Array(packet.dropFirst(2))
        var first = packet[0]
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0...body.count, using: &random)
            let byte: UInt8 =
                switch Int.random(in: 0..<4, using: &random) {
                case 0: [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
                case 1: UInt8.random(in: 1...0x2A, using: &random)
                default: UInt8.random(in: 0...255, using: &random)
                }
            switch Int.random(in: 0..<8, using: &random) {
            case 0 where place < body.count: body.remove(at: place)
            case 1: body.insert(byte, at: place)
            case 2: body.removeSubrange(place...)
            case 3 where !body.isEmpty: body.append(contentsOf: body.suffix(8))
            case 4: first ^= 1 << UInt8.random(in: 0..<4, using: &random)
            default: if place < body.count { body[place] = byte }
            }
        }
        return [first, UInt8(min(body.count, 127))] + body.prefix(127)
    }

    @Test("ends connections, and nothing else")
    func mutations() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let given = ProcessInfo.processInfo.environment["CW_MUTATIONS"].flatMap(Int.init)
        let total = given ?? 1_000
        let server = try FakeServer()
        let before = MosquittoConnection.guardedAssertions
        var done = 0
        var connections = 0
        while done < total {
            connections += 1
            let watch = Watch()
            let connection = try MosquittoConnection(configuration: .loopback(server.port)) { watch.take($0) }
            try connection.start()
            defer { connection.abandon() }
            try server.accept()
            defer { server.hangUp() }
            #expect(server.readPacket()?.first == 0x10)
            if connections % 4 == 0 {
                done += 1
                server.send(Self.mutated(Self.connack, &random))
                // A session, a refusal, or bytes that are no CONNACK at all.
                server.send(Self.sentinel)
                guard try watch.wait(sentinels: 1, "seed \(seed), mutation \(done)") else { continue }
            } else {
                server.send(Self.connack)
                guard try watch.wait(sentinels: 0, "seed \(seed), a good CONNACK") else {
                    Issue.record("seed \(seed): a good CONNACK was refused")
                    return
                }
            }
            let base = connections % 4 == 0 ? 1 : 0
            // Something for PUBACK, PUBREC and SUBACK to answer.
            _ = try? connection.publish(topic: "t", payload: [1], qos: 1)
            _ = try? connection.publish(topic: "t", payload: [2], qos: 2)
            for sent in 1...64 where done < total {
                done += 1
                let packet = Self.later[Int.random(in: 0..<Self.later.count, using: &random)]
                server.send(Self.mutated(packet, &random) + Self.sentinel)
                guard try watch.wait(sentinels: base + sent, "seed \(seed), mutation \(done)") else { break }
            }
        }
        let guarded = MosquittoConnection.guardedAssertions - before
        #expect(guarded > 0, "seed \(seed): no mutation reached the assertion")
        // For whoever runs this by hand with more.
        if given != nil {
            Output.note("\(done) mutations, \(connections) connections, \(guarded) assertions, seed \(seed)")
        }
    }

    private enum Output {
        static func note(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data((text + "\n").utf8)) }
    }
}
