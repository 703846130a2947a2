internal import Glibc
internal import MQTT
internal import MosquittoClient
internal import NIOCore

/// The thread of a relay: both sockets, the clock and the file, around ``RelayMachine``.
///
/// It polls; nothing of it blocks but the relay's own file. Names are resolved and TCP connections made on a thread of
/// their own, one at a time, so that a resolver that hangs holds up neither what goes on here nor an order to stop.
final class RelayDriver {
    /// How a run ended.
    enum Outcome: Sendable {
        case stopped
        /// Go on with these settings.
        case replaced(RelaySettings)
    }

    let settings: RelaySettings
    let inbox: RelayInbox
    let log: @Sendable (BridgeReport) -> Void
    let attach: RelayLocalPort
    let memoryFile: RelayMemoryFile
    var machine: RelayMachine
    var attempts: RelayAttempts
    var local: RelaySide?
    var remote: RelaySide?
    /// Where the connection of ``remote`` is in its making.
    var handshakeDeadline: UInt64 = .max
    /// The attempt that a thread is making.
    var attempt: UInt64 = 0
    var isConnecting = false
    var isProbing = false
    var isPaused = false
    var isIdentityRefused = false
    var localRetryNanoseconds: UInt64 = 0
    var localFailures = 0
    var tls: MosquittoTLSContext?
    /// Settings that count from the next connection on.
    var successor: RelaySettings?
    var outcome: Outcome?
    /// How it ends once nothing is under way, and when at the latest.
    var ending: (outcome: Outcome, deadline: UInt64)?
    var actions: [RelayAction] = []
    var keptMemory: RelayMemory
    /// How many messages the other broker had acknowledged when that number last changed, and when that was.
    var lastAck: (total: UInt64, milliseconds: Int64?) = (0, nil)

    init(
        settings: RelaySettings,
        inbox: RelayInbox,
        attach: @escaping RelayLocalPort,
        log: @escaping @Sendable (BridgeReport) -> Void
    ) throws(BridgeError) {
        self.settings = settings
        self.inbox = inbox
        self.attach = attach
        self.log = log
        memoryFile = RelayMemoryFile(settings)
        let memory = try memoryFile.read()
        keptMemory = memory
        machine = try RelayMachine(settings: settings, memory: memory)
        attempts = RelayAttempts(settings, now: MonotonicClock.nanoseconds(), seed: .random(in: 0 ... .max))
    }

    /// Runs until it is told to end.
    func run(_ publish: (RelayHealth) -> Void) -> Outcome {
        while true {
            let now = MonotonicClock.nanoseconds()
            takeOrders(now: now)
            if let ending, machine.isIdle || now >= ending.deadline { outcome = ending.outcome }
            if let outcome {
                finish(outcome)
                publish(health(now: MonotonicClock.nanoseconds()))
                return outcome
            }
            keepLocal(now: now)
            keepRemote(now: now)
            keepTime(now: now)
            perform(now: now)
            flush(now: now)
            publish(health(now: now))
            wait(now: MonotonicClock.nanoseconds())
            read(now: MonotonicClock.nanoseconds())
        }
    }

    // MARK: - Orders

    private func takeOrders(now: UInt64) {
        for order in inbox.takeAll() {
            switch order {
            case .stop: end(.stopped, now: now)
            case .pause: isPaused = true
            case .resume: isPaused = false
            case .replace(let settings, let isImmediate):
                if isImmediate || remote == nil { end(.replaced(settings), now: now) } else { successor = settings }
            case .connected(let number, let result): connected(number, result, now: now)
            case .probed(let isThere):
                isProbing = false
                guard remote != nil, attempts.primaryNanoseconds != .max else { break }
                if isThere { loseRemote(.primary, now: now) } else { attempts.primaryIsAway(now: now) }
            }
        }
    }

    private func end(_ outcome: Outcome, now: UInt64) {
        if case .stopped? = ending?.outcome { return }
        machine.isEnding = true
        ending = (outcome, now &+ UInt64(RelayLimits.endingMillisecondsMax) &* 1_000_000)
    }

    // MARK: - The core

    private func keepLocal(now: UInt64) {
        guard local == nil, now >= localRetryNanoseconds else { return }
        do {
            let stream = try ByteStream(adopting: try attach(settings))
            // What the core sends has been through its own limits.
            let limits = DecoderLimits(
                maxPacketBytes: 268_435_460,
                maxProperties: .max,
                maxTopicLevels: TopicLimits.levelsMax
            )
            local = RelaySide(stream: stream, version: .v5, limits: limits)
            machine.localOpened(&actions)
        } catch {
            localFailed("\(error)", now: now)
        }
    }

    func loseLocal(_ reason: String, now: UInt64) {
        guard local != nil else { return }
        local = nil
        machine.localLost(&actions)
        localFailed(reason, now: now)
    }

    private func localFailed(_ reason: String, now: UInt64) {
        localFailures += 1
        let pause = min(UInt64(localFailures) &* 100_000_000, 2_000_000_000)
        localRetryNanoseconds = now &+ pause
        if localFailures == 1 || localFailures % 100 == 0 {
            log(
                BridgeReport(
                    .warning,
                    "A bridge has no session with the site's broker.",
                    ["bridge": settings.name, "error": reason]
                )
            )
        }
    }

