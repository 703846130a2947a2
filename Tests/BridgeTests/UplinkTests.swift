import MosquittoClient
import Testing

@testable import Bridge

private let second: UInt64 = 1_000_000_000

/// Drives the state machine as a driver would, on a clock of the test's.
private struct Rig {
    var uplink: Uplink
    var now: UInt64 = 1_000 * second
    var token: MosquittoToken = 0

    init(
        _ confirm: BridgeSettings.Confirmation,
        window: Int = 4,
        available: UInt64 = 0,
        drain: UInt64? = nil
    ) {
        uplink = Uplink(
            Uplink.Configuration(
                confirm: confirm,
                window: window,
                unconfirmedMax: 100,
                connectTimeout: 30 * second,
                ackTimeout: 20 * second,
                resendAfter: 10 * second,
                resendAfterMax: 300 * second,
                backoffBase: second,
                backoffCap: 60 * second,
                drainPerSecond: drain,
                poisonDisconnects: 3,
                seed: 7
            ),
            confirmed: 0,
            available: available,
            highestSent: 0
        )
    }

    /// From disabled to running.
    mutating func goLive(receiveMaximum: Int = 65_535) {
        if uplink.phase == .disabled { #expect(uplink.start(now: now) == [.connect]) }
        if case .waiting(let until) = uplink.phase {
            now = until
            #expect(uplink.tick(now: now) == [.connect])
        }
        let actions = uplink.connected(receiveMaximum: receiveMaximum, now: now)
        if uplink.configuration.confirm == .commit {
            #expect(actions == [.subscribe])
            #expect(uplink.nextToSend(now: now) == .idle)
            #expect(uplink.subscribed(isGranted: true, now: now) == [])
        }
        #expect(uplink.phase == .running)
    }

    /// Sends all it may; returns (sequence, token, isReplay).
    @discardableResult
    mutating func sendAll() -> [(sequence: UInt64, token: MosquittoToken, isReplay: Bool)] {
        var sent: [(sequence: UInt64, token: MosquittoToken, isReplay: Bool)] = []
        while case .send(let sequence, let isReplay) = uplink.nextToSend(now: now) {
            token += 1
            uplink.sent(token, now: now)
            sent.append((sequence, token, isReplay))
        }
        return sent
    }

    /// Acknowledges everything under way.
    mutating func acknowledgeAll() {
        for flight in uplink.flights where !flight.isAcknowledged {
            _ = uplink.published(flight.token, reasonCode: 0, now: now)
        }
    }

    mutating func commit(_ sequence: UInt64, _ aggregator: String = "A", epoch: UInt64 = 5) -> [Uplink
        .Action]
    {
        uplink.committed(
            BridgeCommit(epoch: epoch, sequence: sequence, aggregator: aggregator),
            epoch: 5,
            now: now
        )
    }
}

@Suite("The uplink's transcripts")
struct UplinkTests {
    @Test("puback: cut after the contiguous prefix, never beyond a hole")
    func contiguous() {
        var rig = Rig(.puback, available: 3)
        rig.goLive()
        let sent = rig.sendAll()
        #expect(sent.map(\.sequence) == [1, 2, 3])
        #expect(rig.uplink.published(sent[1].token, reasonCode: 0, now: rig.now) == [])
        #expect(
            rig.uplink.published(sent[0].token, reasonCode: 0, now: rig.now) == [.confirm(through: 2)]
        )
        #expect(
            rig.uplink.published(sent[2].token, reasonCode: 0x10, now: rig.now) == [.confirm(through: 3)]
        )
        #expect(rig.uplink.state == .live)
        // An answer nobody waits for changes nothing.
        #expect(rig.uplink.published(99, reasonCode: 0, now: rig.now) == [])
    }

    @Test(
        "the window is the smaller of ours and the server's",
        arguments: [(4, 65_535, 4), (4, 1, 1), (256, 5, 5), (4, 0, 1)]
    )
    func window(ours: Int, servers: Int, expected: Int) {
        var rig = Rig(.puback, window: ours, available: 1000)
        rig.goLive(receiveMaximum: servers)
        #expect(rig.sendAll().count == expected)
    }

    @Test("commit: subscribes before it sends, and the watermark cuts, not the PUBACK")
    func watermark() {
        var rig = Rig(.commit, available: 3)
        rig.goLive()
        #expect(rig.sendAll().map(\.sequence) == [1, 2, 3])
        rig.acknowledgeAll()
        #expect(rig.uplink.confirmed == 0)
        #expect(rig.uplink.state == .draining || rig.uplink.state == .live)
        // The first word of an aggregator after something was sent: what it may have missed goes again.
        #expect(rig.commit(2) == [.confirm(through: 2)])
        #expect(rig.sendAll().map(\.sequence) == [3])
        rig.acknowledgeAll()
        #expect(rig.commit(3) == [.confirm(through: 3)])
        #expect(rig.sendAll().isEmpty)
    }

    @Test("a lower watermark, another epoch and nonsense do not cut")
    func ignoredWatermarks() {
        var rig = Rig(.commit, available: 4)
        rig.goLive()
        rig.sendAll()
        rig.acknowledgeAll()
        #expect(rig.commit(4) == [.confirm(through: 4)])
        #expect(rig.commit(2).count == 1 && rig.uplink.confirmed == 4)
        #expect(rig.commit(3, epoch: 4).count == 1 && rig.uplink.confirmed == 4)
        let ahead = rig.commit(9)
        #expect(ahead.contains(.renewEpoch) && rig.uplink.confirmed == 4)
    }

    @Test("a box that takes over claims the stream, and sends only what the one before had not stored")
    func takeover() {
        var rig = Rig(.commit, available: 10)
        rig.uplink.takeover = Uplink.Takeover(epoch: 4, last: 10)
        rig.goLive()
        #expect(rig.uplink.nextToSend(now: rig.now) == .claim)
        rig.uplink.claimed(now: rig.now)
        #expect(rig.uplink.nextToSend(now: rig.now) == .later(rig.now + 10 * second))
        #expect(rig.uplink.nextToSend(now: rig.now + 10 * second) == .claim, "a claim that got lost is made again")
        // Before it has heard the claim, the aggregator speaks of the other box's epoch.
        let early = BridgeCommit(epoch: 4, sequence: 6, aggregator: "A")
        #expect(rig.uplink.committed(early, epoch: 5, now: rig.now).count == 1)
        #expect(rig.uplink.takeover != nil)
        let answer = BridgeCommit(epoch: 5, sequence: 0, aggregator: "A", former: .init(epoch: 4, sequence: 7))
        #expect(rig.uplink.committed(answer, epoch: 5, now: rig.now).first == .endTakeover(storedThrough: 7))
        // From the first number on: the driver tells what is stored as a gap.
        #expect(rig.uplink.nextToSend(now: rig.now) == .send(1, isReplay: true))
    }

    @Test("where the epoch before is not the known one, what was confirmed there is all that counts")
    func takeoverOfUnknown() {
        for former in [nil, BridgeCommit.EpochEnd(epoch: 3, sequence: 9), .init(epoch: 4, sequence: 99)] {
            var rig = Rig(.commit, available: 10)
            rig.uplink.takeover = Uplink.Takeover(epoch: 4, last: 8)
            rig.goLive()
            rig.uplink.claimed(now: rig.now)
            let answer = BridgeCommit(epoch: 5, sequence: 0, aggregator: "A", former: former)
            let stored: UInt64 = former?.epoch == 4 ? 8 : 0
            #expect(rig.uplink.committed(answer, epoch: 5, now: rig.now).first == .endTakeover(storedThrough: stored))
        }
    }

    @Test("an aggregator that comes back with less than it had confirmed is given all that is left")
    func restoredAggregator() {
        var rig = Rig(.commit, available: 4)
        rig.goLive()
        rig.sendAll()
        rig.acknowledgeAll()
        #expect(rig.commit(4) == [.confirm(through: 4)])
        #expect(rig.commit(1, "B").count == 1)
        #expect(rig.uplink.confirmed == 1)
        let again = rig.sendAll()
        #expect(again.map(\.sequence) == [2, 3, 4])
        #expect(again.allSatisfy { $0.isReplay })
        rig.acknowledgeAll()
        #expect(rig.commit(4, "B") == [.confirm(through: 4)])
    }

    @Test("reconnect goes back to the watermark and marks what may have been sent before")
    func goBackOnReconnect() {
        var rig = Rig(.commit, available: 3)
        rig.goLive()
        rig.sendAll()
        rig.acknowledgeAll()
        _ = rig.commit(1)
        #expect(rig.uplink.ended(.lost, now: rig.now) == [])
        rig.uplink.available(through: 4)
        rig.goLive()
        let sent = rig.sendAll()
        #expect(sent.map(\.sequence) == [2, 3, 4])
        #expect(sent.map(\.isReplay) == [true, true, false])
    }

    @Test(
        "a new aggregator makes it send again from the watermark, in order, once all is acknowledged"
    )
    func newIncarnation() {
        var rig = Rig(.commit, available: 2)
        rig.goLive()
        _ = rig.commit(0)
        rig.sendAll()
        rig.acknowledgeAll()
        #expect(rig.commit(1) == [.confirm(through: 1)])
        rig.uplink.available(through: 3)
        let sent = rig.sendAll()
        #expect(sent.map(\.sequence) == [3])
        #expect(rig.commit(1, "B") == [])
        #expect(rig.uplink.nextToSend(now: rig.now) == .idle, "nothing overtakes what is under way")
        rig.acknowledgeAll()
        #expect(rig.sendAll().map(\.sequence) == [2, 3])
    }

    @Test(
        "a watermark that stands still makes it send again, ever more rarely, also under steady traffic"
    )
    func resendAfter() {
        var rig = Rig(.commit, available: 2)
        rig.goLive()
        _ = rig.commit(0)
        rig.sendAll()
        rig.acknowledgeAll()
        #expect(rig.uplink.deadline == rig.now + 10 * second)
        rig.now += 9 * second
        #expect(rig.uplink.tick(now: rig.now) == [])
        rig.uplink.available(through: 3)
        #expect(rig.sendAll().map(\.sequence) == [3])
        rig.now += 1 * second
        #expect(rig.uplink.tick(now: rig.now).count == 1)
        rig.acknowledgeAll()
        #expect(rig.sendAll().map(\.sequence) == [1, 2, 3])
        rig.acknowledgeAll()
        #expect(rig.uplink.deadline == rig.now + 20 * second)
        _ = rig.commit(3)
        #expect(rig.uplink.deadline == nil)
    }

    @Test("with an aggregator away it stops at the limit beyond the watermark")
    func unconfirmedLimit() {
        var rig = Rig(.commit, window: 1000, available: 500)
        rig.goLive()
        #expect(rig.sendAll().count == 100)
        rig.acknowledgeAll()
        #expect(rig.sendAll().isEmpty)
    }

    @Test("no acknowledgement in time: stalled, the connection is thrown away, and all goes again")
    func stalled() {
        var rig = Rig(.puback, available: 2)
        rig.goLive()
        rig.sendAll()
        rig.now += 19 * second
        #expect(rig.uplink.tick(now: rig.now) == [])
        rig.now += 1 * second
        let actions = rig.uplink.tick(now: rig.now)
        #expect(actions.last == .abandon)
        #expect(rig.uplink.state == .stalled)
        #expect(rig.uplink.reconnects == ["stalled": 1])
        rig.goLive()
        #expect(rig.sendAll().map(\.sequence) == [1, 2])
    }

    @Test("progress moves the deadline: a slow link is not a stalled one")
    func slowIsNotStalled() {
        var rig = Rig(.puback, available: 4)
        rig.goLive()
        for flight in rig.sendAll() {
            rig.now += 15 * second
            #expect(rig.uplink.tick(now: rig.now) == [])
            _ = rig.uplink.published(flight.token, reasonCode: 0, now: rig.now)
        }
        #expect(rig.uplink.confirmed == 4)
    }

    @Test("pauses between attempts grow with jitter to the cap, and begin anew after work was done")
    func backoff() {
        var rig = Rig(.puback, available: 1)
        #expect(rig.uplink.start(now: rig.now) == [.connect])
        var pauses: [UInt64] = []
        for _ in 0..<50 {
            _ = rig.uplink.ended(.unreachable, now: rig.now)
            guard case .waiting(let until) = rig.uplink.phase else {
                Issue.record("it waits")
                return
            }
            pauses.append(until - rig.now)
            rig.now = until
            #expect(rig.uplink.tick(now: rig.now) == [.connect])
        }
        #expect(pauses.allSatisfy { (second...60 * second).contains($0) })
        #expect(Set(pauses).count > 25)
        #expect(pauses.contains { $0 > 20 * second })
        _ = rig.uplink.connected(receiveMaximum: 10, now: rig.now)
        rig.sendAll()
        rig.acknowledgeAll()
        _ = rig.uplink.ended(.lost, now: rig.now)
        guard case .waiting(let until) = rig.uplink.phase else {
            Issue.record("it waits")
            return
        }
        #expect(until - rig.now <= 3 * second)
    }

    @Test("refused credentials are said in so many words and not hammered")
    func authFailed() {
        var rig = Rig(.puback)
        _ = rig.uplink.start(now: rig.now)
        _ = rig.uplink.ended(.notAuthorized, now: rig.now)
        #expect(rig.uplink.state == .authFailed)
        #expect(rig.uplink.deadline.map { $0 >= rig.now + 45 * second } == true)
    }

    @Test("a connect that hangs is given up")
    func connectTimeout() {
        var rig = Rig(.puback)
        _ = rig.uplink.start(now: rig.now)
        rig.now += 30 * second
        #expect(rig.uplink.tick(now: rig.now) == [.abandon])
        #expect(rig.uplink.reconnects == ["connect_timeout": 1])
        // Its late success means nothing.
        #expect(rig.uplink.connected(receiveMaximum: 1, now: rig.now) == [])
    }

    @Test(
        "a message that was alone under way each time the server closed is set aside, an innocent one is not"
    )
    func poison() {
        var rig = Rig(.commit, available: 5)
        rig.goLive()
        #expect(rig.sendAll().count == 4)
        #expect(rig.uplink.ended(.lost, now: rig.now) == [])
        rig.goLive()
        #expect(rig.sendAll().count == 4)
        #expect(rig.uplink.ended(.refused, now: rig.now) == [])
        rig.goLive()
        #expect(rig.sendAll().map(\.sequence) == [1], "suspected: alone")
        #expect(rig.uplink.ended(.lost, now: rig.now) == [.setAside(1, reason: "poison")])
        rig.goLive()
        #expect(rig.sendAll().count == 4)

        var innocent = Rig(.commit, available: 5)
        for _ in 0..<10 {
            innocent.goLive()
            innocent.sendAll()
            innocent.acknowledgeAll()
            #expect(innocent.uplink.ended(.lost, now: innocent.now) == [])
        }
        for _ in 0..<10 {
            innocent.goLive()
            innocent.sendAll()
            #expect(
                innocent.uplink.ended(.unreachable, now: innocent.now) == [],
                "no network blames nobody"
            )
        }
    }

    @Test("a refused message is set aside, a busy server is waited for")
    func refusedCodes() {
        var rig = Rig(.puback, available: 2)
        rig.goLive()
        let sent = rig.sendAll()
        #expect(
            rig.uplink.published(sent[0].token, reasonCode: 0x90, now: rig.now)
                == [.setAside(1, reason: "refused"), .confirm(through: 1)]
        )
        #expect(rig.uplink.published(sent[1].token, reasonCode: 0x97, now: rig.now).last == .abandon)
        #expect(rig.uplink.confirmed == 1)
        rig.goLive()
        #expect(rig.sendAll().map(\.sequence) == [2])
    }

    @Test("catching up is paced, what is live is not")
    func drainRate() {
        var rig = Rig(.puback, window: 1000, available: 100, drain: 10)
        rig.goLive()
        var sent = rig.sendAll().count
        #expect(sent <= 2)
        for _ in 0..<50 {
            rig.now += second / 10
            sent += rig.sendAll().count
        }
        #expect((45...60).contains(sent))
        for _ in 0..<100 {
            rig.now += second / 10
            rig.sendAll()
        }
        rig.uplink.available(through: 600)
        #expect(rig.sendAll().count == 500)
    }

    @Test("pause leaves the server, resume begins at what is unconfirmed")
    func pause() {
        var rig = Rig(.puback, available: 2)
        rig.goLive()
        rig.sendAll()
        #expect(rig.uplink.pause() == [.abandon])
        #expect(rig.uplink.state == .paused)
        #expect(rig.uplink.tick(now: rig.now + 1000 * second) == [])
        #expect(rig.uplink.start(now: rig.now) == [.connect])
        _ = rig.uplink.connected(receiveMaximum: 10, now: rig.now)
        #expect(rig.sendAll().map(\.sequence) == [1, 2])
    }

    @Test("whatever happens, in any order: nothing is skipped, nothing is cut too early")
    func randomWalk() {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = SplitMix64(state: seed)
        for _ in 0..<200 {
            var rig = Rig(Bool.random(using: &random) ? .commit : .puback, window: 8, available: 50)
            var stored: UInt64 = 0
            var delivered: Set<UInt64> = []
            var setAside: Set<UInt64> = []
            _ = rig.uplink.start(now: rig.now)
            for _ in 0..<400 {
                var actions: [Uplink.Action] = []
                switch Int.random(in: 0..<12, using: &random) {
                case 0:
                    actions = rig.uplink.ended(
                        [.lost, .unreachable, .refused][Int.random(in: 0..<3, using: &random)],
                        now: rig.now
                    )
                case 1:
                    actions = rig.uplink.connected(
                        receiveMaximum: Int.random(in: 1...9, using: &random),
                        now: rig.now
                    )
                case 2: actions = rig.uplink.subscribed(isGranted: true, now: rig.now)
                case 3...6:
                    if case .send(let sequence, _) = rig.uplink.nextToSend(now: rig.now) {
                        rig.token += 1
                        rig.uplink.sent(rig.token, now: rig.now)
                        // The wire delivers most; the aggregator stores the contiguous prefix.
                        if Int.random(in: 0..<5, using: &random) > 0 { delivered.insert(sequence) }
                        while delivered.contains(stored + 1) || setAside.contains(stored + 1) { stored += 1 }
                    }
                case 7, 8:
                    if let flight = rig.uplink.flights.first(where: { !$0.isAcknowledged }) {
                        // With PUBACK as confirmation the server keeps what it acknowledges.
                        if rig.uplink.configuration.confirm == .puback { delivered.insert(flight.sequence) }
                        actions = rig.uplink.published(flight.token, reasonCode: 0, now: rig.now)
                    }
                case 9: actions = rig.commit(stored, Bool.random(using: &random) ? "A" : "B")
                case 10: rig.uplink.available(through: rig.uplink.available + 1)
                default:
                    rig.now += UInt64.random(in: 0...(30 * second), using: &random)
                    actions = rig.uplink.tick(now: rig.now)
                }
                for case .setAside(let sequence, _) in actions { setAside.insert(sequence) }
                for case .confirm(let through) in actions where rig.uplink.configuration.confirm == .puback {
                    #expect(
                        (1...through).allSatisfy { delivered.contains($0) || setAside.contains($0) },
                        "seed \(seed)"
                    )
                }
                if rig.uplink.configuration.confirm == .commit {
                    #expect(rig.uplink.confirmed <= stored, "seed \(seed)")
                }
                #expect(
                    rig.uplink.next <= rig.uplink.available + 1 && rig.uplink.flights.count <= 9,
                    "seed \(seed)"
                )
                #expect(
                    rig.uplink.flights.map(\.sequence) == rig.uplink.flights.map(\.sequence).sorted(),
                    "seed \(seed)"
                )
            }
        }
    }
}
