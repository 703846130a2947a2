/// To whom a client identifier belongs.
public enum ClientIDOwnership: String, Sendable, Hashable, CaseIterable {
    /// To the identity that came first: while its session lasts, nobody else gets in under this client identifier
    /// (0x85), and nobody can push it out.
    case identity
    /// To each identity separately: two users with one client identifier have two sessions, side by side.
    case separate
    /// To whoever comes last, as in Mosquitto: one session for each client identifier, whatever the user name is.
    case shared
}
