public import Broker
internal import MQTT
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Checks user names and passwords against a password file.
///
/// Hashing takes milliseconds by design, so it happens on threads of its own with a bounded queue: a storm of wrong
/// passwords delays those who log in, never those who are in.
public final class PasswordFileAuthenticator: Authenticator {
    /// Checks that may wait at once. Beyond, clients are told that the server is busy, and come again.
    public static let pendingMax = 512

    private let file: PasswordFile
    /// Checked in place of a user that is not there, so that a name cannot be probed by the time an answer takes.
    let decoy: PasswordHash
    private let pool: NIOThreadPool
    private let pending = Atomic<Int>(0)

    /// Makes it and starts its thread.
    public init(file: PasswordFile) throws {
        self.file = file
        self.decoy = try PasswordHash(password: [], iterations: file.usualIterations)
        self.pool = NIOThreadPool(numberOfThreads: 1)
        pool.start()
    }

    deinit {
        pool.shutdownGracefully { _ in }
    }

    /// Answers a user name and password, on the thread of the checks; without either, at once.
    public func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        guard let username = request.username, let password = request.password else {
            // A name without a password proves nothing [CVE-2016-9877 of another broker].
            completion(.refused(.badUserNameOrPassword))
            return
        }
        guard pending.wrappingAdd(1, ordering: .relaxed).newValue <= Self.pendingMax else {
            pending.wrappingSubtract(1, ordering: .relaxed)
            completion(.refused(.serverBusy))
            return
        }
        let known = file.hash(of: username)
        let hash = known ?? decoy
        let bytes = Array(password.readableBytesView)
        pool.submit { [self] state in
            pending.wrappingSubtract(1, ordering: .relaxed)
            guard case .active = state else {
                completion(.refused(.serverBusy))
                return
            }
            let matches = hash.matches(bytes)
            completion(matches && known != nil ? .accepted(username: username) : .refused(.badUserNameOrPassword))
        }
    }
}
