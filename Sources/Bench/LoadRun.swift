import MQTT
import NIOCore

/// A load from its first connection to its last figure. Confined to one loop, made on it.
final class LoadRun: LoadClientOwner {
    let settings: BenchSettings
    private let dialer: LoadDialer
    private let promise: EventLoopPromise<BenchResult>
    /// Set apart from other loads on the same broker.
    private let name: String

    let counts = LoadCounts()
    private(set) var senders: [LoadClient] = []
    private var receivers: [LoadClient] = []
    private var keeper: LoadClient?
    private var waiting: [LoadClient] = []
    private var connecting = 0
    /// Clients that became ready so far.
    private var ready = 0

    private enum Phase { case subscribingKeeper, connecting, running, draining, fetching, cleaning, done }
    private var phase = Phase.connecting
    private var rounds: [BenchRound] = []
    private var acknowledged: UInt64?

    /// Deliveries that were given up.
    private var lost: UInt64 = 0
    private var cursor = 0
    private var fillIsScheduled = false
    private var progressSeen: UInt64 = 0
    private var progressTime = NIODeadline.now()
    private var schedule: OpenLoopSchedule?

    init(_ settings: BenchSettings, dialer: LoadDialer, name: String, promise: EventLoopPromise<BenchResult>) {
        self.settings = settings
        self.dialer = dialer
        self.name = name
        self.promise = promise
    }

    private var loop: any EventLoop { dialer.loop }

    // MARK: - Connecting

    /// Connects everyone, then runs.
    func start() {
        watchConnecting(sinceReady: 0)
        do throws(BenchError) {
            if settings.shape == .persistent {
                phase = .subscribingKeeper
                let keeper = try client(keeperPurpose(filter: "\(name)/+", cleanStart: false))
                self.keeper = keeper
                dialer.dial(keeper)
            } else {
                try connectAll()
            }
        } catch {
            end(with: error)
        }
    }

    private func keeperPurpose(filter: String?, cleanStart: Bool) -> LoadClient.Purpose {
        LoadClient.Purpose(clientID: "\(name)-keeper", cleanStart: cleanStart, filter: filter, qos: settings.qos)
    }

    private func client(_ purpose: LoadClient.Purpose) throws(BenchError) -> LoadClient {
        try LoadClient(purpose, target: dialer.target, counts: counts, owner: self)
    }

    private func connectAll() throws(BenchError) {
        phase = .connecting
        for index in 0..<settings.receivers {
            let filter = settings.shape == .fanIn ? "\(name)/+" : "\(name)/\(settings.shape == .fanOut ? 0 : index)"
            let purpose = LoadClient.Purpose(clientID: "\(name)-r\(index)", filter: filter, qos: settings.qos)
            receivers.append(try client(purpose))
        }
        for index in 0..<settings.senders {
            let sender = try client(
                LoadClient.Purpose(
                    clientID: "\(name)-s\(index)",
                    topic: "\(name)/\(index)",
                    qos: settings.qos,
                    payloadBytes: settings.payloadBytes
                )
            )
            if settings.shape == .pairs { sender.peer = receivers[index] }
            senders.append(sender)
        }
        // Receivers first, from the end.
        waiting = senders.reversed() + receivers.reversed()
        connectMore()
    }

    private func connectMore() {
        while connecting < BenchLimits.connectingMax, let next = waiting.popLast() {
            connecting += 1
            dialer.dial(next)
        }
    }

    /// A broker that takes connections and says nothing ends the load.
    private func watchConnecting(sinceReady: Int) {
        schedule(at: .now() + .seconds(BenchLimits.connectSecondsMax)) { run in
            guard run.phase == .subscribingKeeper || run.phase == .connecting else { return }
            if run.ready == sinceReady { return run.end(with: .silence("a connection to be accepted")) }
            run.watchConnecting(sinceReady: run.ready)
        }
    }

    func isReady(_ client: LoadClient) {
        ready += 1
        switch phase {
        case .subscribingKeeper:
            client.close(politely: true)
            do throws(BenchError) { try connectAll() } catch { end(with: error) }
        case .connecting:
            connecting -= 1
            connectMore()
            if connecting == 0, waiting.isEmpty { begin() }
        case .cleaning: finish()
        case .running, .draining, .fetching, .done: break
        }
    }

    func failed(_ client: LoadClient, _ error: BenchError) {
        if phase != .done { end(with: error) }
    }

    // MARK: - Rounds