    // MARK: - The other broker

    private func keepRemote(now: UInt64) {
        if machine.local == .up { localFailures = 0 }
        if isPaused, remote != nil { loseRemote(RelayLoss("paused", "the operator paused it"), now: now) }
        guard remote == nil, !isConnecting, !isPaused, machine.local == .up, isDue(now: now) else { return }
        attempt += 1
        isConnecting = true
        attempts.began()
        let address = attempts.address
        var target = StreamTarget(
            host: address.host,
            port: address.port,
            bindAddress: settings.bindAddress,
            secondsMax: RelayLimits.connectSecondsMax
        )
        target.keepAlive = settings.tcpKeepAlive.map { ($0.idleSeconds, $0.intervalSeconds, $0.probes) }
        target.userTimeoutMilliseconds = settings.tcpUserTimeoutMilliseconds
        let inbox = inbox
        let number = attempt
        dial(target) { inbox.post(.connected(number, $0)) }
    }

    private func isDue(now: UInt64) -> Bool {
        if case .lazy(let threshold, _) = settings.startType {
            guard machine.unsent.count + machine.held.count >= threshold else { return false }
            return attempts.nextNanoseconds.map { now >= $0 } ?? true
        }
        return attempts.nextNanoseconds.map { now >= $0 } ?? false
    }

    private func dial(_ target: StreamTarget, _ done: @escaping @Sendable (Result<CInt, MosquittoError>) -> Void) {
        do throws(MosquittoError) {
            try OwnThread.start(name: "dial-\(settings.name)") {
                do throws(MosquittoError) {
                    done(.success(try target.connect()))
                } catch {
                    done(.failure(error))
                }
            }
        } catch {
            done(.failure(error))
        }
    }

    private func connected(_ number: UInt64, _ result: Result<CInt, MosquittoError>, now: UInt64) {
        guard number == attempt, isConnecting, remote == nil, machine.local == .up else {
            if case .success(let descriptor) = result { close(descriptor) }
            if number == attempt, isConnecting {
                isConnecting = false
                attempts.ended(now: now, connectedNanoseconds: nil)
            }
            return
        }
        isConnecting = false
        do throws(MosquittoError) {
            let descriptor = try result.get()
            let context: MosquittoTLSContext?
            do throws(MosquittoError) {
                context = try tlsContext()
            } catch {
                close(descriptor)
                throw error
            }
            let limits = DecoderLimits(maxPacketBytes: settings.inboundPacketBytesMax)
            let stream = try ByteStream(adopting: descriptor, tls: context)
            remote = RelaySide(stream: stream, version: machine.version, limits: limits)
            handshakeDeadline = now &+ UInt64(RelayLimits.handshakeSecondsMax) &* 1_000_000_000
            shakeHands(now: now)
        } catch {
            remoteFailed(RelayLoss("unreachable", "\(error)"), now: now)
        }
    }

    /// The files are read again when they changed. Without a context there is no connection: never an unverified one.
    private func tlsContext() throws(MosquittoError) -> MosquittoTLSContext? {
        guard let options = settings.tls else { return nil }
        if let tls, tls.host == attempts.address.host, tls.isCurrent { return tls }
        tls = nil
        let context = try MosquittoTLSContext(options: options, host: attempts.address.host)
        tls = context
        return context
    }

    private func shakeHands(now: UInt64) {
        guard let side = remote, machine.remote == .down else { return }
        do {
            guard try side.stream.handshake() else { return }
            machine.remoteOpened(now: now, &actions)
        } catch {
            loseRemote(RelayLoss("tls", "\(error)"), now: now)
        }
    }

    func loseRemote(_ loss: RelayLoss, now: UInt64) {
        guard remote != nil else { return }
        remote = nil
        handshakeDeadline = .max
        let since = machine.clock.connectedNanoseconds
        let wasUp = machine.remote == .up
        machine.remoteLost(now: now, &actions)
        remoteFailed(loss, connectedNanoseconds: wasUp ? since : nil, now: now)
        if let successor, ending == nil { outcome = .replaced(successor) }
    }

    private func remoteFailed(_ loss: RelayLoss, connectedNanoseconds: UInt64? = nil, now: UInt64) {
        machine.health.reconnects[loss.label, default: 0] &+= 1
        let wasRefused = isIdentityRefused
        isIdentityRefused = loss.isRefusedIdentity
        let address = attempts.address
        attempts.ended(now: now, connectedNanoseconds: connectedNanoseconds)
        if loss == .primary { attempts.returnToPrimary(now: now) }
        let isNews = connectedNanoseconds != nil || loss.isRefusedIdentity != wasRefused
        log(
            BridgeReport(
                loss == .idle || !isNews ? .info : .warning,
                "A bridge has no connection to the other broker.",
                [
                    "bridge": settings.name, "address": "\(address.host):\(address.port)", "reason": loss.label,
                    "error": loss.message,
                ]
            )
        )
    }

