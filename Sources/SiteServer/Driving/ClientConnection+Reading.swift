internal import Broker
internal import Logging
internal import MQTT
internal import NIOCore

// Bytes come in: one batch of packets per read goes into the core as one turn.
extension ClientConnection {
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        driver.counters.bytesReceived.add(bytes.readableBytes)
        switch phase {
        case .awaitingConnect, .connected: break
        case .connecting:
            // Reading is halted; these bytes were on their way in the same round.
            keep(&bytes)
            return
        case .opening, .closing, .closed: return
        }
        guard !pauses.contains(.rate) else {
            keep(&bytes)
            return
        }
        guard undecoded.readableBytes > 0 else {
            decode(&bytes)
            keep(&bytes)
            return
        }
        undecoded.writeBuffer(&bytes)
        decodeKept()
    }

    /// Goes on with what was kept while CONNECT, or an AUTH before CONNACK, waited for its answer.
    func resumeAfterConnect() {
        guard phase == .connected || phase == .awaitingConnect else { return }
        resumeReading(.connecting)
        decodeKept()
    }

    // MARK: - Decoding

    func decodeKept() {
        var bytes = ByteBuffer()
        swap(&bytes, &undecoded)
        decode(&bytes)
        guard phase != .closed else { return }
        if bytes.readableBytes == 0 {
            // An idle connection holds no read buffer.
            if bytes.capacity <= Self.keptCapacityMax, bytes.modifyIfUniquelyOwned({ $0.clear() }) != nil {
                undecoded = bytes
            }
        } else {
            bytes.discardReadBytes()
            undecoded = bytes
        }
        countPreConnect()
    }

    /// Keeps the bytes of a packet that is not whole, as a copy: what was read goes back to the channel.
    private func keep(_ bytes: inout ByteBuffer) {
        guard bytes.readableBytes > 0, phase != .closed, phase != .closing else { return }
        undecoded.writeBuffer(&bytes)
        countPreConnect()
    }

    private static let keptCapacityMax = 4 << 10

    /// Decodes all whole packets and gives them to the core, as one turn.
    private func decode(_ bytes: inout ByteBuffer) {
        let now = BrokerTime.now()
        let core = driver.core
        let id = id
        let appendedBefore = driver.appendedThrough
        var effects = driver.beginTurn()
        var decoder = self.decoder
        do {
            if publishRate == nil {
                if phase == .connected {
                    try core.received(id, bytes: &bytes, decoder: &decoder, now: now, effects: &effects)
                }
            } else {
                try decodeAtRate(&bytes, with: &decoder, now: now, effects: &effects)
            }
            if phase == .awaitingConnect, let packet = try decoder.next(&bytes) {
                version = decoder.version ?? version
                phase = .connecting
                pauseReading(.connecting)
                core.received(id, packet, now: now, effects: &effects)
            }
        } catch {
            // The answer is written in the version that the client meant, also where its CONNECT is wrong.
            version = decoder.version ?? version
            core.violated(id, error: error, now: now, effects: &effects)
        }
        self.decoder = decoder
        driver.endTurn(effects, now: now)
        guard driver.isJournalBehind, driver.appendedThrough != appendedBefore else { return }
        guard phase == .connected, !pauses.contains(.journal) else { return }
        // Only those whose packets fill the journal wait for it; QoS 0 that no durable reader wants goes on.
        pauseReading(.journal)
        driver.pausedForJournal.append(id)
    }

    // MARK: - Bounds

    /// How reading begins. Each channel keeps its read buffer, so as long as nobody knows who the client is, that is
    /// small: beside what is counted below, there is little for each connection.
    static let smallReads = FixedSizeRecvByteBufferAllocator(capacity: 1 << 10)

    /// About what a connection takes beside its undecoded bytes: itself and its read buffer.
    private static let connectionBytes = 6 << 10

    /// From CONNACK on reads are as large as what comes.
    func readAtLargeNow() {
        guard attachment == nil, let context else { return }
        let largest = driver.limits.readBytesMax
        let reads = AdaptiveRecvByteBufferAllocator(
            minimum: min(1 << 10, largest),
            initial: min(4 << 10, largest),
            maximum: largest
        )
        // It fails only if the channel is closed, and then it does not matter.
        try? context.channel.syncOptions?.setOption(.recvAllocator, value: reads)
    }

    /// Keeps the driver's sum of pre-CONNECT bytes right, and goes when it is too large. What counts is the memory that
    /// is held, not how much of it is filled.
    func countPreConnect() {
        let own = phase == .awaitingConnect || phase == .connecting ? Self.connectionBytes : 0
        var counted = 0
        switch phase {
        case .opening, .awaitingConnect, .connecting: counted = own + preludeBytes + undecoded.capacity
        case .connected, .closing, .closed: break
        }
        guard counted != preConnectBytes else { return }
        let hasGrown = counted > preConnectBytes
        driver.preConnectBytes += counted - preConnectBytes
        preConnectBytes = counted
        // Who sends its CONNECT at once is let in all the same.
        guard hasGrown, counted > own, driver.preConnectBytes > driver.limits.preConnectBytesMax else { return }
        driver.counters.connectionsRefused.add()
        let now = BrokerTime.now()
        driver.logPeer(.warning, "Too many bytes wait for their CONNECT", logMetadata(), now: now)
        context?.close(promise: nil)
    }

    /// Stops reading from the socket.
    func pauseReading(_ pause: Pause) {
        let wasReading = pauses.isEmpty
        pauses.insert(pause)
        guard wasReading, let context else { return }
        if pause == .journal || pause == .slow { driver.counters.readingPauses.add() }
        setAutoRead(false, context)
    }

    /// Reads again, if nothing else speaks against it.
    func resumeReading(_ pause: Pause) {
        guard pauses.remove(pause) != nil, pauses.isEmpty, let context else { return }
        setAutoRead(true, context)
    }

    private func setAutoRead(_ value: Bool, _ context: ChannelHandlerContext) {
        // It fails only if the channel is closed, and then it does not matter.
        try? context.channel.syncOptions?.setOption(.autoRead, value: value)
    }
}
