import Broker
import Journal
import NIOCore
import NIOPosix
import Testing

@testable import SiteServer

@Suite("Parts of the driver") struct DrivingPartsTests {
    private func time(_ seconds: UInt64) -> BrokerTime {
        BrokerTime(monotonicNanoseconds: seconds * 1_000_000_000, wallMilliseconds: 0)
    }

    @Test("A deadline queue gives up what is due, in order, and nothing else")
    func deadlines() {
        var queue = DeadlineQueue(seconds: 10)
        for slot in 0..<100 as Range<UInt32> {
            queue.insert(ConnectionID(slot: slot, generation: 1), now: time(UInt64(slot)))
        }
        #expect(queue.popDue(now: time(9)) == nil)
        #expect(queue.popDue(now: time(11))?.slot == 0)
        #expect(queue.popDue(now: time(11))?.slot == 1)
        #expect(queue.popDue(now: time(11)) == nil)
        for slot in 2..<100 as Range<UInt32> { #expect(queue.popDue(now: time(1_000))?.slot == slot) }
        #expect(queue.popDue(now: time(1_000)) == nil)
    }

    @Test("Memory is given back after a crowd has gone, and then not again for a while")
    func memoryReturn() {
        var schedule = MemoryReturn()
        for _ in 0..<255 { schedule.connectionIsGone() }
        var answers = [schedule.isDue(now: 0)]
        schedule.connectionIsGone()
        for _ in 0..<2 { answers.append(schedule.isDue(now: 0)) }
        for _ in 0..<256 { schedule.connectionIsGone() }
        for now in [4_999_999_999, 5_000_000_000] as [UInt64] { answers.append(schedule.isDue(now: now)) }
        #expect(answers == [false, true, false, false, true])
    }

    @Test("The gate of log lines lets a bounded number through in a second and says how many it kept back")
    func logGate() {
        var gate = PeerLogGate(linesPerSecond: 2)
        let admitted = (0..<5).map { _ in gate.admit(monotonicNanoseconds: 1_000_000_000) }
        #expect(admitted == [0, 0, nil, nil, nil])
        #expect(gate.admit(monotonicNanoseconds: 2_000_000_000) == 3)
        #expect(gate.admit(monotonicNanoseconds: 2_000_000_001) == 0)
    }

    @Test("However many commit notices come, one look is scheduled, and it sees the last")
    func notices() {
        let slot = NoticeSlot()
        #expect(slot.post(.committed(through: 3)))
        #expect(!slot.post(.committed(through: 9)))
        #expect(slot.take().committedThrough == 9)
        #expect(slot.post(.committed(through: 10)))
    }

    @Test("A buffer comes back to the pool only if nobody else holds it")
    func bufferPool() {
        var pool = BufferPool()
        var first = pool.take()
        first.writeString("first")
        let held = first
        pool.recycle(first)
        var second = pool.take()
        second.writeString("other")
        #expect(String(buffer: held) == "first")
        #expect(second.readableBytes == 5)
        pool.recycle(second)
        #expect(pool.take().readableBytes == 0)
    }

    @Test("Limits of zero or of nonsense are brought into range")
    func clamped() {
        var limits = SiteServerLimits()
        limits.connectionsMax = 0
        limits.backlog = -1
        limits.outboundBytesMax = 0
        limits.outboundResumeBytes = .max
        limits.readBytesMax = 0
        limits.checkpointBytes = 0
        let clamped = limits.clamped()
        #expect(clamped.connectionsMax == 1)
        #expect(clamped.backlog == 1)
        #expect(clamped.outboundResumeBytes <= clamped.outboundBytesMax)
        #expect(clamped.readBytesMax >= 1_024)
        #expect(clamped.checkpointBytes > 0)
    }

    @Test("Addresses lose their port and their IPv6 wrapping")
    func addresses() throws {
        #expect(PeerAddress.text(try SocketAddress(ipAddress: "::ffff:10.0.0.1", port: 5)) == "10.0.0.1")
        #expect(PeerAddress.text(try SocketAddress(ipAddress: "10.0.0.1", port: 5)) == "10.0.0.1")
        #expect(PeerAddress.isLoopback(try SocketAddress(ipAddress: "127.9.9.9", port: 1)))
        #expect(PeerAddress.isLoopback(try SocketAddress(ipAddress: "::1", port: 1)))
        #expect(!PeerAddress.isLoopback(try SocketAddress(ipAddress: "::", port: 1)))
        #expect(!PeerAddress.isLoopback(try SocketAddress(ipAddress: "0.0.0.0", port: 1)))
        #expect(!PeerAddress.isLoopback(try SocketAddress(ipAddress: "192.168.127.1", port: 1)))
        #expect(PeerAddress.text(nil) == "local")
    }
}
