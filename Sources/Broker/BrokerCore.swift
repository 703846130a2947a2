import DequeModule
public import MQTT
import NIOCore

/// The broker without I/O: events and a time go in, ``Effects`` come out.
///
/// It has no sockets, threads, clocks or logs, so a whole site can run in a simulation. One loop owns it and calls it;
/// it is not `Sendable`. A batch of events is followed by one ``endTurn(now:effects:)``, then the driver performs the
/// effects.
///
/// What is acknowledged is on disk: an acknowledgement of a message that anything durable wants is held until
/// ``committed(through:now:effects:)`` says that its journal record is.
public final class BrokerCore {
    /// Replaced by ``reconfigure(_:policies:)`` alone.
    var configuration: BrokerConfiguration
    let authorizer: any Authorizer

    var connections: ContiguousArray<Connection?> = []
    /// By index; nil where an index is free.
    var sessions: ContiguousArray<Session?> = []
    var freeSessionIndices: [UInt32] = []
    var sessionsByIdentity: [Identity: Session] = [:]
    var sessionsByNumber: [UInt32: Session] = [:]
    /// The sessions of a client identifier, under the identity without a user name. More than one only where client
    /// identifiers are separate.
    var sessionsByClientID: [Identity: [Session]] = [:]
    var nextSessionNumber: UInt32 = 1
    var nextAssignedClientID: UInt64 = 1

    var table: RouteTable
    /// What the table knows of topics that were published lately.
    let knownRoutes = RouteMemory()
    var retained = RetainedIndex<Message>()
    /// Bytes of its topics and payloads.
    var retainedBytes = 0
    /// `$SYS`.
    var system: SystemTree
    /// How many messages have been retained.
    var keptOrder: UInt64 = 0
    /// Subscriptions whose retained messages are handed out over many turns.
    var retainedScans: Deque<RetainedScan> = []
    /// Whether there is work left that needs no event: call ``endTurn(now:effects:)`` again soon, after what was sent
    /// is written and other events had their turn.
    public var wantsAnotherTurn: Bool { handsOutRetained || accessSweep != nil }
    var handsOutRetained = false
    /// What the publishers of retained messages may do, while some are handed out.
    var sourceRights: [MessageSource: any ClientRights] = [:]
    /// Whether clients are sent to another server.
    var isLeaving = false
    var durableReaders: UInt32 = 0
    var handlers: [String: RecoveredHandler] = [:]
    /// By session number.
    var delayedWills: [UInt32: DelayedWill] = [:]

    /// Whether recovery found copies of retained messages, which have their messages with them.
    var hasRecoveredCopies = false

    /// The sequence number of the next journal record.
    var nextSequence: UInt64 = 1
    /// All records up to here are on disk.
    var committedSequence: UInt64 = 0
    var journalAvailable = true
    /// The wall clock's steps since the start.
    var clockSteps = ClockSteps()
    /// How much room the journal has.
    var journalRoom = JournalRoom.ample
    /// Effects that wait for a commit, by the sequence they wait for, which never falls along the queue.
    var held: Deque<Held> = []
    var sessionsAwaitingCommit: [Session] = []
    /// Sessions whose queue is full where that ends the connection; it ends at the end of the turn.
    var overflowed: [Session] = []
    /// Whether the turn's record of acknowledgements and session changes is open.
    var bookkeepingIsOpen = false
    /// Copies of retained messages in it.
    var copiesInRecord: UInt16 = 0
    var laterNotes: [JournalEntry] = []
    var ticks: UInt64 = 0

    var counters = BrokerStatistics()

    /// Grows with each change of the rules; what a session knows of its rights under another one does not count.
    var accessGeneration: UInt64 = 1
    /// What is left to look at after a change.
    var accessSweep: AccessSweep?
    var refusals = AuditGate()

    /// Makes an empty core.
    ///
    /// - Parameters:
    ///   - configuration: The limits.
    ///   - authorizer: Who may do what.
    public init(configuration: BrokerConfiguration = .init(), authorizer: any Authorizer) {
        self.configuration = configuration
        self.authorizer = authorizer
        self.table = RouteTable(knownRoutes, rememberedMax: configuration.routeCacheEntriesMax)
        self.journalAvailable = configuration.isDurable
        self.system = SystemTree(configuration)
    }

    /// Registers a reader of the journal (a handler, a bridge): messages that match are journalled whatever their QoS.
    public func addDurableReader(name: String, filters: [TopicFilter]) {
        guard configuration.isDurable else { return }
        for filter in filters { table.insertReader(durableReaders, filter) }
        durableReaders &+= 1
    }

