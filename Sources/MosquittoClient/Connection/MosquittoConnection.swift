internal import CMosquitto
internal import Synchronization

/// One connection to an MQTT server, once: after `connectFailed` or `disconnected` the object is spent, and a reconnect
/// is a new object. So no message, no packet identifier and no certificate of the old connection lives on in the
/// library.
///
/// It runs on a thread of its own, because libmosquitto resolves names and connects in the caller's thread. Events come
/// on that thread, one at a time. `publish`, `subscribe`, `disconnect` and `stop` may be called from any thread, the
/// handler included.
///
/// **Acknowledging inbound QoS 1.** libmosquitto 2.0.11 queues the PUBACK *before* it calls its message callback and,
/// left alone, writes it at once. Here the library is told that it lives among threads, so it only queues, and this
/// class writes when a whole batch has been handled: the PUBACKs of a batch leave after the handler has returned for
/// each of its messages and after `beforeAcknowledging` has returned true. A message is so acknowledged only once it
/// was dealt with (ADR 0003).
public final class MosquittoConnection: @unchecked Sendable {
    // SAFETY: `handle`, `shared` are behind locks; `progress` and `waker.drain` belong to the connection's thread; the
    // rest is immutable. The C handle itself is thread-safe in threaded mode except for its destruction, which happens
    // under the lock that every caller holds while using it.

    /// Receives the events, on the connection's thread.
    public typealias Handler = @Sendable (MosquittoEvent) -> Void
    /// Called on the connection's thread after a batch with messages and before their PUBACKs are written. It may
    /// block, for instance for a database's commit. Returning false closes the connection without acknowledging the
    /// batch, so that the server delivers it again.
    public typealias AcknowledgeGate = @Sendable () -> Bool

    /// What the connection was made for.
    public let configuration: MosquittoConfiguration

    /// What the connection's thread alone knows.
    struct Progress {
        /// CONNACK came with success.
        var isConnected = false
        /// The last event was delivered.
        var isFinished = false
        /// A message was delivered since the last batch ended.
        var hasUnacknowledged = false
        /// CONNACK refused us with this.
        var refusal: MosquittoError?
    }

    private struct Shared {
        var isStarted = false
        /// Tell the server and go.
        var wantsDisconnect = false
        /// Go without a word, deliver nothing more.
        var isAbandoned = false
        /// Lines of the library's log at level error, while connecting.
        var errorLines: [String] = []
    }

    let handler: Handler
    let gate: AcknowledgeGate?
    let waker: WakePipe
    var progress = Progress()
    /// The connection's thread, 0 before it runs.
    let thread = Atomic<UInt>(0)
    private let handle: Mutex<Handle>
    private let shared = Mutex(Shared())
    private let ended = WaitableFlag()

    /// The library's object until the thread has ended.
    // SAFETY: the pointer stands in a mutex, and libmosquitto's object is made for more than one thread.
    private struct Handle: @unchecked Sendable {
        var pointer: OpaquePointer?
    }

    /// Makes a connection that is not started yet.
    /// - Parameters:
    ///   - beforeAcknowledging: see ``AcknowledgeGate``.
    ///   - handler: receives the events.
    public init(
        configuration: MosquittoConfiguration,
        beforeAcknowledging: AcknowledgeGate? = nil,
        handler: @escaping Handler
    ) throws(MosquittoError) {
        try MosquittoLibrary.prepare()
        self.configuration = configuration
        self.handler = handler
        gate = beforeAcknowledging
        waker = try WakePipe()
        let pointer = try Self.makeHandle(configuration)
        handle = Mutex(Handle(pointer: pointer))
        mosquitto_user_data_set(pointer, Unmanaged.passUnretained(self).toOpaque())
        Self.installCallbacks(pointer)
    }

    deinit {
        // Only a connection that was never started still has its handle here.
        if let pointer = handle.withLock({ $0.pointer }) { mosquitto_destroy(pointer) }
    }

    /// Starts the thread, which connects and then runs until the connection ends.
    public func start() throws(MosquittoError) {
        let isFirst = shared.withLock { shared in
            defer { shared.isStarted = true }
            return !shared.isStarted
        }
        guard isFirst else { throw MosquittoError(.invalidArgument, "a connection is started once") }
        do {
            try OwnThread.start(name: "mosquitto") { [self] in
                run()
            }
        } catch {
            ended.raise()
            throw error
        }
    }

