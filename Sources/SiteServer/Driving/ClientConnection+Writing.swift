internal import Broker
internal import Logging
internal import MQTT
internal import NIOCore

// Bytes go out: gathered during a round of the event loop, written once at its end.
extension ClientConnection {
    /// Gathers packets that are encoded already.
    @inline(__always)
    func write(_ packets: EncodedPackets, from encoded: ByteBuffer) {
        guard phase == .connected else { return }
        gather()
        packets.write(from: encoded, to: &outbound)
        if outbound.readableBytes >= driver.limits.gatherBytesMax { flush() }
    }

    /// Gathers a PUBLISH.
    @inline(__always)
    func deliver(_ delivery: Delivery) {
        guard phase == .connected else { return }
        gather()
        delivery.write(to: &outbound)
        if outbound.readableBytes >= driver.limits.gatherBytesMax { flush() }
    }

    /// Gathers PUBACK, PUBREC, PUBREL or PUBCOMP.
    @inline(__always)
    func acknowledge(_ kind: AcknowledgementKind, packetID: UInt16, reason: ReasonCode) {
        guard phase == .connected else { return }
        gather()
        if kind == .puback && reason == .success {
            // The same four bytes in every version (section 3.4).
            outbound.writeInteger(0x4002_0000 | UInt32(packetID))
            return
        }
        let answer = Acknowledgement(packetID: packetID, reason: reason)
        let packet: Packet =
            switch kind {
            case .puback: .puback(answer)
            case .pubrec: .pubrec(answer)
            case .pubrel: .pubrel(answer)
            case .pubcomp: .pubcomp(answer)
            }
        PacketEncoder.encode(packet, version: version, into: &outbound)
    }

    /// Gathers any other control packet. CONNACK tells the connection whether it is in.
    func send(_ packet: Packet) {
        guard phase == .connected || phase == .connecting || phase == .awaitingConnect else { return }
        if case .connack(let connack) = packet, !connack.reason.isError {
            phase = .connected
            countPreConnect()
            readAtLargeNow()
            removeMeter()
        }
        // The client is asked: one more packet may come before CONNACK.
        if case .auth = packet, phase == .connecting { phase = .awaitingConnect }
        gather()
        PacketEncoder.encode(packet, version: version, into: &outbound)
    }

    /// Closes the connection once what was gathered before is out.
    func finish(_ reason: CloseReason, now: BrokerTime) {
        guard phase != .closing, phase != .closed else { return }
        phase = .closing
        closeReason = reason
        countPreConnect()
        undecoded = ByteBuffer()
        driver.closeDeadlines.insert(id, now: now)
        if reason.reason.isError { logClose(reason, now: now) }
        // Whatever halted reading is over: what comes is thrown away, and the peer's close is seen.
        pauses = []
        if let context { try? context.channel.syncOptions?.setOption(.autoRead, value: true) }
        touch()
    }

    /// The time to close is over.
    func closeIsDue() {
        guard phase == .closing else { return }
        context?.close(promise: nil)
    }

    /// Writes what was gathered, and closes if that was the last.
    func flush() {
        isTouched = false
        guard let context, phase != .closed else { return }
        if outbound.readableBytes > 0 { write(context) }
        if let reason = closeReason, phase == .closing {
            closeReason = nil
            close(context, reason)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        let writable = context.channel.isWritable
        if writable != isWritable {
            isWritable = writable
            if phase == .connected { driver.writabilityChanged(id, isWritable: writable) }
            if writable {
                bytesSinceFull = 0
                resumeReading(.slow)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: -

    @inline(__always)
    private func gather() {
        if outbound.capacity == 0 { outbound = driver.buffers.take() }
        touch()
    }

    @inline(__always)
    private func touch() {
        guard !isTouched else { return }
        isTouched = true
        driver.touch(self)
    }

    private func write(_ context: ChannelHandlerContext) {
        var bytes = ByteBuffer()
        swap(&bytes, &outbound)
        let count = bytes.readableBytes
        driver.counters.bytesSent.add(count)
        context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil)
        driver.buffers.recycle(bytes)
        guard !isWritable, phase != .closed else { return }
        bytesSinceFull += count
        if bytesSinceFull > driver.limits.slowClientBytesMax, phase != .closing { pauseReading(.slow) }
        if bytesSinceFull > driver.limits.outboundBytesHardMax {
            driver.counters.outboundOverflows.add()
            let now = BrokerTime.now()
            driver.logPeer(.warning, "Too many bytes are on the way to a client", logMetadata(), now: now)
            context.close(promise: nil)
        }
    }

    /// Closes our direction after all that was written before. If the client itself said goodbye, that was all. If not,
    /// it may still be sending, and a full close would answer it with a reset, which can overtake and destroy the
    /// DISCONNECT or CONNACK that says why: what comes is thrown away until the peer closes its own direction, or
    /// `closeSeconds` are over.
    private func close(_ context: ChannelHandlerContext, _ reason: CloseReason) {
        guard !reason.reason.isError else {
            context.close(mode: .output, promise: nil)
            return
        }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.close(mode: .output).whenComplete { _ in bound.value.close(promise: nil) }
    }

    private func logClose(_ reason: CloseReason, now: BrokerTime) {
        switch reason.reason {
        case .sessionTakenOver, .serverShuttingDown, .keepAliveTimeout: break
        case .notAuthorized, .badUserNameOrPassword, .banned, .quotaExceeded, .serverBusy: break
        default: driver.counters.protocolErrors.add()
        }
        driver.logPeer(
            .info,
            "A connection was closed by the broker",
            logMetadata([
                "cw_reason": "0x\(String(reason.reason.rawValue, radix: 16))",
                "cw_statement": "\(reason.statement)",
                "cw_message": "\(reason.message)",
            ]),
            now: now
        )
    }
}