    /// What the journal says of each handler.
    public var recoveredHandlers: [String: RecoveredHandler] { handlers }

    /// What has been counted; the gauges are computed now.
    public var statistics: BrokerStatistics {
        var now = counters
        now.sessions = sessionsByIdentity.count
        now.retainedMessages = retained.count
        now.retainedBytes = retainedBytes
        now.clientsConnected = 0
        now.subscriptions = 0
        for session in sessions {
            guard let session else { continue }
            if session.connection != nil { now.clientsConnected += 1 }
            now.subscriptions += session.subscriptions.count
            now.queuedMessages += session.queue.count
            now.queuedBytes += session.queuedBytes
            now.inflightMessages += session.inflight.count
        }
        return now
    }

    /// The oldest journal record that a session still needs; `UInt64.max` if none does.
    public var oldestNeededRecord: UInt64 {
        sessions.reduce(UInt64.max) { min($0, $1?.oldestNeededRecord ?? .max) }
    }

    // MARK: - Events

    /// A transport connection was accepted.
    public func opened(_ id: ConnectionID, info: ConnectionInfo, now: BrokerTime) {
        let slot = Int(id.slot)
        while connections.count <= slot { connections.append(nil) }
        connections[slot] = Connection(id: id, info: info, grants: Grants(info.policy, configuration), now: now)
    }

    /// A whole packet has come.
    public func received(_ id: ConnectionID, _ packet: Packet, now: BrokerTime, effects: inout Effects) {
        guard let connection = connection(id) else { return }
        connection.lastReceivedNanoseconds = now.monotonicNanoseconds
        if connection.state == .connected {
            handle(packet, from: connection, now: now, effects: &effects)
            return
        }
        counters.packetsReceived &+= 1
        switch connection.state {
        case .connected: break
        case .awaitingConnect:
            guard case .connect(let connect) = packet else {
                let error = MQTTError(.protocolError, "MQTT-3.1.0-1", "the first packet was not CONNECT")
                violated(id, error: error, now: now, effects: &effects)
                return
            }
            handle(connect, on: connection, effects: &effects)
        case .authenticating:
            guard connection.authenticationMethod == nil else {
                receivedDuringExchange(packet, on: connection, now: now, effects: &effects)
                return
            }
            guard connection.early.count < configuration.packetsBeforeConnackMax else {
                close(connection, CloseReason(.quotaExceeded, "too many packets before CONNACK"), effects: &effects)
                return
            }
            connection.early.append(packet)
        case .closing: break
        }
    }

    /// The driver holds the peer's packets back, so it is not silent though nothing comes.
    public func heard(_ id: ConnectionID, now: BrokerTime) {
        connection(id)?.lastReceivedNanoseconds = now.monotonicNanoseconds
    }

    /// The peer broke a rule: the decoder refused its bytes. It gets the reason code where its version has one.
    public func violated(_ id: ConnectionID, error: MQTTError, now: BrokerTime, effects: inout Effects) {
        guard let connection = connection(id), connection.state != .closing else { return }
        counters.protocolErrors &+= 1
        auditRefusal(.protocolViolated, connection, error.message, effects: &effects)
        if connection.state == .awaitingConnect, var answer = error.connackReason {
            // [MQTT-3.1.2-2], section 3.1.4: some mistakes of CONNECT are answered, the others end the connection.
            if configuration.followsMosquitto, answer == error.reason { answer = error.mosquittoReason ?? answer }
            effects.list.append(.send(id, .connack(Connack(reason: answer))))
        }
        let answer = configuration.followsMosquitto ? error.mosquittoReason : error.reason
        close(
            connection,
            CloseReason(answer ?? error.reason, statement: error.statement, error.message),
            silently: answer == nil,
            effects: &effects
        )
        detach(connection, now: now, effects: &effects)
    }

    /// The transport is gone.
    public func closed(_ id: ConnectionID, now: BrokerTime, effects: inout Effects) {
        guard let connection = connection(id) else { return }
        connections[Int(id.slot)] = nil
        detach(connection, now: now, effects: &effects)
    }

    /// The transport takes bytes again, or does not for now. While it does not, QoS 0 is dropped and counted, QoS 1
    /// and 2 wait in the session.
    public func writabilityChanged(_ id: ConnectionID, isWritable: Bool, now: BrokerTime, effects: inout Effects) {
        guard let connection = connection(id), connection.isWritable != isWritable else { return }
        connection.isWritable = isWritable
        if isWritable, let session = connection.session { drain(session, now: now, effects: &effects) }
    }

