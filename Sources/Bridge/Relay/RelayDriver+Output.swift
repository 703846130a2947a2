internal import Glibc
internal import MQTT
internal import MosquittoClient
internal import NIOCore

// What the machine wants done, and the bytes on their way out.
extension RelayDriver {
    /// Performs what the machine asked for; closing a side asks for more.
    func perform(now: UInt64) {
        while !actions.isEmpty {
            let batch = actions
            actions = []
            for action in batch {
                switch action {
                case .local(let packet): local?.append(packet)
                case .remote(let packet):
                    guard let remote else { break }
                    remote.append(packet)
                    machine.clock.sent(now: now)
                case .closeRemote(let loss): loseRemote(loss, now: now)
                case .closeLocal(let reason): loseLocal(reason, now: now)
                case .report(let report): log(report)
                }
            }
        }
    }

    /// Writes what the sockets take. Before anything leaves, what a restart must know is on the disk.
    func flush(now: UInt64) {
        keepMemory()
        do {
            try local?.flush()
        } catch {
            loseLocal("\(error)", now: now)
        }
        guard let side = remote, side.stream.isOpen else { return }
        do {
            try side.flush()
        } catch {
            loseRemote(RelayLoss("connection_lost", "\(error)"), now: now)
        }
    }

    private func keepMemory() {
        guard settings.stateDirectory != nil else { return }
        let isFirst = keptMemory.filters != machine.localFilters
        guard machine.isMemoryDirty || isFirst, machine.local == .up else { return }
        machine.isMemoryDirty = false
        let memory = machine.memory
        guard memory != keptMemory else { return }
        do {
            try memoryFile.write(memory)
            keptMemory = memory
        } catch {
            memoryFile.remove()
            keptMemory = RelayMemory()
            log(
                BridgeReport(
                    .error,
                    "A bridge's state cannot be kept: QoS 2 messages may arrive twice after a restart.",
                    ["bridge": settings.name, "error": "\(error)"]
                )
            )
        }
    }

    /// The orderly end: both sides are told the state, then both are left.
    func finish(_ outcome: Outcome) {
        let now = MonotonicClock.nanoseconds()
        if machine.remote == .up {
            machine.announceLocally(false, &actions)
            // The will says "0" there: on 3.x only a connection that is cut leaves it standing.
            let leavesWill = settings.publishesState && !settings.publishesStateLocallyOnly
            if machine.version == .v5 {
                let reason: ReasonCode = leavesWill ? .disconnectWithWill : .success
                actions.append(.remote(.disconnect(Disconnect(reason: reason))))
            } else if !leavesWill {
                actions.append(.remote(.disconnect(Disconnect())))
            }
        }
        if machine.local == .up || machine.local == .subscribing {
            actions.append(.local(.disconnect(Disconnect(properties: leavingProperties(outcome)))))
        }
        perform(now: now)
        let deadline = now &+ 1_000_000_000
        while MonotonicClock.nanoseconds() < deadline {
            flush(now: now)
            let waiting = [local, remote].compactMap { $0 }.filter { $0.output.readableBytes > 0 && $0.stream.isOpen }
            guard !waiting.isEmpty else { break }
            var polled = waiting.map { pollfd(fd: $0.stream.descriptor, events: Int16(POLLOUT), revents: 0) }
            _ = poll(&polled, nfds_t(polled.count), 50)
        }
        local = nil
        remote = nil
        machine.local = .down
        machine.remote = .down
    }

    /// A session on this side that nobody comes back to ends with the relay.
    private func leavingProperties(_ outcome: Outcome) -> Properties {
        switch outcome {
        case .stopped: return inbox.isRemoval ? [.sessionExpiryInterval(0)] : []
        case .replaced(let next):
            let keeps = next.localClientID == settings.localClientID && !next.forgetsLocally
            return keeps ? [] : [.sessionExpiryInterval(0)]
        }
    }

    /// The relay in numbers.
    func health(now: UInt64) -> RelayHealth {
        var health = machine.health
        if health.acknowledgedTotal != lastAck.total {
            lastAck = (health.acknowledgedTotal, MonotonicClock.wallMilliseconds())
        }
        health.lastAckMilliseconds = lastAck.milliseconds
        health.isAttached = machine.local == .up
        health.addressIndex = attempts.addressIndex
        health.inflight = machine.outgoingByRemoteID.count
        health.waiting = machine.unsent.count + machine.held.count
        health.inboundInflight = machine.incoming.count
        health.tlsVersion = remote?.stream.tlsDetails?.version
        health.state = state(now: now)
        return health
    }