    private func begin() {
        phase = .running
        let now = NIODeadline.now()
        let warmup = TimeAmount.nanoseconds(Int64(settings.warmupSeconds * 1e9))
        let round = TimeAmount.nanoseconds(Int64(settings.seconds * 1e9))
        progressTime = now
        let first = now + warmup
        if case .rate(let rate) = settings.pace {
            counts.latency = LatencyRecorder(
                start: first.uptimeNanoseconds,
                roundNanoseconds: UInt64(round.nanoseconds),
                rounds: settings.rounds
            )
            schedule = OpenLoopSchedule(start: now.uptimeNanoseconds, perSecond: rate)
            sendDue()
        } else {
            watchForStalls()
            fill()
        }
        schedule(at: first) { run in run.measure(round, from: first) }
    }

    /// Counted when a round begins.
    private struct Mark {
        var count: UInt64
        var lost: UInt64
        var refused: UInt64
        var processor: Double
        var time: NIODeadline
    }

    private var mark: Mark {
        Mark(
            count: settings.shape == .persistent ? counts.acknowledged : counts.delivered,
            lost: lost,
            refused: counts.refused,
            processor: processorSeconds(),
            time: .now()
        )
    }

    private func measure(_ length: TimeAmount, from start: NIODeadline) {
        guard phase == .running else { return }
        let before = mark
        schedule(at: start + length) { run in
            guard run.phase == .running else { return }
            let after = run.mark
            let seconds = Double((after.time - before.time).nanoseconds) / 1e9
            run.rounds.append(
                BenchRound(
                    seconds: seconds,
                    count: after.count - before.count,
                    perSecond: Double(after.count - before.count) / seconds,
                    lost: after.lost - before.lost,
                    refused: after.refused - before.refused,
                    generatorBusy: (after.processor - before.processor) / seconds
                )
            )
            if run.rounds.count < run.settings.rounds {
                run.measure(length, from: start + length)
            } else {
                // Also what was due when the generator did not get to it: a message that is left out hides its wait.
                _ = run.sendDue(before: (start + length).uptimeNanoseconds, atMost: BenchLimits.windowMax)
                run.drain()
            }
        }
    }

    private func schedule(at time: NIODeadline, _ action: @escaping (LoadRun) -> Void) {
        let bound = NIOLoopBound((self, action), eventLoop: loop)
        loop.scheduleTask(deadline: time) {
            let (run, action) = bound.value
            action(run)
        }
    }

    // MARK: - As fast as it goes

    func hasProgress() {
        guard phase == .running || phase == .draining || phase == .fetching, !fillIsScheduled else { return }
        // Once for all connections that this turn of the loop has read from.
        fillIsScheduled = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.execute {
            let run = bound.value
            run.fillIsScheduled = false
            run.fill()
        }
    }

    private func fill() {
        guard phase == .running else { return }
        switch settings.pace {
        case .rate: break
        case .window(let window): fillWindow(window)
        case .inflight(let inflight): fillSenders(inflight)
        }
    }

    /// Sends while the window has room, an equal share to each sender, and not before a quarter of it is free: else
    /// each delivery would bring a write of one message.
    private func fillWindow(_ window: Int) {
        let fan = UInt64(settings.fan)
        var room = (window - Int(counts.sent * fan - counts.delivered - lost)) / settings.fan
        if settings.qos > .atMostOnce { room = min(room, window - Int(counts.sent - counts.acknowledged)) }
        guard room * settings.fan * 4 >= window || room >= window / settings.fan else { return }
        let share = (room + senders.count - 1) / senders.count
        for _ in senders.indices where room > 0 {
            room -= senders[cursor].send(min(share, room))
            cursor = cursor + 1 == senders.count ? 0 : cursor + 1
        }
    }

    private func fillSenders(_ inflight: Int) {
        for sender in senders {
            var done = sender.peer?.delivered ?? sender.acknowledged
            if settings.qos > .atMostOnce { done = min(done, sender.acknowledged) }
            let room = inflight - Int(sender.sent - min(done, sender.sent))
            if room * 4 >= inflight { _ = sender.send(room) }
        }
    }

    /// What did not come is lost, and the window starts anew. Acknowledgements are waited for: a broker that is slow to
    /// give them has lost nothing.
    private func watchForStalls() {
        let now = NIODeadline.now()
        schedule(at: now + .milliseconds(BenchLimits.stallMillisecondsMax / 2)) { run in
            guard run.phase == .running else { return }
            let now = NIODeadline.now()
            let progress = run.counts.delivered &+ run.counts.acknowledged
            if progress != run.progressSeen {
                run.progressSeen = progress
                run.progressTime = now
            } else if now - run.progressTime > .milliseconds(BenchLimits.stallMillisecondsMax) {
                run.lost = run.counts.sent * UInt64(run.settings.fan) - run.counts.delivered
                for sender in run.senders { sender.peer?.delivered = sender.sent }
                run.progressTime = now
                run.fill()
            }
            run.watchForStalls()
        }
    }

