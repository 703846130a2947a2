import DequeModule
import NIOCore

/// One end of a connection.
protocol LinkEnd: AnyObject {
    /// Bytes have come, in order.
    func linkReceived(_ bytes: ByteBuffer)
    /// The connection is over: the other end closed it, or it broke. Nothing comes after it.
    func linkEnded()
    /// Some of what was sent has left.
    func linkDrained()
}

/// A connection as TCP gives it: two streams of bytes, whole and in order, cut anywhere, until it breaks. What breaks
/// loses what was under way, and the ends learn of it at different times, or never.
final class Link {
    enum Side { case client, server }

    /// What the streams of a world are like.
    struct Weather {
        /// Nanoseconds on the way.
        var latency: ClosedRange<UInt64> = 50 * Time.microsecond...2 * Time.millisecond
        /// Pieces that a write is cut into at most.
        var piecesMax = 3
    }

    private struct Pipe {
        /// Nil is the end of the stream.
        var pieces: Deque<ByteBuffer?> = []
        var bytes = 0
        /// When the piece sent last arrives.
        var lastDue: UInt64 = 0
        var isClosed = false
    }

    let number: Int
    private let kernel: Kernel
    private let weather: Weather
    private var up = Pipe()
    private var down = Pipe()
    private weak var client: (any LinkEnd)?
    private weak var server: (any LinkEnd)?
    /// Whether it broke: nothing arrives any more.
    private(set) var isBroken = false
    /// Until then nothing arrives, in either direction.
    private var stalledUntil: UInt64 = 0

    /// The numbers of the will that the client named, for the checks; 0 for none.
    var will = 0
    /// The rules' version under which each packet downwards was sent, oldest first, for the checks.
    var versionsSent: Deque<Int> = []

    init(number: Int, kernel: Kernel, weather: Weather) {
        self.number = number
        self.kernel = kernel
        self.weather = weather
    }

    func connect(client: any LinkEnd, server: any LinkEnd) {
        self.client = client
        self.server = server
    }

    /// Bytes under way from an end.
    func pending(from side: Side) -> Int { side == .client ? up.bytes : down.bytes }

    /// Sends bytes.
    func send(_ bytes: ByteBuffer, from side: Side) {
        guard !isBroken, bytes.readableBytes > 0 else { return }
        kernel.trace.note(side == .client ? .upBytes : .downBytes, number, bytes.readableBytes, Trace.sum(bytes))
        var rest = bytes
        for left in stride(from: kernel.draw(1...weather.piecesMax), through: 1, by: -1) where rest.readableBytes > 0 {
            let count = left == 1 ? rest.readableBytes : kernel.draw(1...rest.readableBytes)
            enqueue(rest.readSlice(length: count), from: side)
        }
    }

    /// Closes an end: what was sent before arrives first.
    func close(from side: Side) {
        if side == .client { client = nil } else { server = nil }
        guard !isBroken else { return }
        enqueue(nil, from: side)
    }

    /// Breaks it. Each end hears of it after its own delay.
    func cut(heard: ClosedRange<UInt64>) {
        guard !isBroken else { return }
        isBroken = true
        kernel.trace.note(.cut, number)
        kernel.within(heard) { [self] in tell(.client) }
        kernel.within(heard) { [self] in tell(.server) }
    }

    /// Breaks it so that nobody hears of it: half open until somebody misses the other.
    func die() {
        isBroken = true
        kernel.trace.note(.dead, number)
    }

    /// Holds back everything for a while.
    func stall(for nanoseconds: UInt64) {
        stalledUntil = max(stalledUntil, kernel.now + nanoseconds)
        kernel.trace.note(.stalled, number, Int(nanoseconds))
    }

    /// One end went without a word, as a process that is killed: the system tells the other one.
    func abandon(_ side: Side) {
        if side == .client { client = nil } else { server = nil }
        guard !isBroken else { return }
        cut(heard: weather.latency)
    }

    /// One end went and its machine with it: nobody tells the other one.
    func vanish(_ side: Side) {
        if side == .client { client = nil } else { server = nil }
        if !isBroken { die() }
    }

    private func tell(_ side: Side) {
        let hearer = side == .client ? client : server
        if side == .client { client = nil } else { server = nil }
        guard let hearer else { return }
        kernel.trace.note(.ended, number)
        hearer.linkEnded()
    }

    private func enqueue(_ piece: ByteBuffer?, from side: Side) {
        let due = max(kernel.now + kernel.draw(weather.latency), side == .client ? up.lastDue : down.lastDue)
        func add(_ pipe: inout Pipe) {
            guard !pipe.isClosed else { return }
            pipe.isClosed = piece == nil
            pipe.pieces.append(piece)
            pipe.bytes += piece?.readableBytes ?? 0
            pipe.lastDue = due
        }
        if side == .client { add(&up) } else { add(&down) }
        kernel.after(due - kernel.now) { [self] in arrive(from: side) }
    }

    /// The oldest piece of a stream arrives.
    private func arrive(from side: Side) {
        guard !isBroken else { return }
        guard kernel.now >= stalledUntil else {
            kernel.after(stalledUntil - kernel.now) { [self] in arrive(from: side) }
            return
        }
        let popped = side == .client ? up.pieces.popFirst() : down.pieces.popFirst()
        guard let piece = popped else { return }
        guard let bytes = piece else {
            tell(side == .client ? .server : .client)
            return
        }
        if side == .client {
            up.bytes -= bytes.readableBytes
            server?.linkReceived(bytes)
            client?.linkDrained()
        } else {
            down.bytes -= bytes.readableBytes
            client?.linkReceived(bytes)
            server?.linkDrained()
        }
    }
}