    private func state(now: UInt64) -> BridgeState {
        if outcome != nil { return .disabled }
        if isPaused { return .paused }
        switch machine.remote {
        case .up:
            let silence = now &- min(now, machine.clock.progressNanoseconds)
            if !machine.outgoingByRemoteID.isEmpty,
                silence >= UInt64(settings.stalledAfterSeconds) &* 1_000_000_000
            {
                return .stalled
            }
            if !machine.remoteSubscribes.isEmpty { return .subscribing }
            return machine.unsent.isEmpty ? .live : .draining
        case .awaitingConnack: return .connecting
        case .down:
            if isConnecting || remote != nil { return .connecting }
            if isIdentityRefused { return .authFailed }
            if settings.startType == .once, attempts.nextNanoseconds == nil { return .disabled }
            return .waiting
        }
    }
}

/// One connection of the relay: its socket, what was read and not decoded, what is to be written.
final class RelaySide {
    /// What a turn of reading came to.
    enum Outcome {
        case goesOn
        case ended
        case failed(MosquittoError)
        case undecodable(ByteBuffer, MQTTError)
    }

    let stream: ByteStream
    let version: ProtocolVersion
    private(set) var output = ByteBuffer()
    private var input = ByteBuffer()
    private var decoder: PacketDecoder

    init(stream: ByteStream, version: ProtocolVersion, limits: DecoderLimits) {
        self.stream = stream
        self.version = version
        decoder = PacketDecoder(limits: limits, version: version, role: .client)
    }

    /// Whether so much waits to be written that nothing more should be read from the opposite side.
    var isFull: Bool { output.readableBytes > RelayLimits.outputBytesMax }

    func append(_ packet: Packet) { PacketEncoder.encode(packet, version: version, into: &output) }

    /// Reads and decodes what is there, a bounded part of it.
    func read(perPacket: (Packet) -> Void) -> Outcome {
        guard stream.isOpen else { return .goesOn }
        for _ in 0..<RelayLimits.readsPerTurnMax {
            let read: ByteStream.Read
            do throws(MosquittoError) {
                read = try readOnce()
            } catch {
                return .failed(error)
            }
            switch read {
            case .wouldBlock: return .goesOn
            case .ended: return .ended
            case .bytes: break
            }
            do throws(MQTTError) {
                while true {
                    if takePing() {
                        perPacket(.pingreq)
                    } else if let packet = try decoder.next(&input) {
                        perPacket(packet)
                    } else {
                        break
                    }
                }
            } catch {
                return .undecodable(input, error)
            }
            if input.readableBytes == 0 { input.clear() } else { input.discardReadBytes() }
        }
        return .goesOn
    }

    /// Takes a PINGREQ off the front. A server sends none [2.1.2], but Mosquitto's bridges answer one, and there are
    /// brokers that probe them so; to the decoder it is an error.
    private func takePing() -> Bool {
        guard input.getInteger(at: input.readerIndex, as: UInt16.self) == 0xC000 else { return false }
        input.moveReaderIndex(forwardBy: 2)
        return true
    }

    private func readOnce() throws(MosquittoError) -> ByteStream.Read {
        input.reserveCapacity(minimumWritableBytes: RelayLimits.readBytes)
        var result = ByteStream.Read.wouldBlock
        var failure: MosquittoError?
        input.writeWithUnsafeMutableBytes(minimumWritableBytes: RelayLimits.readBytes) { bytes in
            do throws(MosquittoError) {
                result = try stream.read(into: bytes)
            } catch {
                failure = error
            }
            if case .bytes(let count) = result { return count }
            return 0
        }
        if let failure { throw failure }
        return result
    }

    /// Writes as much as the socket takes.
    func flush() throws(MosquittoError) {
        while output.readableBytes > 0 {
            var written = 0
            var failure: MosquittoError?
            output.readWithUnsafeReadableBytes { bytes in
                do throws(MosquittoError) {
                    written = try stream.write(bytes)
                } catch {
                    failure = error
                }
                return written
            }
            if let failure { throw failure }
            guard written > 0 else { break }
        }
        if output.readableBytes == 0 { output.clear() }
    }
}
