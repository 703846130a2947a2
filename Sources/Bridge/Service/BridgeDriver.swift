internal import Broker
internal import MosquittoClient

/// What runs on the bridge's thread: it moves between the main journal, the outbox, the state machine and the
/// connection. Everything here belongs to that thread.
final class BridgeDriver {
    /// Messages handed to the connection in one turn.
    private static let sendsPerTurn = 512
    /// How often state is saved and the numbers are made new when nothing happens, in nanoseconds.
    private static let housekeepingNanoseconds: UInt64 = 1_000_000_000
    /// How often the position is saved at most.
    private static let saveNanoseconds: UInt64 = 1_000_000_000

    let settings: BridgeSettings
    let table: RouteTable
    let outbox: Outbox
    let inbox: BridgeInbox
    let log: (BridgeReport) -> Void
    var lane: Lane
    var uplink: Uplink
    var cursor = OutboxCursor()
    var deadLetters: DeadLetters
    var connection: MosquittoConnection?
    var generation: UInt64 = 0
    var tls: MosquittoTLSContext?
    var tlsDetails: MosquittoTLSDetails?
    var lastAckMilliseconds: Int64?
    /// Messages that were given up on while sending, by reason.
    var givenUp: [String: UInt64] = [:]
    private var savedAt: UInt64 = 0
    private var retryPullAt: UInt64 = 0
    private var lastTrouble: String?
    private var isStopping = false

    init(
        settings: BridgeSettings,
        table: RouteTable,
        source: any BridgeSource,
        inbox: BridgeInbox,
        log: @escaping @Sendable (BridgeReport) -> Void
    ) throws(BridgeError) {
        self.settings = settings
        self.table = table
        self.inbox = inbox
        self.log = log
        outbox = try Outbox(settings, wake: inbox.wake)
        lane = Lane(settings: settings, table: table, source: source)
        deadLetters = try DeadLetters(
            directory: settings.outboxDirectory + "/dead-letters",
            countMax: settings.deadLettersMax,
            epoch: outbox.epoch,
            keys: settings.keys
        )
        let milliseconds: UInt64 = 1_000_000
        uplink = Uplink(
            Uplink.Configuration(
                confirm: settings.confirm,
                window: settings.window,
                unconfirmedMax: UInt64(settings.unconfirmedMax),
                connectTimeout: settings.connectTimeoutMilliseconds * milliseconds,
                ackTimeout: settings.ackTimeoutMilliseconds * milliseconds,
                resendAfter: settings.resendAfterMilliseconds * milliseconds,
                resendAfterMax: max(300_000, settings.resendAfterMilliseconds) * milliseconds,
                backoffBase: settings.restartBaseMilliseconds * milliseconds,
                backoffCap: settings.restartCapMilliseconds * milliseconds,
                drainPerSecond: settings.drainPerSecond,
                poisonDisconnects: settings.poisonDisconnects,
                seed: .random(in: 0 ... .max)
            ),
            confirmed: outbox.confirmed,
            available: outbox.committed,
            highestSent: outbox.committed
        )
        // Without an aggregator nobody can tell how far the other box came.
        if settings.confirm == .commit {
            uplink.takeover = outbox.takeover.map { Uplink.Takeover(epoch: $0.epoch, last: $0.last) }
        }
        if outbox.wasRenewed {
            log(BridgeReport(.warning, "The outbox has lost sequences that were used; a new epoch begins.", metadata()))
        }
    }

    /// The life of the thread.
    func run(_ publish: (BridgeService.Published) -> Void) {
        perform(uplink.start(now: MonotonicClock.nanoseconds()))
        while !isStopping {
            let deadline = turn()
            publish(snapshot())
            if let deadline { inbox.wake.wait(until: deadline) }
        }
        if let connection, connection.stop(timeoutSeconds: 2) { self.connection = nil }
        close()
        publish(snapshot())
    }

    /// Ends what `init` began.
    func close() { outbox.close() }

    /// Does what there is to do. Returns until when the thread may sleep; nil: not at all.
    private func turn() -> UInt64? {
        takeMessages()
        let now = MonotonicClock.nanoseconds()
        perform(uplink.tick(now: now))
        let isMorePulled = pull(now)
        outbox.noteCommits()
        uplink.available(through: outbox.committed)
        let sending = send(now)
        keepHouse(now)
        if isMorePulled || sending == now { return nil }
        return [now + Self.housekeepingNanoseconds, uplink.deadline, sending].compactMap { $0 }.min()
    }

    private func takeMessages() {
        for message in inbox.takeAll() {
            switch message {
            case .connection(let generation, let event):
                guard generation == self.generation, connection != nil else { continue }
                handle(event)
            case .pause: perform(uplink.pause())
            case .resume: perform(uplink.start(now: MonotonicClock.nanoseconds()))
            case .stop: isStopping = true
            }
        }
    }

    private func pull(_ now: UInt64) -> Bool {
        guard now >= retryPullAt, !isStopping else { return false }
        do {
            return try lane.pull(into: outbox, wallMilliseconds: MonotonicClock.wallMilliseconds())
        } catch {
            trouble("The main journal cannot be read for the bridge.", error)
            retryPullAt = now + Self.housekeepingNanoseconds
            return false
        }
    }

    /// Hands messages to the connection. Returns when there is more to send; nil if an event will tell.
    private func send(_ now: UInt64) -> UInt64? {
        for _ in 0..<Self.sendsPerTurn {
            switch uplink.nextToSend(now: now) {
            case .idle: return nil
            case .later(let time): return time
            case .claim:
                guard sendClaim(now: now) else { return nil }
            case .send(let sequence, let isReplay):
                do {
                    guard try sendOne(sequence, isReplay: isReplay, now: now) else { return nil }
                } catch {
                    trouble("The outbox cannot be read.", error)
                    return now + Self.housekeepingNanoseconds
                }
            }
        }
        return now
    }

