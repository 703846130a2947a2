import Broker
import MQTT
import NIOCore

extension Identity {
    init(_ username: String?, _ clientID: String = "c") { self.init(username: username, clientID: clientID) }
}

/// A request as the core makes it.
func request(
    _ username: String?,
    _ password: String?,
    clientID: String = "c",
    address: String = "10.0.0.1",
    listener: String = "l"
) -> AuthenticationRequest {
    AuthenticationRequest(
        info: ConnectionInfo(listener: listener, remoteAddress: address),
        clientID: clientID,
        username: username,
        password: password.map { ByteBuffer(string: $0) }
    )
}

/// The answer of something that answers later.
func answer(
    _ ask: (@escaping @Sendable (AuthenticationResult) -> Void) -> Void
) async -> AuthenticationResult {
    let (stream, continuation) = AsyncStream<AuthenticationResult>.makeStream()
    ask { continuation.yield($0) }
    for await result in stream { return result }
    return .refused(.unspecifiedError)
}
