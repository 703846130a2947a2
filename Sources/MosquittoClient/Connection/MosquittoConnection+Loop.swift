internal import CMosquitto
internal import COpenSSL
internal import Glibc
internal import Synchronization

extension MosquittoConnection {
    /// How often the library is given the chance to look at keep alive, in milliseconds.
    private static let housekeepingMilliseconds: Int32 = 1_000

    var isOnOwnThread: Bool { pthread_self() == thread.load(ordering: .relaxed) }

    /// The whole life of the thread.
    func run() {
        thread.store(pthread_self(), ordering: .relaxed)
        defer { finish() }
        guard let pointer = ownHandle, !isAbandoned else { return }
        let rc = connect(pointer)
        guard rc == 0 else { return end(rc, systemError: errno) }
        loop(pointer)
    }

    /// Resolves the name, connects, and starts the handshake. Blocks.
    private func connect(_ pointer: OpaquePointer) -> Int32 {
        do {
            let properties = try connectProperties()
            errno = 0
            return mosquitto_connect_bind_v5(
                pointer,
                configuration.host,
                Int32(configuration.port),
                Int32(configuration.keepAliveSeconds),
                nil,
                properties.pointer
            )
        } catch {
            progress.refusal = error
            return MOSQ_ERR_INVAL.rawValue
        }
    }

    private func loop(_ pointer: OpaquePointer) {
        let handshakeDeadline =
            MonotonicClock.nanoseconds() &+ UInt64(configuration.handshakeTimeoutSeconds) &* 1_000_000_000
        var saidGoodbye = false
        while true {
            if isAbandoned { return }
            if wantsDisconnect, !saidGoodbye {
                saidGoodbye = true
                _ = mosquitto_disconnect_v5(pointer, 0, nil)
            }
            if !progress.isConnected, MonotonicClock.nanoseconds() >= handshakeDeadline {
                progress.refusal = MosquittoError(.timeout, "no CONNACK came in time")
                return end(MOSQ_ERR_TIMEOUT.rawValue, systemError: 0)
            }
            let (rc, systemError) = turn(pointer)
            if saidGoodbye, rc != 0 || mosquitto_socket(pointer) < 0 { return finishOrderly() }
            guard rc == 0 else { return end(rc, systemError: systemError) }
            guard mosquitto_socket(pointer) >= 0 else {
                return end(MOSQ_ERR_CONN_LOST.rawValue, systemError: 0)
            }
        }
    }

    /// Sleeps until something is to do, reads a batch, lets it be kept, and writes.
    private func turn(_ pointer: OpaquePointer) -> (rc: Int32, systemError: Int32) {
        let socket = mosquitto_socket(pointer)
        guard socket >= 0 else { return (MOSQ_ERR_CONN_LOST.rawValue, 0) }
        // poll, not the library's own loop: that one uses select, which cannot take a descriptor above 1023.
        var polled = [
            pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
            pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        if mosquitto_want_write(pointer) { polled[0].events |= Int16(POLLOUT) }
        if poll(&polled, 2, hasPendingBytes(pointer) ? 0 : Self.housekeepingMilliseconds) < 0, errno != EINTR {
            return (MOSQ_ERR_ERRNO.rawValue, errno)
        }
        if polled[1].revents != 0 { waker.drain() }
        if polled[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 || hasPendingBytes(pointer) {
            let rc = readBatch(pointer)
            if rc != 0 { return (rc, errno) }
        }
        if progress.hasUnacknowledged {
            progress.hasUnacknowledged = false
            if let gate, !isAbandoned, !gate() {
                progress.refusal = MosquittoError(.notAcknowledged, "received messages could not be kept")
                return (MOSQ_ERR_CONN_LOST.rawValue, 0)
            }
        }
        if mosquitto_socket(pointer) >= 0 {
            // Also when nothing seems to wait: a TLS handshake may have to write.
            let rc = mosquitto_loop_write(pointer, 1)
            if rc != 0 { return (rc, errno) }
        }
        if mosquitto_socket(pointer) >= 0 {
            let rc = mosquitto_loop_misc(pointer)
            if rc != 0 { return (rc, errno) }
        }
        return (0, 0)
    }

    private func readBatch(_ pointer: OpaquePointer) -> Int32 {
        var packets = 0
        while packets < configuration.packetsPerBatch {
            let rc = mosquitto_loop_read(pointer, 1)
            if rc != 0 { return rc }
            if progress.refusal != nil { return MOSQ_ERR_PROTOCOL.rawValue }
            let socket = mosquitto_socket(pointer)
            if socket < 0 { return 0 }
            packets += 1
            if hasPendingBytes(pointer) { continue }
            var more = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&more, 1, 0) > 0 else { return 0 }
        }
        return 0
    }

    /// Whether OpenSSL holds decrypted bytes that no poll will ever announce.
    private func hasPendingBytes(_ pointer: OpaquePointer) -> Bool {
        guard configuration.tls != nil, let ssl = mosquitto_ssl_get(pointer) else { return false }
        return SSL_pending(OpaquePointer(ssl)) > 0
    }

    private func finishOrderly() {
        guard !progress.isFinished else { return }
        let wasConnected = progress.isConnected
        progress.isFinished = true
        guard !isAbandoned else { return }
        handler(
            wasConnected
                ? .disconnected(nil)
                : .connectFailed(MosquittoError(.notConnected, "stopped before the connection stood"))
        )
    }

    /// Delivers the last event.
    private func end(_ rc: Int32, systemError: Int32) {
        guard !progress.isFinished else { return }
        progress.isFinished = true
        let detail = takeDetail()
        guard !isAbandoned else { return }
        let failure: MosquittoError
        if let refusal = progress.refusal {
            failure = refusal
        } else if !progress.isConnected, wantsDisconnect {
            failure = MosquittoError(.notConnected, "stopped before the connection stood")
        } else {
            failure = .library(rc, systemError: systemError, detail: detail)
        }
        handler(progress.isConnected ? .disconnected(failure) : .connectFailed(failure))
    }
}
