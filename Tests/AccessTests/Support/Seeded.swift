import Broker
import MQTT
import NIOCore

/// Random numbers that a seed repeats.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}

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
