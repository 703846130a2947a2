public import Broker

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
