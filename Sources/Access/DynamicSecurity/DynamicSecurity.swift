public import Broker
internal import Foundation
internal import MQTT
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// Dynamic security: clients, groups and roles that are administered over `$CONTROL/dynamic-security/v1`, as with
/// Mosquitto's plugin, so that `mosquitto_ctrl dynsec` works.
///
/// Commands are performed one after the other on a thread of its own. Each change is in the state file before it is
/// answered, and counts before the answer is there. Usable from any thread.
public final class DynamicSecurity: Sendable {
    /// The topic that commands come on; answers go to `…/response`.
    public static let topic = "$CONTROL/dynamic-security/v1"
    /// Requests that may wait at once. Beyond, they are answered with an error.
    static let pendingMax = 256
    /// Bytes of one request.
    static let requestBytesMax = 1 << 20
    /// Commands of one request.
    static let commandsMax = 10_000
    /// Bytes of the state file.
    static let fileBytesMax = 256 << 20

    /// What is told when something was changed.
    public struct Observer: Sendable {
        /// The rules or users are others: replace policies and users, then tell the core. Called on the thread of the
        /// commands, one change after the other: without revocations before the answer is given, so that it counts when
        /// the administrator reads it, and once more with those whose connections end, as it may be its own.
        public var changed: @Sendable (AccessChange) -> Void
        /// An administrator did something, or tried to.
        public var audit: @Sendable (AuditEvent) -> Void

        /// Makes an observer.
        public init(
            changed: @escaping @Sendable (AccessChange) -> Void = { _ in },
            audit: @escaping @Sendable (AuditEvent) -> Void = { _ in }
        ) {
            self.changed = changed
            self.audit = audit
        }
    }

    private let path: String
    /// Whether every change of a client's rights ends its connections, as in Mosquitto. Otherwise the rights change
    /// under the connection, and it ends only if the client could not come back.
    private let kicksOnEveryChange: Bool
    private let state: Mutex<DynamicSecurityState>
    private let observer = Mutex(Observer())
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let pending = Atomic<Int>(0)

    /// Reads the state file.
    ///
    /// - Parameters:
    ///   - path: The state file, as `mosquitto_ctrl dynsec init` makes it.
    ///   - kicksOnEveryChange: Whether clients are disconnected whenever their rights change, as Mosquitto does it.
    /// - Throws: ``AccessError`` if there is none, or it cannot be understood as a whole.
    public init(path: String, kicksOnEveryChange: Bool = false) throws {
        self.path = path
        self.kicksOnEveryChange = kicksOnEveryChange
        self.state = Mutex(try Self.load(path))
        pool.start()
    }

    deinit { pool.shutdownGracefully { _ in } }

