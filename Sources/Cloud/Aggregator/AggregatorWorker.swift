internal import Dispatch
internal import Logging
internal import MosquittoClient

/// The aggregator's thread: takes messages out of the mailbox, commits them, and only then tells the sites.
///
/// Confined to that thread but for the mailbox and the published statistics.
final class AggregatorWorker {
    private enum Link {
        case down(retry: DispatchTime)
        case opening(any AggregatorLink, until: DispatchTime)
        case live(any AggregatorLink)
    }

    /// The longest the thread sleeps: how old the published statistics can be.
    private static let idleMilliseconds = 1_000
    /// How soon notices the link refused are offered again.
    private static let noticeRetryMilliseconds = 20
    /// How often rejected messages are logged.
    private static let rejectionLogSeconds = 60

    private let configuration: AggregatorConfiguration
    private let mailbox: AggregatorMailbox
    private let makeLink: @Sendable () throws -> any AggregatorLink
    private let milliseconds: @Sendable () -> Int64
    private let publishStatistics: (AggregatorStatistics) -> Void
    private let incarnation: String
    private let logger: Logger

    private var pump: CommitPump
    private var link = Link.down(retry: .now())
    private var generation: UInt64 = 0
    private var linkBackoff: Backoff
    private var storeBackoff: Backoff
    private var storeRetry = DispatchTime.now()
    private var random = SystemRandomNumberGenerator()
    /// Messages that are not committed yet. They are tried again until they are.
    private var inFlight: [IngestMessage] = []
    private var notices = CommitNotices()
    private var noticesDue = DispatchTime.now()
    private var statistics = AggregatorStatistics()
    private var missingDue = DispatchTime.now()
    private var rejectionLogDue = DispatchTime.now()
    private var rejectionsUnlogged: UInt64 = 0

    init(
        configuration: AggregatorConfiguration,
        store: any Store,
        mailbox: AggregatorMailbox,
        incarnation: String,
        logger: Logger,
        milliseconds: @escaping @Sendable () -> Int64,
        publishStatistics: @escaping (AggregatorStatistics) -> Void,
        makeLink: @escaping @Sendable () throws -> any AggregatorLink
    ) {
        self.configuration = configuration
        self.mailbox = mailbox
        self.incarnation = incarnation
        self.logger = logger
        self.milliseconds = milliseconds
        self.publishStatistics = publishStatistics
        self.makeLink = makeLink
        pump = CommitPump(store: store, configuration: configuration)
        linkBackoff = Backoff(
            base: configuration.reconnectMillisecondsBase,
            cap: configuration.reconnectMillisecondsMax
        )
        storeBackoff = Backoff(
            base: configuration.storeRetryMillisecondsBase,
            cap: configuration.storeRetryMillisecondsMax
        )
    }

    /// Runs until the mailbox says to stop.
    func run() {
        var stopDeadline: DispatchTime?
        while true {
            work(messages: [])
            openLinkIfDue()
            let delivery = mailbox.take(until: deadline(stopDeadline), messagesMax: messagesMax)
            for (generation, event) in delivery.events { handle(event, generation) }
            work(messages: delivery.messages)
            flushNotices(force: delivery.isStopping)
            publish()
            guard delivery.isStopping else { continue }
            let deadline = stopDeadline ?? .now() + .milliseconds(configuration.stopMillisecondsMax)
            stopDeadline = deadline
            if mailbox.figures.queued == 0 || pump.isLoaded == false || DispatchTime.now() >= deadline { break }
        }
        closeLink()
        pump.close()
        statistics.isLoaded = false
        missingDue = .now()
        publish()
    }

    // MARK: - The store

    /// How many messages to take: none while some are not committed.
    private var messagesMax: Int { pump.isLoaded && inFlight.isEmpty ? configuration.batchMessagesMax : 0 }

