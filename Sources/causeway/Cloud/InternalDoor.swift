import Broker
import MQTT
import NIOCore
import SiteServer

/// Lets the aggregator into the broker of its own process: by a listener of its own on loopback and a secret that lives
/// as long as the process. Everyone else goes through the configured door, and cannot take the aggregator's name.
struct InternalDoor: Authenticator {
    /// The name of the listener that only the aggregator uses.
    static let listener = "internal"
    /// The aggregator's user name. No other client gets a name that begins with `$`.
    static let username = "$aggregator"

    let secret: String
    let others: any Authenticator

    func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        guard request.info.listener == Self.listener else {
            others.authenticate(request) { result in
                switch result {
                case .accepted(let username?) where username.hasPrefix("$"),
                    .completed(let username?, _) where username.hasPrefix("$"),
                    .expiring(let username?, _) where username.hasPrefix("$"):
                    completion(.refused(.notAuthorized))
                default: completion(result)
                }
            }
            return
        }
        let isKnown = request.username == Self.username && isSecret(request.password)
        completion(isKnown ? .accepted(username: Self.username) : .refused(.badUserNameOrPassword))
    }

    /// Compares in a time that does not tell how much of it is right.
    private func isSecret(_ password: ByteBuffer?) -> Bool {
        guard let given = password?.readableBytesView, given.count == secret.utf8.count else { return false }
        return zip(given, secret.utf8).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// Lets the aggregator do what it is there for, and leaves everyone else to the configured rules.
struct InternalAccess: Authorizer {
    let others: any Authorizer

    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool {
        identity.username == InternalDoor.username || others.mayPublish(identity, topic: topic)
    }

    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        identity.username == InternalDoor.username || others.maySubscribe(identity, filter: filter)
    }

    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool {
        identity.username == InternalDoor.username || others.mayReceive(identity, topic: topic)
    }

    func allowsEverything(_ identity: Identity) -> Bool {
        identity.username == InternalDoor.username || others.allowsEverything(identity)
    }
}
