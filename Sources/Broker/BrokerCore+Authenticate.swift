import MQTT
import NIOCore

// Enhanced authentication: CONNECT, AUTH and authenticating again (MQTT 5.0 section 4.12).
extension BrokerCore {
    /// Asks the driver whether a client may enter: the first step, or the only one.
    func authenticate(_ connect: Connect, on connection: Connection, effects: inout Effects) {
        let method = connect.properties.authenticationMethod
        if let method {
            guard configuration.authenticationMethods.contains(where: { $0.utf8.elementsEqual(method.utf8) }) else {
                refuse(
                    connection,
                    .badAuthenticationMethod,
                    "the authentication method is not offered",
                    statement: "MQTT-4.12.0-1",
                    effects: &effects
                )
                return
            }
            connection.authenticationMethod = method
            connection.exchange = AuthenticationExchange(isReauthentication: false, startedNanoseconds: 0)
        }
        let data = connect.properties.authenticationData
        guard method != nil || data == nil else {
            // Section 3.1.2.11.10: data without a method is an error of the protocol.
            let message = "authentication data came without a method"
            refuse(connection, .protocolError, message, statement: "section 3.1.2.11.10", effects: &effects)
            return
        }
        ask(data, on: connection, effects: &effects)
    }

    private func ask(_ data: ByteBuffer?, on connection: Connection, effects: inout Effects) {
        let connect = connection.connect
        let identity = connection.session?.identity
        effects.list.append(
            .authenticate(
                connection.id,
                AuthenticationRequest(
                    info: connection.info,
                    clientID: connect?.clientID ?? identity?.clientID ?? "",
                    username: connect?.username ?? identity?.username,
                    password: connect?.password,
                    method: connection.authenticationMethod,
                    data: data.map(ByteBufferCopy.of),
                    state: connection.exchange?.state,
                    isReauthentication: connection.exchange?.isReauthentication ?? false
                )
            )
        )
    }

    /// Sends a challenge [MQTT-4.12.0-2], if there is an exchange that it belongs to.
    func challenge(
        _ connection: Connection,
        _ data: ByteBuffer?,
        _ state: AuthenticationState,
        effects: inout Effects
    ) {
        guard let method = connection.authenticationMethod, connection.exchange != nil else {
            // [MQTT-4.12.0-6]: a client that named no method is never sent AUTH.
            let message = "the authenticator challenged a client that named no method"
            refuse(connection, .unspecifiedError, message, statement: "MQTT-4.12.0-6", effects: &effects)
            return
        }
        connection.exchange?.state = state
        connection.exchange?.waitsForClient = true
        let properties = Properties(authenticationProperties(method, data))
        effects.list.append(
            .send(connection.id, .auth(Auth(reason: .continueAuthentication, properties: properties)))
        )
    }

    func authenticationProperties(_ method: String, _ data: ByteBuffer?) -> [Property] {
        [.authenticationMethod(method)] + (data.map { [.authenticationData($0)] } ?? [])
    }

    // MARK: - Before CONNACK

    /// Until CONNACK a client that named a method may send AUTH and DISCONNECT alone [MQTT-3.1.2-30].
    func receivedDuringExchange(
        _ packet: Packet,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        switch packet {
        case .auth(let auth):
            if let error = check(auth, of: connection, expects: .continueAuthentication) {
                refuse(connection, error.reason, error.message, statement: error.statement, effects: &effects)
                return
            }
            goOn(auth, on: connection, effects: &effects)
        case .disconnect:
            connection.state = .closing
            effects.list.append(.close(connection.id, CloseReason(.success, "the client gave up")))
        default:
            let message = "another packet than AUTH came before CONNACK"
            refuse(connection, .protocolError, message, statement: "MQTT-3.1.2-30", effects: &effects)
        }
    }

    private func check(_ auth: Auth, of connection: Connection, expects reason: ReasonCode) -> MQTTError? {
        guard auth.reason == reason else {
            return MQTTError(.protocolError, "MQTT-3.15.2-1", "AUTH has a reason code that does not fit the exchange")
        }
        let named = auth.properties.authenticationMethod ?? ""
        guard let method = connection.authenticationMethod, named.utf8.elementsEqual(method.utf8) else {
            let statement = reason == .reauthenticate ? "MQTT-4.12.1-1" : "MQTT-4.12.0-5"
            return MQTTError(.badAuthenticationMethod, statement, "AUTH names another method than CONNECT")
        }
        guard reason == .reauthenticate || connection.exchange?.waitsForClient == true else {
            return MQTTError(.protocolError, "MQTT-4.12.0-3", "AUTH came before it was asked for")
        }
        guard connection.exchange.map({ $0.steps < configuration.authenticationStepsMax }) ?? true else {
            return MQTTError(.notAuthorized, "section 4.12", "the exchange takes too many steps")
        }
        return nil
    }