    /// Ends a batch of events. Call it before the effects are performed.
    public func endTurn(now: BrokerTime, effects: inout Effects) {
        if !overflowed.isEmpty { disconnectOverflowed(now: now, effects: &effects) }
        if !retainedScans.isEmpty || handsOutRetained { continueRetained(now: now, effects: &effects) }
        if accessSweep != nil { continueAccessSweep(now: now, effects: &effects) }
        closeBookkeeping(&effects)
    }

    /// The site stops: 5.0 clients are told, and where to go if another server is known; all are disconnected. Sessions
    /// stay.
    public func shutDown(now: BrokerTime, effects: inout Effects) {
        let reason: ReasonCode = configuration.serverReference == nil ? .serverShuttingDown : .useAnotherServer
        for case let connection? in connections where connection.state != .closing {
            close(connection, CloseReason(reason, "the site shuts down"), effects: &effects)
            // A planned stop is not the client's death: its will is not due [MQTT-3.1.2-10 speaks of failures].
            forgetWill(of: connection, &effects)
            detach(connection, now: now, effects: &effects)
        }
        closeBookkeeping(&effects)
    }

    /// The node drains: who is connected is sent to the other server, who comes is refused with its name.
    public func leave(now: BrokerTime, effects: inout Effects) {
        isLeaving = true
        shutDown(now: now, effects: &effects)
    }

    // MARK: - Connections

    func connection(_ id: ConnectionID) -> Connection? {
        let slot = Int(id.slot)
        guard slot < connections.count, let connection = connections[slot], connection.id == id else { return nil }
        return connection
    }

    /// Closes a connection from our side, with a DISCONNECT where the version has one [MQTT-3.14.0-1].
    func close(_ connection: Connection, _ reason: CloseReason, silently: Bool = false, effects: inout Effects) {
        guard connection.state != .closing else { return }
        if connection.state == .connected && connection.isV5 && !silently {
            var properties: Properties = []
            // [MQTT-3.14.2-3]: no text if the client takes hardly any bytes.
            let hasRoom = connection.clientPacketBytesMax > 512
            if reason.reason.sendsElsewhere, let reference = configuration.serverReference {
                properties.values.append(.serverReference(reference))
            }
            if configuration.sendsReasonStrings && connection.wantsProblemInformation && hasRoom
                && !reason.message.isEmpty
            {
                properties.values.append(.reasonString(reason.message))
            }
            effects.list.append(
                .send(connection.id, .disconnect(Disconnect(reason: reason.reason, properties: properties)))
            )
        }
        connection.state = .closing
        connection.early = []
        connection.closeReason = reason
        effects.list.append(.close(connection.id, reason))
    }

    private func handle(_ packet: Packet, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        // A PUBLISH is counted together with its payload.
        if case .publish = packet {} else { counters.packetsReceived &+= 1 }
        switch packet {
        case .publish(let publish): handle(publish, from: connection, now: now, effects: &effects)
        case .puback(let answer): handlePuback(answer, from: connection, now: now, effects: &effects)
        case .pubrec(let answer): handlePubrec(answer, from: connection, now: now, effects: &effects)
        case .pubrel(let answer): handlePubrel(answer, from: connection, now: now, effects: &effects)
        case .pubcomp(let answer): handlePubcomp(answer, from: connection, now: now, effects: &effects)
        case .subscribe(let subscribe): handle(subscribe, from: connection, now: now, effects: &effects)
        case .unsubscribe(let unsubscribe): handle(unsubscribe, from: connection, now: now, effects: &effects)
        case .pingreq: effects.list.append(.send(connection.id, .pingresp))
        case .disconnect(let disconnect): handle(disconnect, from: connection, now: now, effects: &effects)
        case .connect:
            let error = MQTTError(.protocolError, "MQTT-3.1.0-2", "a second CONNECT came")
            violated(connection.id, error: error, now: now, effects: &effects)
        case .auth(let auth): handle(auth, from: connection, now: now, effects: &effects)
        case .connack, .suback, .unsuback, .pingresp:
            let error = MQTTError(.protocolError, "section 2.1.2", "a packet came that only a server may send")
            violated(connection.id, error: error, now: now, effects: &effects)
        }
    }
}

/// A will that waits for its delay.
struct DelayedWill {
    let session: Session
    let will: Will
    let dueNanoseconds: UInt64
}
