internal import Glibc

/// How a TCP connection is made.
package struct StreamTarget: Sendable, Hashable {
    /// A host name or an address.
    package var host: String
    /// The TCP port.
    package var port: UInt16
    /// The address of ours that it comes from; nil lets the system choose.
    package var bindAddress: String?
    /// How long each address of the host may take.
    package var secondsMax: Int
    /// Seconds of silence, seconds between probes, probes; nil leaves the system's.
    package var keepAlive: (idle: Int, interval: Int, probes: Int)?
    /// How long written bytes may go unacknowledged, in milliseconds; nil leaves the system's.
    package var userTimeoutMilliseconds: UInt32?

    /// Makes a target with the system's timers.
    package init(host: String, port: UInt16, bindAddress: String? = nil, secondsMax: Int) {
        self.host = host
        self.port = port
        self.bindAddress = bindAddress
        self.secondsMax = secondsMax
    }

    package static func == (left: StreamTarget, right: StreamTarget) -> Bool {
        left.host == right.host && left.port == right.port && left.bindAddress == right.bindAddress
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(host)
        hasher.combine(port)
    }

    /// Resolves the name and connects, one address after the other. Blocks, for as long as the resolver likes: call it
    /// on a thread of its own.
    /// - Returns: a connected socket that does not block; the caller's.
    package func connect() throws(MosquittoError) -> CInt {
        let addresses = try Self.resolve(host, port: String(port))
        defer { freeaddrinfo(addresses) }
        var failure = MosquittoError(.nameResolution, "the name has no address")
        var next: UnsafeMutablePointer<addrinfo>? = addresses
        while let address = next {
            next = address.pointee.ai_next
            do {
                return try connect(to: address.pointee)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private func connect(to address: addrinfo) throws(MosquittoError) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.ai_family, type, 0)
        guard descriptor >= 0 else { throw Self.failure(.system, errno) }
        do {
            try prepare(descriptor, family: address.ai_family)
            try Self.await(descriptor, address, secondsMax: secondsMax)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private func prepare(_ descriptor: CInt, family: CInt) throws(MosquittoError) {
        Self.set(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, 1)
        if let keepAlive {
            Self.set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
            Self.set(descriptor, CInt(IPPROTO_TCP), TCP_KEEPIDLE, CInt(clamping: keepAlive.idle))
            Self.set(descriptor, CInt(IPPROTO_TCP), TCP_KEEPINTVL, CInt(clamping: keepAlive.interval))
            Self.set(descriptor, CInt(IPPROTO_TCP), TCP_KEEPCNT, CInt(clamping: keepAlive.probes))
        }
        if let userTimeoutMilliseconds {
            Self.set(descriptor, CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, CInt(clamping: userTimeoutMilliseconds))
        }
        guard let bindAddress else { return }
        let own = try Self.resolve(bindAddress, port: nil, family: family)
        defer { freeaddrinfo(own) }
        guard bind(descriptor, own.pointee.ai_addr, own.pointee.ai_addrlen) == 0 else {
            throw Self.failure(.unreachable, errno)
        }
    }

    private static func await(_ descriptor: CInt, _ address: addrinfo, secondsMax: Int) throws(MosquittoError) {
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return }
        guard errno == EINPROGRESS else { throw failure(.unreachable, errno) }
        let deadline = MonotonicClock.nanoseconds() &+ UInt64(max(1, secondsMax)) &* 1_000_000_000
        while true {
            let now = MonotonicClock.nanoseconds()
            guard now < deadline else { throw MosquittoError(.timeout, "nobody answered the connect in time") }
            var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            let ready = poll(&polled, 1, CInt(clamping: (deadline - now) / 1_000_000 + 1))
            if ready < 0, errno != EINTR { throw failure(.system, errno) }
            if ready > 0 { break }
        }
        var error: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size)
        guard error == 0 else { throw failure(.unreachable, error) }
    }

    private static func resolve(
        _ host: String,
        port: String?,
        family: CInt = AF_UNSPEC
    ) throws(MosquittoError) -> UnsafeMutablePointer<addrinfo> {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let rc = getaddrinfo(host, port, &hints, &found)
        guard rc == 0, let found else {
            throw MosquittoError(.nameResolution, String(cString: gai_strerror(rc)))
        }
        return found
    }

    private static func set(_ descriptor: CInt, _ level: CInt, _ option: CInt, _ value: CInt) {
        var value = value
        // A timer that the system does not take leaves its own: the MQTT keep alive watches in any case.
        _ = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
    }

    private static func failure(_ code: MosquittoError.Code, _ error: CInt) -> MosquittoError {
        MosquittoError(code, String(cString: strerror(error)))
    }
}