    // MARK: - Time

    private func keepTime(now: UInt64) {
        guard remote != nil else { return }
        if machine.remote != .up, now >= handshakeDeadline { return loseRemote(.handshake, now: now) }
        switch machine.clock.due(now: now) {
        case .nothing: break
        case .ping: actions.append(.remote(.pingreq))
        case .dead: return loseRemote(.keepAlive, now: now)
        }
        if case .lazy(_, let idle) = settings.startType, machine.remote == .up, machine.outgoing.isEmpty,
            now &- max(machine.lastMessageNanoseconds, machine.clock.connectedNanoseconds ?? 0)
                >= UInt64(idle) &* 1_000_000_000
        {
            return loseRemote(.idle, now: now)
        }
        if now >= attempts.primaryNanoseconds, !isProbing, let first = settings.addresses.first {
            isProbing = true
            let inbox = inbox
            var target = StreamTarget(host: first.host, port: first.port, secondsMax: RelayLimits.connectSecondsMax)
            target.bindAddress = settings.bindAddress
            dial(target) { result in
                if case .success(let descriptor) = result { close(descriptor) }
                inbox.post(.probed((try? result.get()) != nil))
            }
        }
    }

    private func nextDeadline(now: UInt64) -> UInt64 {
        var next = ending?.deadline ?? .max
        if local == nil { next = min(next, localRetryNanoseconds) }
        if remote == nil, !isConnecting, !isPaused, machine.local == .up {
            next = min(next, attempts.nextNanoseconds ?? .max)
        }
        if remote != nil {
            next = min(next, machine.clock.nextNanoseconds, isProbing ? .max : attempts.primaryNanoseconds)
            if machine.remote != .up { next = min(next, handshakeDeadline) }
            if case .lazy(_, let idle) = settings.startType {
                let since = max(machine.lastMessageNanoseconds, machine.clock.connectedNanoseconds ?? 0)
                next = min(next, since &+ UInt64(idle) &* 1_000_000_000)
            }
        }
        return next
    }

    // MARK: - Waiting and reading

    private func wait(now: UInt64) {
        var polled = [pollfd(fd: inbox.wake.descriptor, events: Int16(POLLIN), revents: 0)]
        var hasPending = false
        for (side, opposite) in [(local, remote), (remote, local)] {
            guard let side else { continue }
            let mayRead = side.stream.wantsRead && !(opposite?.isFull ?? false)
            var events: Int16 = 0
            if mayRead { events |= Int16(POLLIN) }
            if side.output.readableBytes > 0 || side.stream.wantsWrite || isShaking(side) { events |= Int16(POLLOUT) }
            if isShaking(side), !side.stream.wantsWrite { events = Int16(POLLIN) }
            if mayRead, side.stream.isOpen, side.stream.hasPendingBytes { hasPending = true }
            polled.append(pollfd(fd: side.stream.descriptor, events: events, revents: 0))
        }
        let deadline = nextDeadline(now: now)
        var timeout = CInt(-1)
        if hasPending || deadline <= now {
            timeout = 0
        } else if deadline != .max {
            timeout = CInt(clamping: (deadline &- now) / 1_000_000 + 1)
        }
        // An interrupted or failed poll is one that found nothing: the turn goes round and looks at everything again.
        _ = poll(&polled, nfds_t(polled.count), timeout)
        if polled[0].revents != 0 { inbox.wake.drain() }
    }

    private func isShaking(_ side: RelaySide) -> Bool { side === remote && !side.stream.isOpen }

    private func read(now: UInt64) {
        if let side = local, !(remote?.isFull ?? false) {
            switch side.read(perPacket: { machine.localReceived($0, now: now, &actions) }) {
            case .goesOn: break
            case .ended: loseLocal("the core closed the connection", now: now)
            case .failed(let error): loseLocal("\(error)", now: now)
            case .undecodable(_, let error): loseLocal("\(error)", now: now)
            }
        }
        guard let side = remote else { return }
        guard side.stream.isOpen else { return shakeHands(now: now) }
        guard !(local?.isFull ?? false) else { return }
        let result = side.read { packet in
            let wasUp = machine.remote == .up
            machine.remoteReceived(packet, now: now, &actions)
            if !wasUp, machine.remote == .up { remoteIsUp(now: now) }
        }
        switch result {
        case .goesOn: break
        case .ended:
            // What was read before the end still counts.
            perform(now: now)
            loseRemote(.closed, now: now)
        case .failed(let error): loseRemote(RelayLoss("connection_lost", "\(error)"), now: now)
        case .undecodable(let bytes, let error): machine.remoteUndecodable(bytes, error: error, &actions)
        }
    }

    private func remoteIsUp(now: UInt64) {
        attempts.succeeded(now: now)
        isIdentityRefused = false
        var data = ["bridge": settings.name, "address": "\(attempts.address.host):\(attempts.address.port)"]
        if let details = remote?.stream.tlsDetails { data["tls"] = details.version }
        log(BridgeReport(.info, "A bridge is connected.", data))
    }
}
