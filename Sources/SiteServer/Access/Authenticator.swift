public import Broker
internal import MQTT

/// Decides whether a client may enter.
public protocol Authenticator: Sendable {
    /// Answers a request.
    ///
    /// Called on the core's loop, so it must not block: what takes time is done elsewhere. `completion` is called
    /// exactly once, from any thread, before or after this returns.
    func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    )
}

/// The usual door of a site: the client certificate's identity where the listener says so, a user name with its
/// password, nobody else unless the listener lets anonymous clients in.
public struct ListenerAuthenticator: Authenticator {
    private let passwords: PasswordFileAuthenticator?

    /// Makes it.
    ///
    /// - Parameter passwords: Who has a password; nil if nobody has. Then a user name proves nothing: where anonymous
    ///   clients are let in, a client with a user name is let in as one of them.
    public init(passwords: PasswordFileAuthenticator? = nil) { self.passwords = passwords }

    /// Answers at once, except for a password.
    public func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        if request.info.useIdentityAsUsername {
            // The certificate alone speaks, whatever CONNECT says, as in Mosquitto.
            guard let identity = request.info.certificateIdentity else {
                completion(.refused(.notAuthorized))
                return
            }
            completion(.accepted(username: identity))
            return
        }
        guard request.username != nil else {
            // A password without a name (MQTT 5.0) is no credential that anything here could check.
            let mayEnter = request.info.allowAnonymous && request.password == nil
            completion(mayEnter ? .accepted(username: nil) : .refused(.notAuthorized))
            return
        }
        if let passwords {
            passwords.authenticate(request, completion: completion)
        } else {
            completion(request.info.allowAnonymous ? .accepted(username: nil) : .refused(.notAuthorized))
        }
    }
}
