internal import Broker
internal import Journal
internal import Logging
internal import MQTT
internal import NIOCore
internal import NIOPosix

/// Drives a ``BrokerCore``: gives it what came in and the time, and performs the effects.
///
/// Confined to one event loop, on which all its connections live. A turn is: events into the core, `endTurn`, effects
/// performed (bytes gathered per connection, records handed to the journal). What was gathered is written once per
/// connection at the end of the event loop's round, so many reads become one write for each receiver.
final class CoreDriver {
    let loop: any EventLoop
    let core: BrokerCore
    /// Replaced by ``take(_:)`` alone.
    private(set) var limits: SiteServerLimits
    /// How long records stay after every reader has passed them.
    let journalKeep: Duration
    let counters: ServerCounters
    let logger: Logger
    let authenticator: any Authenticator
    let audit: (any AuditSink)?
    let controlPlane: (any ControlPlane)?
    let journal: Journal?
    /// For work that blocks: reading queued messages from the journal, encoding and writing checkpoints.
    let blockingPool: NIOThreadPool
    let notices: NoticeSlot

    var table: ConnectionTable
    var buffers = BufferPool()
    /// The listeners, for a reload.
    var listeners: [ListenerState] = []
    var addresses: AddressLedger
    /// Clients that are a part of this process.
    var attachments = 0
    /// Memory that holds what came from connections that are not past CONNECT.
    var preConnectBytes = 0
    var memoryReturn = MemoryReturn()
    var handshakeDeadlines: DeadlineQueue
    var closeDeadlines: DeadlineQueue
    var peerLog: PeerLogGate

    /// Control packets of any type handed to connections, for `$SYS`.
    private(set) var packetsSent: UInt64 = 0

    var checkpoints: CheckpointSchedule
    /// Connections that are not read from until the journal has caught up.
    var pausedForJournal: ContiguousArray<ConnectionID> = []
    var isJournalBehind = false
    var journalHasFailed = false
    /// How much room the core knows the journal to have.
    var journalRoom = JournalRoom.ample
    /// Until then no keep alive is judged: we did not read ourselves.
    var judgesSilenceAfter: UInt64 = 0
    /// The last record handed to the journal.
    var appendedThrough: UInt64 = 0

    /// The value that all turns use; nil during a turn.
    private var effects: Effects? = Effects()
    private var touched: ContiguousArray<ClientConnection> = []
    private var isFlushScheduled = false
    private var isTurnScheduled = false
    private var writabilityChanges: ContiguousArray<(id: ConnectionID, isWritable: Bool)> = []
    private var flushTask: @Sendable () -> Void = {}
    private var tickTask: RepeatedTask?
    var isShuttingDown = false
    /// Succeeds when the last connection is gone during a shutdown.
    var allGone: EventLoopPromise<Void>?

    init(
        loop: any EventLoop,
        core: BrokerCore,
        configuration: SiteServerConfiguration,
        counters: ServerCounters,
        logger: Logger,
        authenticator: any Authenticator,
        audit: (any AuditSink)?,
        controlPlane: (any ControlPlane)?,
        journal: Journal?,
        notices: NoticeSlot,
        blockingPool: NIOThreadPool,
        externalOldestNeeded: @escaping @Sendable () -> UInt64
    ) {
        loop.preconditionInEventLoop()
        let limits = configuration.limits.clamped()
        self.loop = loop
        self.core = core
        self.limits = limits
        self.journalKeep = configuration.journalKeep
        self.counters = counters
        self.logger = logger
        self.authenticator = authenticator
        self.audit = audit
        self.controlPlane = controlPlane
        self.journal = journal
        self.notices = notices
        self.blockingPool = blockingPool
        self.table = ConnectionTable(max: limits.connectionsMax)
        self.addresses = AddressLedger(limits: limits)
        self.handshakeDeadlines = DeadlineQueue(seconds: limits.handshakeSeconds)
        self.closeDeadlines = DeadlineQueue(seconds: limits.closeSeconds)
        self.peerLog = PeerLogGate(linesPerSecond: limits.peerLogLinesPerSecond)
        self.checkpoints = CheckpointSchedule(
            bytesBetween: limits.checkpointBytes,
            externalOldestNeeded: externalOldestNeeded
        )
        let bound = NIOLoopBound(self, eventLoop: loop)
        self.flushTask = { bound.value.flushTouched() }
    }