    private func goOn(_ auth: Auth, on connection: Connection, effects: inout Effects) {
        connection.exchange?.steps += 1
        connection.exchange?.waitsForClient = false
        ask(auth.properties.authenticationData, on: connection, effects: &effects)
    }

    // MARK: - Again

    /// AUTH of a client that is connected: it authenticates again. Other packets go on meanwhile, with the rights that
    /// it has.
    func handle(_ auth: Auth, from connection: Connection, now: BrokerTime, effects: inout Effects) {
        guard connection.authenticationMethod != nil else {
            let error = MQTTError(.protocolError, "MQTT-4.12.0-7", "AUTH came, but CONNECT named no method")
            violated(connection.id, error: error, now: now, effects: &effects)
            return
        }
        let begins = connection.exchange == nil
        if let error = check(auth, of: connection, expects: begins ? .reauthenticate : .continueAuthentication) {
            // DISCONNECT has no code of its own for the method (section 3.14.2.1).
            let reason = error.reason == .badAuthenticationMethod ? .protocolError : error.reason
            let error = MQTTError(reason, error.statement, error.message)
            violated(connection.id, error: error, now: now, effects: &effects)
            return
        }
        if begins {
            connection.exchange = AuthenticationExchange(
                isReauthentication: true,
                startedNanoseconds: now.monotonicNanoseconds
            )
        }
        goOn(auth, on: connection, effects: &effects)
    }

    /// The driver's answer about a client that authenticates again.
    func reauthenticated(
        _ connection: Connection,
        result: AuthenticationResult,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard connection.state == .connected, connection.exchange?.isReauthentication == true,
            let method = connection.authenticationMethod, let session = connection.session
        else { return }
        switch result {
        case .challenge(let data, let state): challenge(connection, data, state, effects: &effects)
        case .refused(let reason):
            endAgain(connection, reason, "the client did not authenticate again", now: now, effects: &effects)
        case .accepted(let username), .completed(let username, _), .expiring(let username, _):
            guard Identity(username: username, clientID: session.identity.clientID) == session.identity else {
                endAgain(connection, .notAuthorized, "it came back as somebody else", now: now, effects: &effects)
                return
            }
            connection.exchange = nil
            connection.expiresNanoseconds = result.expiryInstant(now)
            session.rightsGeneration = 0
            let properties = Properties(authenticationProperties(method, result.lastWord))
            effects.list.append(.send(connection.id, .auth(Auth(reason: .success, properties: properties))))
        }
    }

    /// An exchange that takes too long ends the connection.
    func endLateExchange(of connection: Connection, now: BrokerTime, effects: inout Effects) {
        let limit = configuration.connectSeconds &* 1_000_000_000
        guard let exchange = connection.exchange,
            now.monotonicNanoseconds > exchange.startedNanoseconds &+ limit
        else { return }
        endAgain(connection, .notAuthorized, "authenticating again took too long", now: now, effects: &effects)
    }

    /// [MQTT-4.12.1-2]
    private func endAgain(
        _ connection: Connection,
        _ reason: ReasonCode,
        _ message: String,
        now: BrokerTime,
        effects: inout Effects
    ) {
        close(connection, CloseReason(reason, statement: "MQTT-4.12.1-2", message), effects: &effects)
        detach(connection, now: now, effects: &effects)
    }
}

/// An exchange of enhanced authentication that goes on.
struct AuthenticationExchange {
    let isReauthentication: Bool
    let startedNanoseconds: UInt64
    /// Packets of the client that belong to it.
    var steps = 0
    /// Whether the client has a challenge to answer.
    var waitsForClient = false
    var state: AuthenticationState?
}

extension AuthenticationResult {
    /// What a mechanism says with its yes.
    var lastWord: ByteBuffer? {
        guard case .completed(_, let data) = self else { return nil }
        return data
    }
}

extension Properties {
    var authenticationMethod: String? {
        first { if case .authenticationMethod(let name) = $0 { name } else { nil } }
    }

    var authenticationData: ByteBuffer? {
        first { if case .authenticationData(let data) = $0 { data } else { nil } }
    }
}