    /// Commits what was taken, or tries again what failed if it is time.
    private func work(messages: [LinkMessage]) {
        if !messages.isEmpty { inFlight = admit(messages) }
        guard !inFlight.isEmpty || !pump.isLoaded || !messages.isEmpty else { return }
        guard statistics.storeFailure == nil || DispatchTime.now() >= storeRetry else { return }
        do {
            try pump.load()
            if !inFlight.isEmpty {
                let batch = try pump.commit(inFlight, milliseconds: milliseconds())
                statistics.counts += batch.counts
                statistics.commits &+= 1
                statistics.lastCommitMilliseconds = batch.milliseconds
                notices.add(batch.sites)
                inFlight.removeAll(keepingCapacity: true)
            }
            mailbox.finished()
            storeWorks()
        } catch {
            storeFailed(error)
        }
    }

    private func storeWorks() {
        statistics.isLoaded = true
        storeBackoff.reset()
        guard statistics.storeFailure != nil else { return }
        statistics.storeFailure = nil
        mailbox.setHoldsUp(true)
        logger.notice("The store works again")
    }

    private func storeFailed(_ error: StoreError) {
        statistics.storeFailures &+= 1
        statistics.isLoaded = pump.isLoaded
        storeRetry = .now() + .milliseconds(storeBackoff.next(using: &random))
        if statistics.storeFailure?.code != error.code {
            logger.error(
                "The store failed: nothing is acknowledged until it works; messages stay with their sites",
                metadata: ["code": "\(error.code.rawValue)", "error": "\(error.message)"]
            )
        }
        statistics.storeFailure = error
        mailbox.setHoldsUp(false)
    }

    private func admit(_ messages: [LinkMessage]) -> [IngestMessage] {
        statistics.received &+= UInt64(messages.count)
        let now = milliseconds()
        return messages.compactMap { message in
            switch message.ingestMessage(milliseconds: now) {
            case .success(let message):
                return message
            case .failure(let error):
                reject(error.reason)
                return nil
            }
        }
    }

    private func reject(_ reason: Rejection) {
        statistics.rejected[reason, default: 0] &+= 1
        rejectionsUnlogged &+= 1
        guard DispatchTime.now() >= rejectionLogDue else { return }
        rejectionLogDue = .now() + .seconds(Self.rejectionLogSeconds)
        logger.warning(
            "Messages were rejected: they belong to no site's stream",
            metadata: ["count": "\(rejectionsUnlogged)", "last_reason": "\(reason.rawValue)"]
        )
        rejectionsUnlogged = 0
    }

    // MARK: - The link

    private func openLinkIfDue() {
        switch link {
        case .down(let retry):
            // Without the store's state there is nothing to tell the sites, and no place for what they send.
            guard pump.isLoaded, statistics.storeFailure == nil, DispatchTime.now() >= retry else { return }
            open()
        case .opening(let opening, let until):
            guard DispatchTime.now() >= until else { return }
            opening.close()
            linkEnded("connecting or subscribing took too long")
        case .live:
            return
        }
    }

    private func open() {
        generation &+= 1
        let generation = generation
        let gate = LinkGate(mailbox: mailbox, generation: generation, lostBefore: mailbox.figures.lost)
        do {
            let opened = try makeLink()
            statistics.link = .connecting
            link = .opening(opened, until: .now() + .milliseconds(configuration.linkSetupMillisecondsMax))
            opened.open(event: gate.event, settle: gate.settle)
        } catch {
            linkEnded("the link could not be made")
        }
    }

    private func handle(_ event: AggregatorLinkEvent, _ generation: UInt64) {
        guard generation == self.generation else { return }
        switch (event, link) {
        case (.connected, .opening(let opening, _)):
            statistics.link = .subscribing
            opening.subscribe(configuration.filters)
        case (.subscribed(granted: true), .opening(let opening, _)):
            link = .live(opening)
            statistics.link = .live
            statistics.linkFailure = nil
            linkBackoff.reset()
            logger.info("Connected and subscribed", metadata: ["sites": "\(pump.state.cursors.count)"])
            // Every site hears where it stands: a notice it missed would keep its outbox full.
            notices.removeAll()
            notices.add(pump.state.cursors.keys.sorted())
            noticesDue = .now()
        case (.subscribed(granted: false), .opening(let opening, _)):
            opening.close()
            linkEnded("the broker refused the subscription")
        case (.down(let reason), .opening), (.down(let reason), .live):
            linkEnded(reason)
        default:
            return
        }
    }

