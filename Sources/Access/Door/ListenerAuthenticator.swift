public import Broker
internal import MQTT

/// What one listener, or all without their own, ask of clients.
public struct AuthenticationSet: Sendable {
    /// Who has a password; nil if nobody has. Then a user name proves nothing: where anonymous clients are let in, a
    /// client with a user name is let in as one of them.
    public var passwords: PasswordFileAuthenticator?
    /// Whose tokens are taken as passwords; nil for nobody's.
    public var tokens: TokenVerifier?
    let scram: ScramAuthenticator?

    /// Makes a set.
    ///
    /// - Parameter offersScram: Whether users whose hash is of that kind may authenticate by SCRAM-SHA-256.
    public init(
        passwords: PasswordFileAuthenticator? = nil,
        tokens: TokenVerifier? = nil,
        offersScram: Bool = false
    ) {
        self.passwords = passwords
        self.tokens = tokens
        scram = offersScram ? passwords.map { ScramAuthenticator(users: $0) } : nil
    }
}

/// The usual door of a site: the client certificate's identity where the listener says so, a token, or a user name with
/// its password; nobody else unless the listener lets anonymous clients in.
public struct ListenerAuthenticator: Sendable {
    private let common: AuthenticationSet
    private let listeners: [String: AuthenticationSet]

    /// The name of the method that `offersScram` offers.
    public static let scramMethod = ScramServer.method

    /// The methods of enhanced authentication that a listener offers, for
    /// ``BrokerConfiguration/authenticationMethods``.
    public var methods: Set<String> {
        let offers = ([common] + listeners.values).contains { $0.scram != nil }
        return offers ? [ScramServer.method] : []
    }

    /// Makes it.
    ///
    /// - Parameter passwords: Who has a password.
    public init(passwords: PasswordFileAuthenticator? = nil) { self.init(AuthenticationSet(passwords: passwords)) }

    /// Makes it.
    ///
    /// - Parameters:
    ///   - common: For listeners without their own.
    ///   - listeners: By the name of the listener (`per_listener_settings`).
    public init(_ common: AuthenticationSet, listeners: [String: AuthenticationSet] = [:]) {
        self.common = common
        self.listeners = listeners
    }

    /// Answers at once, except for a password or a token.
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
        let door = listeners[request.info.listener] ?? common
        if let method = request.method {
            guard method == ScramServer.method, let scram = door.scram else {
                completion(.refused(.badAuthenticationMethod))
                return
            }
            completion(scram.authenticate(request))
            return
        }
        if let tokens = door.tokens, tokens.isToken(request.password) {
            tokens.authenticate(request, completion: completion)
            return
        }
        guard request.username != nil else {
            // A password without a name (MQTT 5.0) is no credential that anything here could check.
            let mayEnter = request.info.allowAnonymous && request.password == nil
            completion(mayEnter ? .accepted(username: nil) : .refused(.notAuthorized))
            return
        }
        if let passwords = door.passwords {
            passwords.authenticate(request, completion: completion)
        } else {
            completion(request.info.allowAnonymous ? .accepted(username: nil) : .refused(.notAuthorized))
        }
    }
}
