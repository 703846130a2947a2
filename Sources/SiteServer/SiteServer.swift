public import Broker
public import Journal
public import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A site's MQTT server: listeners, one event loop that owns the core and all connections, and the way to the journal.
///
/// Every method may be called from any thread. The core itself is touched on its loop alone: per message there is no
/// lock, no task and no hop.
public final class SiteServer: Sendable {
    private enum State {
        case idle
        case starting
        case running
        case stopping
        case stopped
    }

    private let configuration: SiteServerConfiguration
    private let makeCore: @Sendable () throws -> BrokerCore
    private let journal: Journal?
    private let authenticator: any Authenticator
    private let audit: (any AuditSink)?
    private let controlPlane: (any ControlPlane)?
    private let externalOldestNeeded: @Sendable () -> UInt64
    let logger: Logger
    private let counters = ServerCounters()
    private let group: MultiThreadedEventLoopGroup
    let loop: any EventLoop
    let blockingPool: NIOThreadPool
    let driver: NIOLoopBoundBox<CoreDriver?>
    let channels: NIOLoopBoundBox<[any Channel]>
    let socketFiles = Mutex<[UnixSocketFile]>([])
    private let state = Mutex(State.idle)

    /// Makes a server that does nothing yet.
    ///
    /// - Parameters:
    ///   - configuration: Listeners and limits.
    ///   - journal: Where durable records go; nil keeps everything in memory. The server never closes it.
    ///   - authenticator: Who may enter.
    ///   - audit: Where the auditor reads; nil for nowhere.
    ///   - controlPlane: Who performs administrators' commands; nil: nobody, and there are none.
    ///   - logger: Where the operator reads.
    ///   - externalOldestNeeded: The oldest journal record that readers outside the core (handlers, bridges) still
    ///     need; `UInt64.max` if none. Asked after each checkpoint, on a thread that may block.
    ///   - makeCore: Makes the core, recovered if there is something to recover. Called once, on the loop, by
    ///     ``start()``; it may block.
    public init(
        configuration: SiteServerConfiguration,
        journal: Journal? = nil,
        authenticator: any Authenticator,
        audit: (any AuditSink)? = nil,
        controlPlane: (any ControlPlane)? = nil,
        logger: Logger,
        externalOldestNeeded: @escaping @Sendable () -> UInt64 = { .max },
        makeCore: @escaping @Sendable () throws -> BrokerCore
    ) {
        self.configuration = configuration
        self.makeCore = makeCore
        self.journal = journal
        self.authenticator = authenticator
        self.audit = audit
        self.controlPlane = controlPlane
        self.externalOldestNeeded = externalOldestNeeded
        self.logger = logger
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.loop = group.next()
        self.blockingPool = NIOThreadPool(numberOfThreads: 2)
        self.driver = NIOLoopBoundBox.makeEmptyBox(eventLoop: loop)
        self.channels = NIOLoopBoundBox.makeBoxSendingValue([], eventLoop: loop)
    }

    /// What has been counted since the start. Callable from any thread; it costs a few loads.
    public var metrics: SiteServerMetrics { counters.snapshot }

    /// Makes the core and binds all listeners, or none.
    ///
    /// - Parameter beforeListening: Run when the core is there and before the first client can connect; what it throws
    ///   ends the start.
    /// - Returns: The listeners with the ports they really have.
    /// - Throws: ``SiteServerError``. The server can then not be started again.
    public func start(
        beforeListening: @Sendable () throws -> Void = {}
    ) async throws -> [BoundListener] {
        let mayStart = state.withLock { state in
            guard state == .idle else { return false }
            state = .starting
            return true
        }
        guard mayStart else { throw SiteServerError(.notRunning, "The server was started before") }
        blockingPool.start()
        do {
            let bound = try await startCoreAndListeners(beforeListening)
            state.withLock { $0 = .running }
            return bound
        } catch {
            await stop()
            throw error
        }
    }

    /// Runs something with the core on its loop and performs what effects it asks for: the control plane. Not for the
    /// message path: each call hops to the loop and back.
    public func withCore<Value: Sendable>(
        _ body: @escaping @Sendable (BrokerCore, BrokerTime, inout Effects) -> Value
    ) async throws -> Value {
        try await onDriver { driver in driver.turn(body) }
    }

    /// Takes what handlers decided, one turn for the whole batch. Callable from any thread.
    ///
    /// After the server has stopped, commits are dropped; their inputs come again at the next start.
    ///
    /// - Parameter appended: Told, on the loop, how many of the commits stand in journal records up to which sequence.
    ///   Not called if the journal takes nothing.
    public func submit(
        _ commits: [HandlerCommit],
        appended: @escaping @Sendable (_ count: Int, _ sequence: UInt64) -> Void = { _, _ in }
    ) {
        guard !commits.isEmpty, isLoopUp else { return }
        let driver = driver
        loop.execute {
            driver.value?.turn { core, now, effects in
                var last: UInt64?
                for commit in commits { last = core.submit(commit, now: now, effects: &effects) ?? last }
                if let last { appended(commits.count, last) }
            }
        }
    }