    /// Starts the clock of the core.
    func startTicking() {
        let bound = NIOLoopBound(self, eventLoop: loop)
        tickTask = loop.scheduleRepeatedTask(initialDelay: .milliseconds(500), delay: .milliseconds(500)) { _ in
            bound.value.tick()
        }
    }

    /// Stops the clock of the core and breaks the reference cycle of the flush task.
    func stop() {
        tickTask?.cancel()
        tickTask = nil
        flushTask = {}
    }

    /// Puts other limits in force: for whoever connects from now on, and where a limit is about all connections
    /// together, for the next one that comes. Options of sockets stay as they were made.
    func take(_ limits: SiteServerLimits) {
        let old = self.limits
        self.limits = limits.clamped()
        self.limits.outboundBytesMax = old.outboundBytesMax
        self.limits.outboundResumeBytes = old.outboundResumeBytes
        self.limits.outboundBytesHardMax = old.outboundBytesHardMax
        table.max = self.limits.connectionsMax
        addresses.take(self.limits)
        handshakeDeadlines.seconds = self.limits.handshakeSeconds
    }

    // MARK: - Turns

    /// Takes the effects for a turn. A local value costs no exclusivity check per message. Turns never nest: what
    /// happens while effects are performed (a channel that fills up) is queued and becomes part of the same turn.
    @inline(__always)
    func beginTurn() -> Effects { effects.take() ?? Effects() }

    /// Ends a turn: performs what the core asked for until it asks for nothing more.
    func endTurn(_ effects: consuming Effects, now: BrokerTime) {
        perform(&effects, now: now)
        self.effects = effects
    }

    /// One turn around one call of the core.
    func turn<Value>(_ body: (BrokerCore, BrokerTime, inout Effects) -> Value) -> Value {
        let now = BrokerTime.now()
        var effects = beginTurn()
        let value = body(core, now, &effects)
        endTurn(effects, now: now)
        return value
    }

    /// Performs effects, and those of the events they cause in turn, until there are none.
    func perform(_ effects: inout Effects, now: BrokerTime) {
        while true {
            core.endTurn(now: now, effects: &effects)
            packetsSent &+= UInt64(effects.list.count) &+ effects.joinedPackets
            performList(effects, now: now)
            effects.removePerformed()
            if !effects.journal.isEmpty { append(&effects, now: now) }
            if writabilityChanges.isEmpty && effects.list.isEmpty && effects.journal.isEmpty { break }
            for change in writabilityChanges {
                core.writabilityChanged(change.id, isWritable: change.isWritable, now: now, effects: &effects)
            }
            writabilityChanges.removeAll(keepingCapacity: true)
        }
        if !touched.isEmpty { scheduleFlush() }
        if core.wantsAnotherTurn { scheduleTurn() }
    }

    /// Performs what the list says, in order.
    @inline(__always)
    private func performList(_ effects: borrowing Effects, now: BrokerTime) {
        let encoded = effects.encoded
        let list = effects.list
        for index in list.indices {
            if case .write(let id, let packets) = list[index] {
                table.connection(id)?.write(packets, from: encoded)
            } else {
                perform(list[index], now: now)
            }
        }
    }