    private func linkEnded(_ reason: String) {
        generation &+= 1
        let pause = linkBackoff.next(using: &random)
        link = .down(retry: .now() + .milliseconds(pause))
        statistics.link = .down
        statistics.linkFailures &+= 1
        if statistics.linkFailure != reason {
            logger.warning("The connection to the broker ended", metadata: ["reason": "\(reason)"])
        }
        statistics.linkFailure = reason
        notices.removeAll()
    }

    private func closeLink() {
        generation &+= 1
        switch link {
        case .opening(let link, _), .live(let link): link.close()
        case .down: break
        }
        link = .down(retry: .now())
        statistics.link = .down
    }

    // MARK: - Notices

    private func flushNotices(force: Bool = false) {
        guard case .live(let link) = link, !notices.isEmpty, force || DispatchTime.now() >= noticesDue else { return }
        notices.flush(limit: configuration.noticesPerTurn) { site in
            guard let cursor = pump.state.cursors[site] else { return true }
            let former = pump.state.former[site].map { BridgeCommit.EpochEnd(epoch: $0.epoch, sequence: $0.watermark) }
            let commit = BridgeCommit(
                epoch: cursor.epoch,
                sequence: cursor.watermark,
                aggregator: incarnation,
                former: former
            )
            guard link.publish(topic: BridgeCommit.topic(site: site), payload: commit.encode()) else { return false }
            statistics.notices &+= 1
            return true
        }
        let pause = notices.isEmpty ? configuration.noticeMilliseconds : Self.noticeRetryMilliseconds
        noticesDue = .now() + .milliseconds(pause)
    }

    // MARK: - The turn

    private func deadline(_ stop: DispatchTime?) -> DispatchTime {
        var deadline = DispatchTime.now() + .milliseconds(Self.idleMilliseconds)
        if let stop { deadline = min(deadline, stop) }
        if statistics.storeFailure != nil { deadline = min(deadline, storeRetry) }
        switch link {
        case .down(let retry):
            if pump.isLoaded, statistics.storeFailure == nil { deadline = min(deadline, retry) }
        case .opening(_, let until):
            deadline = min(deadline, until)
        case .live:
            if !notices.isEmpty { deadline = min(deadline, noticesDue) }
        }
        return deadline
    }

    private func publish() {
        let figures = mailbox.figures
        statistics.queued = figures.queued
        statistics.lost = figures.lost
        statistics.sites = pump.state.cursors.count
        // The sum goes over all sites, which is not worth it after every batch.
        if DispatchTime.now() >= missingDue {
            missingDue = .now() + .milliseconds(Self.idleMilliseconds)
            statistics.missing = pump.state.cursors.values.reduce(0) { $0 &+ $1.missing.memberCount }
        }
        publishStatistics(statistics)
    }
}

/// What a link calls, on its own thread.
private final class LinkGate: Sendable {
    private let mailbox: AggregatorMailbox
    private let generation: UInt64
    /// Messages let go before the link was opened. One more, and what the link delivered is not acknowledged.
    private let lostBefore: UInt64

    init(mailbox: AggregatorMailbox, generation: UInt64, lostBefore: UInt64) {
        self.mailbox = mailbox
        self.generation = generation
        self.lostBefore = lostBefore
    }

    func event(_ event: AggregatorLinkEvent) {
        if case .message(let message) = event {
            _ = mailbox.post(message)
        } else {
            mailbox.post(event, generation: generation)
        }
    }

    func settle() -> Bool { mailbox.settle(lostBefore: lostBefore) }
}
