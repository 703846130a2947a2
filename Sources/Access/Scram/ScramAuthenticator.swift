internal import Broker
internal import Crypto
internal import MQTT
internal import NIOCore

/// SCRAM-SHA-256 for users of a password file whose hash is of that kind.
///
/// An exchange costs us two hashes over short texts, so it is answered on the loop. A user that is not there has a salt
/// as the others have, always the same one, and fails only at the end.
struct ScramAuthenticator: Sendable {
    let users: PasswordFileAuthenticator
    /// What the salts of users that are not there are made of; as long as the process lives.
    let secret: [UInt8]

    init(users: PasswordFileAuthenticator) {
        self.users = users
        var generator = SystemRandomNumberGenerator()
        secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// Answers one step.
    func authenticate(_ request: AuthenticationRequest) -> AuthenticationResult {
        let message = request.data.map { Array($0.readableBytesView) } ?? []
        if let state = request.state {
            guard let exchange = state.value(as: Exchange.self) else { return .refused(.notAuthorized) }
            var server = exchange.server
            let action = server.finish(message)
            guard case .accept(let username, let final) = action else {
                users.note(username: exchange.username, info: request.info, isRight: false)
                return .refused(.notAuthorized)
            }
            users.note(username: username, info: request.info, isRight: true)
            return .completed(username: username, data: ByteBuffer(bytes: final))
        }
        guard let username = ScramServer.ClientFirst(message)?.username,
            // Where CONNECT names a user too, it is the same one.
            request.username.map({ $0.utf8.elementsEqual(username.utf8) }) ?? true,
            !users.isLocked(username: username, address: request.info.remoteAddress)
        else { return .refused(.notAuthorized) }
        var server = ScramServer()
        let action = server.start(message) { credential(of: $0, clientID: request.clientID) }
        guard case .challenge(let data) = action else { return .refused(.notAuthorized) }
        return .challenge(
            data: ByteBuffer(bytes: data),
            state: AuthenticationState(Exchange(server: server, username: username))
        )
    }

    private struct Exchange: Sendable, Hashable {
        let server: ScramServer
        let username: String
    }

    private func credential(of username: String, clientID: String) -> ScramServer.Credential {
        if case .password(let hash) = users.look(up: username, clientID: clientID),
            case .scram(let iterations) = hash.form
        {
            let keys = ScramKeys(storedKey: Array(hash.hash.prefix(32)), serverKey: Array(hash.hash.suffix(32)))
            return ScramServer.Credential(salt: hash.salt, iterations: iterations, keys: keys, isKnown: true)
        }
        let noise = ScramKeys.hmac(secret, Array(username.utf8))
        return ScramServer.Credential(
            salt: Array(noise.prefix(16)),
            iterations: PasswordHash.defaultIterations,
            keys: ScramKeys(storedKey: noise, serverKey: noise),
            isKnown: false
        )
    }
}