    private static func load(_ path: String) throws -> DynamicSecurityState {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            let hint = "make it with `mosquitto_ctrl dynsec init`"
            throw AccessError(.dynamicSecurity, "The state file \(path) cannot be read; \(hint)", cause: error)
        }
        guard data.count <= fileBytesMax else {
            throw AccessError(.dynamicSecurity, "\(path) has more than \(fileBytesMax) bytes")
        }
        return try DynamicSecurityState(json: Array(data), path: path)
    }

    /// Who is told of changes from now on.
    public func observe(_ observer: Observer) { self.observer.withLock { $0 = observer } }

    /// Its rules as they are now.
    public var source: any AccessSource { DynamicSecuritySnapshot(state: state.withLock { $0 }) }

    /// Its users as they are now.
    public var users: any PasswordUsers { DynamicSecuritySnapshot(state: state.withLock { $0 }) }

    /// Reads the state file again, as it was edited by hand. If it cannot be used, everything stays as it is.
    ///
    /// - Returns: Whose connections end. The observer is not told.
    public func reload() throws -> AccessChange {
        let fresh = try Self.load(path)
        return state.withLock { state in
            var change = AccessChange()
            for (key, client) in state.clients {
                let other = fresh.clients[key]
                if other == nil || other?.isDisabled == true || other?.password != client.password
                    || other?.clientID != client.clientID
                {
                    change.revokedUsernames.insert(client.username)
                }
            }
            state = fresh
            return change
        }
    }

    // MARK: - Commands

    /// Performs the commands of a request, one after the other, and answers once. `reply` is called at most once, from
    /// any thread.
    public func perform(
        _ request: ControlRequest,
        reply: @escaping @Sendable (_ topic: String, _ payload: ByteBuffer) -> Void
    ) {
        guard request.topic.string == Self.topic else { return }
        guard pending.wrappingAdd(1, ordering: .relaxed).newValue <= Self.pendingMax else {
            pending.wrappingSubtract(1, ordering: .relaxed)
            let answer = Self.answer([Self.response("Unknown command", error: "Too many requests are waiting")])
            reply(Self.topic + "/response", answer)
            return
        }
        pool.submit { [self] thread in
            pending.wrappingSubtract(1, ordering: .relaxed)
            guard case .active = thread else { return }
            let (responses, change) = perform(Array(request.payload.readableBytesView), of: request.identity)
            let observer = observer.withLock { $0 }
            if change != nil { observer.changed(AccessChange()) }
            reply(Self.topic + "/response", Self.answer(responses))
            if let change, change != AccessChange() { observer.changed(change) }
        }
    }

    private static func answer(_ responses: [JSONValue]) -> ByteBuffer {
        ByteBuffer(string: JSONValue.object(["responses": .array(responses)]).text())
    }

    private static func response(
        _ command: String,
        error: String? = nil,
        data: JSONValue? = nil,
        correlation: String? = nil
    ) -> JSONValue {
        .object([
            "command": .string(command),
            "error": error.map { .string($0) },
            "data": data,
            "correlationData": correlation.map { .string($0) },
        ])
    }

    /// Performs the commands of a payload.
    ///
    /// - Returns: The answers, and who is affected if anything was changed.
    func perform(_ payload: [UInt8], of administrator: Identity) -> ([JSONValue], AccessChange?) {
        guard payload.count <= Self.requestBytesMax, let tree = JSONValue(parsing: payload) else {
            return ([Self.response("Unknown command", error: "Payload not valid JSON")], nil)
        }
        guard let commands = tree["commands"]?.array, commands.count <= Self.commandsMax else {
            return ([Self.response("Unknown command", error: "Invalid/missing commands")], nil)
        }
        var responses: [JSONValue] = []
        var change: AccessChange?
        for command in commands {
            guard command.isObject else {
                responses.append(Self.response("Unknown command", error: "Command not an object"))
                continue
            }
            guard let name = command["command"]?.string else {
                let correlation = command["correlationData"]?.string
                responses.append(Self.response("Unknown command", error: "Missing command", correlation: correlation))
                continue
            }
            if let correlation = command["correlationData"], correlation.string == nil {
                responses.append(Self.response(name, error: "Invalid correlationData data type."))
                break
            }
            let (response, made) = perform(name, command, of: administrator)
            responses.append(response)
            if let made {
                change = change ?? AccessChange()
                change?.formUnion(made)
            }
        }
        return (responses, change)
    }

    private func perform(
        _ name: String,
        _ command: JSONValue,
        of administrator: Identity
    ) -> (response: JSONValue, change: AccessChange?) {
        let correlation = command["correlationData"]?.string
        // The thread of the commands is the only one that changes the state, but for a reload.
        var draft = state.withLock { $0 }
        do throws(CommandFailure) {
            let outcome = try draft.perform(name, CommandArguments(value: command)) { password in
                try PasswordHash(password: Array(password.utf8), kind: .pbkdf2)
            }
            guard outcome.isChange else {
                return (Self.response(name, data: outcome.data, correlation: correlation), nil)
            }
            draft.changeIndex &+= 1
            do {
                try SecretFileWriter.write(draft.json + "\n", to: path)
            } catch {
                // What is not on disk does not count, or a restart would take it back.
                audit(name, outcome.subject, "the state file could not be written", administrator)
                return (Self.response(name, error: "Internal error", correlation: correlation), nil)
            }
            state.withLock { $0 = draft }
            audit(name, outcome.subject, nil, administrator)
            var change = outcome.revoked
            if kicksOnEveryChange { change.formUnion(outcome.affected) }
            return (Self.response(name, correlation: correlation), change)
        } catch {
            audit(name, "", error.text, administrator)
            return (Self.response(name, error: error.text, correlation: correlation), nil)
        }
    }

    private func audit(_ command: String, _ subject: String, _ error: String?, _ administrator: Identity) {
        observer.withLock { $0 }.audit(
            AuditEvent(
                .administered,
                clientID: administrator.clientID,
                username: administrator.username,
                subject: subject.isEmpty ? command : "\(command) \(subject)",
                reason: error
            )
        )
    }
}