    /// Takes a change of users or rules that the authorizer already answers by. Callable from any thread; changes keep
    /// their order.
    public func accessChanged(_ change: AccessChange = AccessChange()) {
        guard isLoopUp else { return }
        let driver = driver
        loop.execute {
            driver.value?.turn { core, now, effects in core.accessChanged(change, now: now, effects: &effects) }
        }
    }

    /// Takes a notice of the journal. Callable from the journal's thread; at most one hop to the loop is on its way,
    /// however many notices come.
    public func journalNotice(_ notice: CommitNotice) {
        guard notices.post(notice), isLoopUp else { return }
        let driver = driver
        loop.execute { driver.value?.lookAtNotices() }
    }

    /// Stops: no new connections, 5.0 clients are told, what is on the way goes out, a last checkpoint is written.
    ///
    /// - Parameter gracePeriod: How long the journal may take for what is held, and clients to go, before they are cut.
    public func shutDown(gracePeriod: Duration = .seconds(5)) async {
        let wasRunning = state.withLock { state in
            guard state == .running else { return false }
            state = .stopping
            return true
        }
        guard wasRunning else { return }
        let grace = TimeAmount(gracePeriod)
        let gone = loop.makePromise(of: Void.self)
        let channels = channels
        let driver = driver
        loop.execute {
            for channel in channels.value { channel.close(promise: nil) }
            channels.value = []
            guard let driver = driver.value else {
                gone.succeed()
                return
            }
            driver.beginShutdown(grace: grace, gone: gone)
        }
        // The promise is fulfilled by the driver in any case, at the latest when the grace period is over.
        try? await gone.futureResult.get()
        let checkpointed = loop.makePromise(of: Void.self)
        loop.execute {
            guard let driver = driver.value else {
                checkpointed.succeed()
                return
            }
            driver.writeLastCheckpoint(checkpointed)
        }
        try? await checkpointed.futureResult.get()
        await stop()
    }

    // MARK: -

    private let notices = NoticeSlot()

    /// Whether the loop still takes work.
    private var isLoopUp: Bool { state.withLock { $0 != .idle && $0 != .stopped } }

    func onDriver<Value: Sendable>(
        _ body: @escaping @Sendable (CoreDriver) throws -> Value
    ) async throws -> Value {
        guard isLoopUp else { throw SiteServerError(.notRunning, "The server is not running") }
        let driver = driver
        return try await loop.submit {
            guard let driver = driver.value else { throw SiteServerError(.notRunning, "The server is not running") }
            return try body(driver)
        }.get()
    }

    private func startCoreAndListeners(_ beforeListening: @Sendable () throws -> Void) async throws -> [BoundListener] {
        let sockets = try await prepareSockets(configuration.listeners)
        try await makeDriver()
        try beforeListening()
        var bound: [BoundListener] = []
        for socket in sockets { bound.append(try await bind(socket)) }
        return bound
    }

    /// Resolves names and reads certificates where blocking is allowed.
    func prepareSockets(_ listeners: [SiteServerConfiguration.Listener]) async throws -> [ListenerSocket] {
        let logger = logger
        return try await blockingPool.runIfActive {
            try listeners.map { listener in
                if let key = listener.tls?.keyFile, TLSContextFactory.isReadableByOthers(key) {
                    logger.warning("A private key can be read by every user", metadata: ["cw_file": "\(key)"])
                }
                return try ListenerSocket(listener)
            }
        }
    }

    private func makeDriver() async throws {
        let loop = loop
        let box = driver
        let makeCore = makeCore
        let configuration = configuration
        let counters = counters
        let logger = logger
        let authenticator = authenticator
        let audit = audit
        let controlPlane = controlPlane
        let journal = journal
        let notices = notices
        let blockingPool = blockingPool
        let externalOldestNeeded = externalOldestNeeded
        try await loop.submit {
            let core: BrokerCore
            do {
                core = try makeCore()
            } catch {
                throw SiteServerError(.core, "The broker's state cannot be recovered", cause: error)
            }
            let driver = CoreDriver(
                loop: loop,
                core: core,
                configuration: configuration,
                counters: counters,
                logger: logger,
                authenticator: authenticator,
                audit: audit,
                controlPlane: controlPlane,
                journal: journal,
                notices: notices,
                blockingPool: blockingPool,
                externalOldestNeeded: externalOldestNeeded
            )
            driver.startTicking()
            box.value = driver
        }.get()
    }

    /// Ends threads and lets everything go.
    private func stop() async {
        state.withLock { $0 = .stopped }
        let driver = driver
        let channels = channels
        // Both can only fail if the loop is gone already, and then there is nothing to stop.
        try? await loop.submit {
            for channel in channels.value { channel.close(promise: nil) }
            channels.value = []
            driver.value?.stop()
            driver.value = nil
        }.get()
        try? await blockingPool.runIfActive { [self] in
            socketFiles.withLock { files in
                for file in files { file.remove() }
                files = []
            }
        }
        try? await blockingPool.shutdownGracefully()
        try? await group.shutdownGracefully()
    }
}