    /// A little later, so that sockets are read and written in between.
    private func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.restBetweenSlices) {
            bound.value.isTurnScheduled = false
            bound.value.turn { _, _, _ in }
        }
    }

    private static let restBetweenSlices = TimeAmount.microseconds(200)

    @inline(__always)
    private func perform(_ effect: Effect, now: BrokerTime) {
        switch effect {
        case .deliver(let id, let delivery): table.connection(id)?.deliver(delivery)
        case .acknowledge(let id, let kind, packetID: let packetID, reason: let reason):
            table.connection(id)?.acknowledge(kind, packetID: packetID, reason: reason)
        case .send(let id, let packet): table.connection(id)?.send(packet)
        default: performRare(effect, now: now)
        }
    }

    /// What is not a packet, and comes once in the life of a connection.
    private func performRare(_ effect: Effect, now: BrokerTime) {
        packetsSent &-= 1
        switch effect {
        case .write, .deliver, .acknowledge, .send: break
        case .close(let id, let reason): table.connection(id)?.finish(reason, now: now)
        case .authenticate(let id, let request): authenticate(id, request)
        case .load(session: let session, records: let records): load(session: session, records: records)
        case .control(let id, let request): control(id, request)
        case .audit(let event): audit?.record(event)
        case .log(let diagnostic): log(diagnostic)
        }
    }

    /// Notes that a connection has bytes to write at the end of the round.
    @inline(__always)
    func touch(_ connection: ClientConnection) { touched.append(connection) }

    /// Whether effects are being performed, so that the core must not be called.
    var isInTurn: Bool { effects == nil }

    /// Notes that a channel takes bytes again, or no more. The core hears of it at the end of this turn or round.
    func writabilityChanged(_ id: ConnectionID, isWritable: Bool) {
        writabilityChanges.append((id, isWritable))
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        loop.execute(flushTask)
    }

    /// Writes what was gathered: one write and flush for each connection.
    private func flushTouched() {
        var flushing: ContiguousArray<ClientConnection> = []
        swap(&flushing, &touched)
        for connection in flushing { connection.flush() }
        flushing.removeAll(keepingCapacity: true)
        if touched.isEmpty { swap(&flushing, &touched) }
        if !writabilityChanges.isEmpty { turn { _, _, _ in } }
        isFlushScheduled = false
        if !touched.isEmpty { scheduleFlush() }
    }

    private func tick() {
        let now = BrokerTime.now()
        addresses.sweep(now: now)
        while let id = handshakeDeadlines.popDue(now: now) { table.connection(id)?.handshakeIsDue(now: now) }
        while let id = closeDeadlines.popDue(now: now) { table.connection(id)?.closeIsDue() }
        if memoryReturn.isDue(now: now.monotonicNanoseconds) { MemoryReturn.perform(on: blockingPool) }
        // Also while the journal is behind: it is then that somebody looks.
        publishSystemTree(now)
        lookAtRoom()
        seekRoom()
        // A client whose bytes we leave in the socket is not silent.
        guard pausedForJournal.isEmpty, now.monotonicNanoseconds >= judgesSilenceAfter else { return }
        var effects = beginTurn()
        core.tick(now: now, effects: &effects)
        endTurn(effects, now: now)
    }

    // MARK: - Single effects

    private func authenticate(_ id: ConnectionID, _ request: AuthenticationRequest) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        if let attachment = table.connection(id)?.attachment {
            // The core is in a turn: its answer comes after it, as that of any authenticator.
            loop.execute { bound.value.authenticated(id, .accepted(username: attachment.identity)) }
            return
        }
        authenticator.authenticate(request) { result in
            loop.execute { bound.value.authenticated(id, result) }
        }
    }

    private func authenticated(_ id: ConnectionID, _ result: AuthenticationResult) {
        turn { core, now, effects in core.authenticated(id, result: result, now: now, effects: &effects) }
        table.connection(id)?.resumeAfterConnect()
    }

    private func control(_ id: ConnectionID, _ request: ControlRequest) {
        guard let controlPlane else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        controlPlane.perform(request) { topic, payload in
            loop.execute {
                bound.value.turn { core, now, effects in
                    core.reply(id, topic: topic, payload: payload, now: now, effects: &effects)
                }
            }
        }
    }

    private func log(_ diagnostic: Diagnostic) {
        let level: Logger.Level =
            switch diagnostic.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        logger.log(
            level: level,
            "\(diagnostic.message)",
            metadata: Logger.Metadata(uniqueKeysWithValues: diagnostic.metadata.map { ($0.key, .string($0.value)) })
        )
    }

    /// One line about a peer, unless there were too many in this second.
    func logPeer(
        _ level: Logger.Level,
        _ message: Logger.Message,
        _ metadata: @autoclosure () -> Logger.Metadata,
        now: BrokerTime
    ) {
        guard logger.logLevel <= level else { return }
        guard let suppressed = peerLog.admit(monotonicNanoseconds: now.monotonicNanoseconds) else { return }
        var metadata = metadata()
        if suppressed > 0 { metadata["cw_suppressed_lines"] = "\(suppressed)" }
        logger.log(level: level, message, metadata: metadata)
    }
}