    private func keepHouse(_ now: UInt64) {
        if outbox.isFull, settings.overflow == .dropOldest, outbox.dropOldest() > 0 {
            cursor.reset()
            log(BridgeReport(.warning, "The outbox is full: the oldest messages were dropped.", metadata()))
        }
        if let failure = outbox.failure, lastTrouble != failure {
            lastTrouble = failure
            log(BridgeReport(.error, "The outbox has failed and takes nothing more.", metadata(["reason": failure])))
        }
        guard now >= savedAt + Self.saveNanoseconds else { return }
        savedAt = now
        do {
            try outbox.save()
        } catch {
            trouble("The outbox's state cannot be saved.", error)
        }
    }

    // MARK: - Actions

    func perform(_ actions: [Uplink.Action]) {
        for action in actions {
            switch action {
            case .connect: connect()
            case .abandon:
                connection?.abandon()
                connection = nil
                tlsDetails = nil
            case .subscribe: subscribe()
            case .confirm(let sequence):
                outbox.confirm(through: sequence)
                deadLetters.forget(through: sequence)
            case .setAside(let sequence, let reason): setAside(sequence, reason)
            case .renewEpoch: renewEpoch()
            case .endTakeover(let sequence): endTakeover(storedThrough: sequence)
            case .report(let level, let text, let data): log(BridgeReport(level, text, metadata(data)))
            }
        }
    }

    private func subscribe() {
        do {
            try connection?.subscribe([BridgeCommit.topic(site: siteInTopics)], qos: 1)
        } catch {
            // The connection is going: its end is on the way, and the deadline stands behind it.
            trouble("The commit watermark could not be subscribed to.", error)
        }
    }

    private func renewEpoch() {
        do {
            try outbox.renewEpoch()
            deadLetters.forgetAll()
            cursor.reset()
            uplink.epochRenewed()
        } catch {
            trouble("The new epoch cannot be saved.", error)
        }
    }

    private func endTakeover(storedThrough sequence: UInt64) {
        do {
            try outbox.endTakeover(storedThrough: sequence)
            deadLetters.forgetAll()
            cursor.reset()
        } catch {
            trouble("The end of a takeover cannot be saved.", error)
        }
    }

    private func setAside(_ sequence: UInt64, _ reason: String) {
        givenUp[reason, default: 0] += 1
        log(BridgeReport(.error, "A message was set aside.", metadata(["reason": reason, "sequence": "\(sequence)"])))
        do {
            // Behind the cursor's place perhaps: read it for itself.
            guard let queued = try outbox.read(from: sequence, bytesMax: 1).first, queued.sequence == sequence else {
                return
            }
            let stamp = stamp(queued.record, sequence, isReplay: true)
            try deadLetters.add(queued.record, stamp: stamp, reason: reason)
            if settings.confirm == .puback, settings.isStamped, sequence <= uplink.acknowledged {
                appendGap(from: sequence, to: sequence, reason: reason)
            }
        } catch {
            trouble("A message that was set aside cannot be kept.", error)
        }
        cursor.reset()
    }

    /// With `confirm: puback` the sequence is past: the gap gets one of its own.
    private func appendGap(from: UInt64, to: UInt64, reason: String) {
        let now = MonotonicClock.wallMilliseconds()
        outbox.append([
            OutboxRecord(
                kind: .gap,
                source: outbox.source,
                topic: table.gapTopic,
                payload: BridgeGap(from: from, to: to, count: to - from + 1, reason: reason).encode(),
                receivedMilliseconds: now,
                queuedMilliseconds: now
            )
        ])
    }

    // MARK: - Reporting

    /// The site's name as a topic level.
    var siteInTopics: String {
        settings.usesNarrowTopics ? UpstreamTopic.encode(level: settings.site.utf8) : settings.site
    }

    func metadata(_ more: [String: String] = [:]) -> [String: String] {
        more.merging(["bridge": settings.name]) { current, _ in current }
    }

    /// Logs a trouble once until another comes.
    func trouble(_ text: String, _ error: any Error) {
        let key = "\(text) \(error)"
        guard lastTrouble != key else { return }
        lastTrouble = key
        log(BridgeReport(.error, text, metadata(["error": "\(error)"])))
    }

    func snapshot() -> BridgeService.Published {
        var health = BridgeHealth()
        health.state = uplink.state
        health.epoch = outbox.epoch
        health.confirmedSequence = outbox.confirmed
        health.lastSequence = outbox.committed
        health.queueMessages = outbox.committed - min(outbox.committed, max(outbox.confirmed, outbox.firstSequence - 1))
        health.queueBytes = outbox.waitingBytes
        if health.queueMessages > 0, let oldest = outbox.oldestQueuedMilliseconds {
            health.oldestAgeMilliseconds = max(0, MonotonicClock.wallMilliseconds() - oldest)
        }
        health.inflight = uplink.flights.count
        health.acknowledgedTotal = uplink.acknowledgedTotal
        health.resentTotal = uplink.resentTotal
        health.queuedTotal = outbox.appended
        health.sourceRecord = outbox.source.record
        health.lastAckMilliseconds = lastAckMilliseconds
        health.reconnects = uplink.reconnects
        health.dropped = lane.dropped.merging(givenUp, uniquingKeysWith: +)
        if outbox.droppedOldest > 0 { health.dropped["queue_full", default: 0] += outbox.droppedOldest }
        health.isTLSResumed = tlsDetails?.resumed
        health.tlsVersion = tlsDetails?.version
        health.failure = outbox.failure
        return BridgeService.Published(health: health, oldestNeededRecord: outbox.oldestNeededRecord)
    }
}