    // MARK: - At a rate

    private func sendDue() {
        guard phase == .running else { return }
        let isBehind = sendDue(before: NIODeadline.now().uptimeNanoseconds, atMost: senders.count)
        let unseen = counts.sent * UInt64(settings.fan) - counts.delivered
        guard unseen <= UInt64(BenchLimits.windowMax) else { return end(with: .tooFast) }
        // A microsecond, not at once: tasks that make tasks keep the loop from its sockets.
        let soon = NIODeadline.now() + .microseconds(1)
        let next = isBehind || settings.spins ? soon : max(soon, .uptimeNanoseconds(schedule?.nextDue ?? 0))
        schedule(at: next) { $0.sendDue() }
    }

    /// Sends what is due, each message by the next publisher; returns whether there may be more.
    private func sendDue(before time: UInt64, atMost count: Int) -> Bool {
        guard var schedule else { return false }
        defer { self.schedule = schedule }
        for _ in 0..<count {
            guard let due = schedule.next(before: time) else { return false }
            senders[cursor].gather(dueNanoseconds: due)
            senders[cursor].flush()
            cursor = cursor + 1 == senders.count ? 0 : cursor + 1
        }
        return true
    }

    // MARK: - The end

    /// Waits for what is on its way.
    private func drain() {
        phase = .draining
        progressSeen = counts.delivered
        progressTime = .now()
        switch settings.pace {
        case .rate: waitForLateDeliveries()
        case .window, .inflight: settings.shape == .persistent ? fetchKept() : finish()
        }
    }

    private func waitForLateDeliveries() {
        let expected = counts.sent * UInt64(settings.fan)
        if counts.delivered >= expected || !hasPatience(counts.delivered) {
            if let last = rounds.indices.last { rounds[last].lost = expected - min(expected, counts.delivered) }
            return finish()
        }
        schedule(at: .now() + .milliseconds(10)) { $0.waitForLateDeliveries() }
    }

    /// Whether something came since the last call, or not too long ago.
    private func hasPatience(_ progress: UInt64) -> Bool {
        if progress != progressSeen {
            progressSeen = progress
            progressTime = .now()
        }
        return NIODeadline.now() - progressTime < .milliseconds(BenchLimits.patienceMillisecondsMax)
    }

    /// The client that was away comes back for what was acknowledged.
    private func fetchKept() {
        phase = .fetching
        acknowledged = counts.acknowledged
        for sender in senders { sender.close(politely: true) }
        do throws(BenchError) {
            let keeper = try client(keeperPurpose(filter: nil, cleanStart: false))
            self.keeper = keeper
            dialer.dial(keeper)
            waitForKept()
        } catch {
            end(with: error)
        }
    }

    private func waitForKept() {
        guard phase == .fetching else { return }
        if counts.delivered < acknowledged ?? 0, hasPatience(counts.delivered) {
            schedule(at: .now() + .milliseconds(10)) { $0.waitForKept() }
            return
        }
        keeper?.close(politely: true)
        // Leaves nothing behind: a clean start ends the session.
        do throws(BenchError) {
            let cleaner = try client(keeperPurpose(filter: nil, cleanStart: true))
            keeper = cleaner
            phase = .cleaning
            dialer.dial(cleaner)
            schedule(at: .now() + .milliseconds(BenchLimits.patienceMillisecondsMax)) { $0.finish() }
        } catch {
            end(with: error)
        }
    }

    private func finish() {
        if let latency = counts.latency {
            for index in rounds.indices { rounds[index].latency = latency.summary(round: index) }
        }
        let kept = acknowledged == nil ? nil : counts.delivered
        guard phase != .done else { return }
        closeAll()
        promise.succeed(BenchResult(rounds: rounds, acknowledged: acknowledged, kept: kept))
    }

    private func end(with error: BenchError) {
        guard phase != .done else { return }
        closeAll()
        promise.fail(error)
    }

    private func closeAll() {
        phase = .done
        for client in senders + receivers { client.close(politely: true) }
        keeper?.close(politely: true)
    }
}

/// When messages are due at an even rate.
struct OpenLoopSchedule {
    private let start: UInt64
    private let interval: Double
    private var taken: UInt64 = 0

    init(start: UInt64, perSecond: Double) {
        self.start = start
        interval = 1e9 / perSecond
    }

    /// When the next message is due.
    var nextDue: UInt64 { start + UInt64(Double(taken) * interval) }

    /// Takes the next message if it is due.
    mutating func next(before now: UInt64) -> UInt64? {
        let due = nextDue
        guard due <= now else { return nil }
        taken += 1
        return due
    }
}