    /// Publishes. QoS 1 and 2 may be called as soon as there is a connection; keep the number of unanswered ones within
    /// the server's receive maximum, since more of them wait in the library's memory.
    ///
    /// If the connection broke in this moment, QoS 1 and 2 are still accepted by the library and the token is good, but
    /// no answer will come: the `disconnected` event follows.
    /// - Returns: the token that `published` will carry. It may come before this call returns if called off the
    ///   connection's thread.
    @discardableResult
    public func publish(
        topic: String,
        payload: [UInt8],
        qos: UInt8,
        retain: Bool = false,
        properties: MosquittoPublishProperties = .init()
    ) throws(MosquittoError) -> MosquittoToken {
        guard let count = Int32(exactly: payload.count) else {
            throw MosquittoError(.tooLarge, "the payload is larger than MQTT allows")
        }
        let list = try PropertyList(properties, version: configuration.protocolVersion)
        let listPointer = list.pointer
        var token: Int32 = 0
        let rc = use { pointer in
            mosquitto_publish_v5(pointer, &token, topic, count, payload, Int32(qos), retain, listPointer)
        }
        withExtendedLifetime(list) {}
        switch rc {
        case MOSQ_ERR_SUCCESS.rawValue:
            break
        case MOSQ_ERR_NO_CONN.rawValue where qos > 0 && token != 0:
            break
        default:
            throw .library(rc)
        }
        waker.wake()
        return token
    }

    /// Subscribes to filters, all with the same quality of service, in one packet.
    /// - Returns: the token that `subscribed` will carry.
    @discardableResult
    public func subscribe(_ filters: [String], qos: UInt8) throws(MosquittoError) -> MosquittoToken {
        guard !filters.isEmpty else { throw MosquittoError(.invalidArgument, "there is no filter to subscribe to") }
        var token: Int32 = 0
        let rc = Self.withCStrings(filters) { strings in
            use { pointer in
                mosquitto_subscribe_multiple(pointer, &token, Int32(filters.count), strings, Int32(qos), 0, nil)
            }
        }
        guard rc == 0 else { throw .library(rc) }
        waker.wake()
        return token
    }

    /// Ends subscriptions.
    /// - Returns: the token that `unsubscribed` will carry.
    @discardableResult
    public func unsubscribe(_ filters: [String]) throws(MosquittoError) -> MosquittoToken {
        guard !filters.isEmpty else { throw MosquittoError(.invalidArgument, "there is no filter to unsubscribe") }
        var token: Int32 = 0
        let rc = Self.withCStrings(filters) { strings in
            use { pointer in
                mosquitto_unsubscribe_multiple(pointer, &token, Int32(filters.count), strings, nil)
            }
        }
        guard rc == 0 else { throw .library(rc) }
        waker.wake()
        return token
    }

    /// Writes what was published before, says DISCONNECT (so that the will is not sent) and ends. `disconnected(nil)`
    /// follows. Does not wait.
    public func disconnect() {
        shared.withLock { $0.wantsDisconnect = true }
        waker.wake()
    }

    /// Closes the socket without DISCONNECT and delivers nothing more. Does not wait: a thread that hangs in name
    /// resolution or in a TCP connect ends when the system lets it, and frees what it holds then.
    public func abandon() {
        shared.withLock { $0.isAbandoned = true }
        waker.wake()
    }

    /// Disconnects and waits until the thread has ended, at most for `timeoutSeconds`; then abandons it.
    /// On the connection's own thread it does not wait.
    /// - Returns: whether the thread has ended.
    @discardableResult
    public func stop(timeoutSeconds: UInt16 = 5) -> Bool {
        disconnect()
        guard shared.withLock({ $0.isStarted }) else { return true }
        if isOnOwnThread { return false }
        let deadline = MonotonicClock.nanoseconds() &+ UInt64(timeoutSeconds) &* 1_000_000_000
        if ended.wait(until: deadline, keepRaised: true) { return true }
        abandon()
        return false
    }

    // MARK: - For the loop and the callbacks

    var isAbandoned: Bool { shared.withLock { $0.isAbandoned } }
    var wantsDisconnect: Bool { shared.withLock { $0.wantsDisconnect } }

    func noteErrorLine(_ line: String) {
        shared.withLock { if $0.errorLines.count < 4 { $0.errorLines.append(line) } }
    }

    /// What OpenSSL or the library's log said of a failure; asking forgets it.
    func takeDetail() -> String? {
        var parts: [String] = []
        if let reason = configuration.tls?.takeVerifyError() { parts.append(reason) }
        parts += shared.withLock { shared in
            defer { shared.errorLines = [] }
            return shared.errorLines
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    /// The handle, for the thread that will destroy it.
    var ownHandle: OpaquePointer? { handle.withLock { $0.pointer } }

    /// The last thing the thread does.
    func finish() {
        let pointer = handle.withLock { handle in
            defer { handle.pointer = nil }
            return handle.pointer
        }
        // Closes the socket. PUBACKs that are still queued are not written.
        if let pointer { mosquitto_destroy(pointer) }
        ended.raise()
    }

    private func use(_ body: (OpaquePointer) -> Int32) -> Int32 {
        handle.withLock { handle in
            guard let pointer = handle.pointer else { return MOSQ_ERR_NO_CONN.rawValue }
            return body(pointer)
        }
    }
}
