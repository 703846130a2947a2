internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

extension SiteServer {
    /// Binds all addresses of a listener, or none.
    func bind(_ socket: ListenerSocket) async throws -> BoundListener {
        let bound: (address: String, port: Int)
        do {
            bound = socket.listener.unixSocket == nil ? try await bindAddresses(socket) : try await bindFile(socket)
        } catch {
            let name = socket.listener.name
            throw SiteServerError(
                .bind,
                "Listener \(name): \(ListenerAddresses.text(socket.listener)) cannot be bound",
                cause: error
            )
        }
        let listener = BoundListener(
            name: socket.listener.name,
            address: bound.address,
            port: bound.port,
            isTLS: socket.security != nil
        )
        logger.info(
            "A listener is up",
            metadata: [
                "cw_listener": "\(listener.name)", "cw_address": "\(listener.address)", "cw_port": "\(listener.port)",
                "cw_tls": "\(listener.isTLS)",
            ]
        )
        return listener
    }

    /// The first address decides about the port; a family that this machine does not have is left out if there is
    /// another one.
    private func bindAddresses(_ socket: ListenerSocket) async throws -> (address: String, port: Int) {
        let state = try await makeState(socket)
        var first: (address: String, port: Int)?
        for var address in socket.addresses {
            if address.port == 0 { address.port = first?.port ?? 0 }
            let wanted = address
            do {
                let channel = try await onLoop { driver in
                    socket.bind(wanted, driver: driver, state: NIOLoopBound(state.value, eventLoop: driver.eventLoop))
                }
                let local = channel.localAddress
                first = first ?? (local?.ipAddress ?? socket.listener.host, local?.port ?? socket.listener.port)
            } catch let error as IOError
                where socket.addresses.count > 1 && Self.missingFamily.contains(error.errnoCode)
            {
                logger.info("An address is left out", metadata: ["cw_address": "\(wanted)", "cw_error": "\(error)"])
            }
        }
        guard let first else { throw UnixSocketFile.Failure(description: "this machine has none of its addresses") }
        return first
    }

    private static let missingFamily: Set<CInt> = [EAFNOSUPPORT, EADDRNOTAVAIL, EPROTONOSUPPORT]

    private func bindFile(_ socket: ListenerSocket) async throws -> (address: String, port: Int) {
        guard let options = socket.listener.unixSocket else { return ("", 0) }
        let file = try await blockingPool.runIfActive { try UnixSocketFile(options) }
        socketFiles.withLock { $0.append(file) }
        let state = try await makeState(socket)
        _ = try await onLoop { driver in
            socket.bind(
                descriptor: file.descriptor,
                driver: driver,
                state: NIOLoopBound(state.value, eventLoop: driver.eventLoop)
            )
        }
        return (file.path, 0)
    }

    private func makeState(_ socket: ListenerSocket) async throws -> NIOLoopBound<ListenerState> {
        try await onDriver { driver in
            let state = socket.makeState()
            driver.listeners.append(state)
            return NIOLoopBound(state, eventLoop: driver.loop)
        }
    }

    /// Runs something that binds, on the loop, and keeps the channel.
    private func onLoop(
        _ body: @escaping @Sendable (NIOLoopBound<CoreDriver>) -> EventLoopFuture<any Channel>
    ) async throws -> any Channel {
        let box = driver
        let channels = channels
        let loop = loop
        return try await loop.flatSubmit {
            guard let driver = box.value else {
                return loop.makeFailedFuture(SiteServerError(.notRunning, "The server is not running"))
            }
            return body(NIOLoopBound(driver, eventLoop: loop)).map { channel in
                channels.value.append(channel)
                return channel
            }
        }.get()
    }

    // MARK: - Clients inside the process

    /// Attaches a client that is a part of this process.
    ///
    /// The other end of the socket pair is an ordinary connection of the broker: the client sends CONNECT on it, has
    /// limits and flow control, and is disconnected as any other. Its client identifier is that of its CONNECT; its
    /// user name is that of the attachment, whatever CONNECT says.
    ///
    /// - Returns: A connected stream socket, blocking and close-on-exec. It is the caller's: closing it ends the
    ///   client.
    /// - Throws: ``SiteServerError`` if the server does not run, or no descriptor is left.
    public func attachLocal(_ attachment: LocalAttachment) async throws -> CInt {
        var pair: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            let reason = String(cString: strerror(errno))
            throw SiteServerError(.bind, "No socket pair for \(attachment.name): \(reason)")
        }
        let (ours, theirs) = (pair[0], pair[1])
        do {
            let box = driver
            let loop = loop
            try await loop.flatSubmit { () -> EventLoopFuture<Void> in
                guard let driver = box.value, !driver.isShuttingDown else {
                    Glibc.close(ours)
                    return loop.makeFailedFuture(SiteServerError(.notRunning, "The server is not running"))
                }
                return Self.attach(ours, attachment, NIOLoopBound(driver, eventLoop: loop))
            }.get()
        } catch {
            Glibc.close(theirs)
            guard !(error is SiteServerError) else { throw error }
            throw SiteServerError(.bind, "\(attachment.name) cannot be attached", cause: error)
        }
        return theirs
    }

    private static func attach(
        _ descriptor: CInt,
        _ attachment: LocalAttachment,
        _ driver: NIOLoopBound<CoreDriver>
    ) -> EventLoopFuture<Void> {
        let limits = driver.value.limits
        let listener = SiteServerConfiguration.Listener(
            name: attachment.name,
            host: "",
            port: 0,
            policy: attachment.policy
        )
        return ClientBootstrap(group: driver.eventLoop)
            .channelOption(
                .writeBufferWaterMark,
                value: .init(low: limits.outboundResumeBytes, high: limits.outboundBytesMax)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let state = ListenerState(listener: listener, security: nil, proxyNetworks: [])
                    try channel.pipeline.syncOperations.addHandler(
                        ClientConnection(driver: driver.value, state: state, attachment: attachment)
                    )
                }
            }
            .withConnectedSocket(descriptor)
            .map { _ in }
    }
}
