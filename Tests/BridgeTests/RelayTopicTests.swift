import MQTT
import NIOCore
import Testing

@testable import Bridge

/// Topic lines: what matches, and what becomes of names.
struct RelayTopicTests {
    private func map(_ topics: RelayTopic...) throws -> RelayTopicMap { try RelayTopicMap(topics) }

    private func name(_ text: String) -> TopicName { TopicName(uncheckedBytes: ByteBuffer(string: text)) }

    @Test("Names change as with Mosquitto, both ways")
    func remapping() throws {
        let map = try map(
            RelayTopic(pattern: "#", direction: .both, localPrefix: "local/topic/", remotePrefix: "remote/topic/"),
            RelayTopic(
                pattern: "prefix/#",
                direction: .both,
                localPrefix: "local2/topic/",
                remotePrefix: "remote2/topic/"
            ),
            RelayTopic(
                pattern: "+/value",
                direction: .both,
                localPrefix: "local3/topic/",
                remotePrefix: "remote3/topic/"
            ),
            RelayTopic(pattern: "ic/+", direction: .both, localPrefix: "local4/top", remotePrefix: "remote4/tip"),
            RelayTopic(
                pattern: "clients/total",
                direction: .both,
                localPrefix: "test/mosquitto/org",
                remotePrefix: "$SYS/broker/"
            )
        )
        let pairs = [
            ("local/topic/something", "remote/topic/something"),
            ("local/topic/some/t/h/i/n/g", "remote/topic/some/t/h/i/n/g"),
            ("local2/topic/prefix/something", "remote2/topic/prefix/something"),
            ("local3/topic/something/value", "remote3/topic/something/value"),
            ("local4/topic/something", "remote4/tipic/something"),
            ("test/mosquitto/orgclients/total", "$SYS/broker/clients/total"),
        ]
        for (local, remote) in pairs {
            #expect(map.outgoing(name(local)) == .topic(name(remote)))
            #expect(map.incoming(name(remote)) == .topic(name(local)))
        }
        for unwanted in ["local2/topic/something", "local5/topic/something", "remote/topic/x", "local/topics"] {
            #expect(map.outgoing(name(unwanted)) == .unwanted)
        }
    }

    @Test("B6: a topic as long as its prefix, or shorter, has a defined end")
    func shortTopics() throws {
        let prefixes = try map(RelayTopic(pattern: "#", direction: .both, localPrefix: "a/", remotePrefix: "b/"))
        // `b/#` matches `b`, which does not begin with `b/`: nothing is taken off, the other prefix stands before it.
        #expect(prefixes.incoming(name("b")) == .topic(name("a/b")))
        #expect(prefixes.incoming(name("b/")) == .topic(name("a/")))
        #expect(prefixes.incoming(name("b/x")) == .topic(name("a/x")))
        #expect(prefixes.incoming(name("/b")) == .unwanted)
        let onlyThere = try map(RelayTopic(pattern: "#", direction: .both, remotePrefix: "b/"))
        // Nothing is left of it: an empty topic is none.
        #expect(onlyThere.incoming(name("b/")) == .impossible)
        #expect(onlyThere.incoming(name("b")) == .topic(name("b")))
        #expect(onlyThere.outgoing(name("x")) == .topic(name("b/x")))
        let whole = try map(RelayTopic(pattern: nil, direction: .both, localPrefix: "here", remotePrefix: "there/is"))
        #expect(whole.outgoing(name("here")) == .topic(name("there/is")))
        #expect(whole.incoming(name("there/is")) == .topic(name("here")))
        #expect(whole.incoming(name("there/i")) == .unwanted)
        #expect(whole.incoming(name("there/is/not")) == .unwanted)
        let long = try map(RelayTopic(pattern: "#", direction: .in, localPrefix: String(repeating: "p", count: 60_000)))
        #expect(long.incoming(name(String(repeating: "t", count: 60_000))) == .impossible)
    }

    @Test("The first line with a prefix renames, a line without one only lets through")
    func order() throws {
        let map = try map(
            RelayTopic(pattern: "#", direction: .out),
            RelayTopic(pattern: "#", direction: .out, localPrefix: "s/", remotePrefix: "one/"),
            RelayTopic(pattern: "x", direction: .out, localPrefix: "s/", remotePrefix: "two/")
        )
        #expect(map.outgoing(name("s/x")) == .topic(name("one/x")))
        #expect(map.outgoing(name("t/x")) == .topic(name("t/x")))
        #expect(map.incoming(name("t/x")) == .unwanted)
    }

    @Test("A direction is kept to, and a shared subscription's messages are known by their own topics")
    func directions() throws {
        let map = try map(
            RelayTopic(pattern: "a", direction: .in),
            RelayTopic(pattern: "b", direction: .out),
            RelayTopic(pattern: "$share/g/c/+", direction: .in)
        )
        #expect(map.outgoing(name("a")) == .unwanted)
        #expect(map.incoming(name("b")) == .unwanted)
        #expect(map.incoming(name("c/1")) == .topic(name("c/1")))
    }

    @Test("Settings that cannot work are refused with a reason")
    func refusals() {
        func refused(_ topics: [RelayTopic], _ change: (inout RelaySettings) -> Void = { _ in }) -> Bool {
            let settings = RelaySettings.sample(1_883, topics, change)
            return (try? RelayMachine(settings: settings)) == nil
        }
        let good = [RelayTopic(pattern: "#")]
        #expect(!refused(good))
        #expect(refused([]))
        #expect(refused([RelayTopic(pattern: "a/#/b")]))
        #expect(refused([RelayTopic(pattern: "a", localPrefix: "+/")]))
        #expect(refused([RelayTopic(pattern: "#", localPrefix: "a")]))
        #expect(refused([RelayTopic(pattern: nil, localPrefix: "a")]))
        #expect(refused(good) { $0.addresses = [] })
        #expect(refused(good) { $0.keepAliveSeconds = 4 })
        #expect(refused(good) { $0.remotePassword = "p" })
        #expect(refused(good) { $0.localClientID = $0.remoteClientID })
        #expect(refused(good) { $0.window = 0 })
        #expect(refused(good) { $0.name = "" })
        #expect(!refused(good) { $0.name = "../a b" })
        #expect(
            refused(good) {
                $0.publishesState = true
                $0.stateTopic = "a/#"
            }
        )
    }

    @Test("What a restart must know survives its file, and a damaged file is as none")
    func memory() throws {
        var memory = RelayMemory()
        memory.filters = ["a b/#", "ü"]
        memory.lastRemoteID = 65_535
        memory.exchanges = [1: 2, 65_535: 9]
        let bytes = memory.encode()
        #expect(RelayMemory(decoding: bytes) == memory)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1
            let read = RelayMemory(decoding: damaged)
            #expect(read == nil || read == memory, "byte \(index)")
        }
        for count in 0..<(bytes.count - 1) {
            #expect(RelayMemory(decoding: Array(bytes.prefix(count))) == nil, "\(count) bytes")
        }
    }
}
